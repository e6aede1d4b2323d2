import { expect, it } from 'vitest'
import {
  chosenEnd,
  fixedRange,
  fromInput,
  isTime,
  rangeInWords,
  rangeLabel,
  rangeProblem,
  shiftedRange,
  timeMs,
  toInput,
} from './range'
import { zoneName } from './format'

const now = Date.UTC(2026, 10, 22, 12)

it('knows relative and fixed times', () => {
  expect(['now', 'now-15m', 'now-7d', '2026-11-22T11:00:00Z', '2026-11-22T11:00+01:00'].every(isTime)).toBe(
    true,
  )
  expect(['', 'then', 'now+1h', 'now-1y', '2026-11-22', '2026-99-22T11:00:00Z'].some(isTime)).toBe(false)
})

it('turns them into milliseconds', () => {
  expect(timeMs('now-15m', now)).toBe(now - 900_000)
  expect(timeMs('2026-11-22T11:00:00Z', now)).toBe(now - 3_600_000)
  expect(timeMs('all', now)).toBeNull()
})

it('moves a range by its own length but not beyond now', () => {
  const earlier = shiftedRange({ from: 'now-1h', to: 'now' }, -1, now)
  expect(earlier).toEqual({ from: '2026-11-22T10:00:00.000Z', to: '2026-11-22T11:00:00.000Z' })
  expect(shiftedRange(earlier, 1, now).to).toBe('2026-11-22T12:00:00.000Z')
  expect(shiftedRange({ from: 'now-1h', to: 'now' }, 1, now).to).toBe('2026-11-22T12:00:00.000Z')
})

it('leaves a range without a beginning where it is', () => {
  const all = { from: 'all', to: 'now' }
  expect(shiftedRange(all, -1, now)).toBe(all)
  expect(fixedRange(all, now).from).toBe('all')
})

it('says a range as the end of a sentence', () => {
  const words = (from: string, to = 'now') => rangeInWords({ from, to }, 'utc')
  expect(words('now-1h')).toBe('in the last hour')
  expect(words('now-15m')).toBe('in the last 15 minutes')
  expect(words('all')).toBe('at any time')
  expect(words('2026-11-22T10:00:00.000Z', '2026-11-22T11:30:00.000Z')).toBe(
    'between 2026-11-22 10:00 and 11:30 UTC',
  )
  expect(words('all', '2026-11-22T11:30:00.000Z')).toBe('before 2026-11-22 11:30 UTC')
})

it('has a name for every range', () => {
  const label = (from: string, to = 'now') => rangeLabel({ from, to }, 'utc')
  expect(label('now-1h')).toBe('Last 1 h')
  expect(label('now-3h')).toBe('Last 3 h')
  expect(label('now-45m')).toBe('Last 45 min')
  expect(label('now-1d')).toBe('Last 1 day')
  expect(label('all')).toBe('All time')
  expect(label('2026-11-22T10:00:00.000Z')).toBe('Since 2026-11-22 10:00 UTC')
  expect(label('now-2h', 'now-30m')).toBe('2 h ago to 30 min ago')
  expect(label('all', '2026-11-22T10:00:30.000Z')).toBe('the beginning to 2026-11-22 10:00:30 UTC')
})

it('names both ends of a range so that they differ, with the day and the zone once', () => {
  const label = (from: string, to: string) => rangeLabel({ from, to }, 'utc')
  expect(label('2026-11-22T10:00:00.000Z', '2026-11-22T11:30:00.000Z')).toBe('2026-11-22 10:00 to 11:30 UTC')
  expect(label('2026-11-22T10:00:00Z', '2026-11-23T10:00:00+01:00')).toBe(
    '2026-11-22 10:00 to 2026-11-23 09:00 UTC',
  )
  expect(label('2026-11-22T10:00:07.5Z', '2026-11-22T10:00:40Z')).toBe('2026-11-22 10:00:07 to 10:00:40 UTC')
  // A box that was drawn on the heatmap, with nanoseconds.
  expect(label('2026-11-22T10:00:07.123000000Z', '2026-11-22T10:00:07.456000001Z')).toBe(
    '2026-11-22 10:00:07.123 to 10:00:07.456 UTC',
  )
})

it('says times of a range on the clock of this computer', () => {
  const from = Date.UTC(2026, 10, 22, 10)
  const local = toInput(from, 'local').replace('T', ' ').slice(0, 16)
  const label = rangeLabel({ from: new Date(from).toISOString(), to: 'now' }, 'local')
  expect(label).toBe(`Since ${local} ${zoneName('local', new Date(from))}`)
})

it('writes a time for a calendar and reads it back, in either zone', () => {
  const ms = Date.UTC(2026, 10, 22, 12, 4, 31)
  expect(toInput(ms, 'utc')).toBe('2026-11-22T12:04:31')
  for (const zone of ['utc', 'local'] as const) {
    expect(fromInput(toInput(ms, zone), zone)).toBe('2026-11-22T12:04:31.000Z')
  }
  expect(fromInput('', 'utc')).toBeNull()
  expect(fromInput('2026-11-22T12:04', 'utc')).toBe('2026-11-22T12:04:00.000Z')
})

it('leaves an end that is not touched as it was written, with its fractions', () => {
  const written = '2026-11-22T12:04:31.207000001Z'
  const shown = toInput(Date.parse(written), 'utc')
  expect(chosenEnd(shown, shown, written, 'utc')).toBe(written)
  expect(chosenEnd('2026-11-22T12:04:32', shown, written, 'utc')).toBe('2026-11-22T12:04:32.000Z')
  expect(chosenEnd('', shown, written, 'utc')).toBeNull()
  // A relative one is shown as a time, and taken as that time.
  expect(chosenEnd(shown, shown, 'now-1h', 'utc')).toBe('2026-11-22T12:04:31.000Z')
})

it('refuses a range that ends before it begins', () => {
  const midnight = Date.UTC(2026, 10, 22)
  expect(rangeProblem({ from: 'now-1h', to: 'now' }, midnight)).toBeNull()
  expect(rangeProblem({ from: 'all', to: 'now-1h' }, midnight)).toBeNull()
  expect(rangeProblem({ from: '2026-11-23T00:00:00Z', to: 'now' }, midnight)).toContain('before')
})
