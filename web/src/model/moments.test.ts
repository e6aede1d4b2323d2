import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { reasonIn, sentenceIn, shortTime } from './moments'

const now = Date.UTC(2026, 10, 22, 20)
const nano = (ms: number) => `${BigInt(ms) * 1_000_000n}`
const half = nano(Date.UTC(2026, 10, 22, 12, 30))

// The clock of this computer, which may be set to UTC: there a wrong zone would not be seen.
beforeEach(() => vi.stubEnv('TZ', 'Asia/Kolkata'))
afterEach(() => vi.unstubAllEnvs())

describe('times in sentences of the server', () => {
  it('are as short as they can be', () => {
    expect(shortTime(half, 'utc', now)).toBe('12:30')
    expect(shortTime(nano(Date.UTC(2026, 10, 21, 12, 30, 7)), 'utc', now)).toBe('21 Nov 12:30:07')
    expect(shortTime(nano(Date.UTC(2026, 10, 22, 12, 30, 0, 5)), 'utc', now)).toBe('12:30:00.005')
  })

  it('are put in the zone where the server says them, and nowhere else', () => {
    const text = 'Failing since 12:30 UTC: nightly · run at 12:30 UTC, 3 of 3 calls.'
    expect(sentenceIn('utc', text, [{ text: '12:30 UTC', unix_nano: half }], now)).toBe(
      'Failing since 12:30: nightly · run at 12:30 UTC, 3 of 3 calls.',
    )
    expect(sentenceIn('local', text, [{ text: '12:30 UTC', unix_nano: half }], now)).toBe(
      'Failing since 22 Nov 18:00: nightly · run at 12:30 UTC, 3 of 3 calls.',
    )
  })

  it('are taken one after the other', () => {
    const later = nano(Date.UTC(2026, 10, 22, 12, 45))
    const times = [
      { text: '12:30 UTC', unix_nano: half },
      { text: 'not there', unix_nano: half },
      { text: '12:45 UTC', unix_nano: later },
    ]
    expect(sentenceIn('utc', 'From 12:30 UTC to 12:45 UTC.', times, now)).toBe('From 12:30 to 12:45.')
  })

  it('of a reason are found by their form', () => {
    const reason =
      'facets are counted in the traces that start from 2026-11-22T12:30:00Z to 2026-11-22T12:30:05Z'
    expect(reasonIn('utc', reason, now)).toBe(
      'Facets are counted in the traces that start from 12:30 to 12:30:05',
    )
    expect(reasonIn('local', reason, Date.UTC(2026, 10, 22, 13))).toBe(
      'Facets are counted in the traces that start from 18:00 to 18:00:05',
    )
    expect(reasonIn('utc', 'from 2026-99-22T12:30:00Z', now)).toBe('From 2026-99-22T12:30:00Z')
  })
})
