import { expect, it } from 'vitest'
import type { Summary } from '../api/types'
import type { Selection } from '../model/heat'
import { askMatches } from './matches'

const NOW = Date.now()
const ns = (minutes: number) => String(BigInt(NOW + minutes * 60_000) * 1_000_000n)

/** Of so many traces, up to so many minutes after now. */
function summary(matched: number, minutes: number, complete = true): Summary {
  return {
    matched,
    failed: 0,
    selected: null,
    estimated: null,
    p50_ns: '1',
    p95_ns: '1',
    p99_ns: '1',
    heatmap: {
      x_unix_nano: matched === 0 ? [] : [-60, minutes, minutes + 1].map(ns),
      y_ns: matched === 0 ? [] : ['1', '10'],
      cells: matched === 0 ? [] : [[1, 0, matched, 0]],
      estimated: [],
    },
    facets: [],
    facets_of: { matched, failed: 0, selected: 0, from_unix_nano: '0', to_unix_nano: '0' },
    findings: [],
    excluded: null,
    complete,
    reason: null,
  }
}

/** What is answered to one request after the other, and what was asked. */
function server(...answers: Summary[]) {
  const asked: { to: string; sel: Selection | null }[] = []
  const ask = (query: { to: string }, sel: Selection | null) => {
    asked.push({ to: query.to, sel })
    return Promise.resolve(answers[asked.length - 1]!)
  }
  return { asked, ask }
}

const QUERY = { q: 'a=1', from: 'now-1h', to: 'now' }
const SEL = { t0: '1', t1: '2', d0: '0', d1: '9' }

it('asks once where no clock is ahead, or an end is chosen', async () => {
  for (const [query, minutes] of [
    [QUERY, 1],
    [{ ...QUERY, to: 'now-1s' }, 600],
  ] as const) {
    const { asked, ask } = server(summary(5, minutes))
    expect(await askMatches(query, SEL, ask)).toEqual({ summary: summary(5, minutes), ahead: null })
    expect(asked).toEqual([{ to: query.to, sel: SEL }])
  }
})

it('has the heatmap of those until now where some start later, and counts the others', async () => {
  const { asked, ask } = server(summary(5, 600), summary(3, 0))
  const { summary: shown, ahead } = await askMatches(QUERY, SEL, ask)
  expect(shown.matched).toBe(5)
  expect(shown.heatmap).toEqual(summary(3, 0).heatmap)
  expect(ahead).toEqual({ from: asked[1]!.to, count: 2, last: BigInt(ns(600)), isLeftOut: true })
  // Clocks that differ by a few minutes are still within it.
  const until = Date.parse(asked[1]!.to)
  expect(until).toBeGreaterThan(NOW + 240_000)
  expect(until).toBeLessThan(NOW + 400_000)
  expect(asked[1]!.sel).toBeNull()
})

it('keeps the heatmap where all of them start later, and says no number where not all were counted', async () => {
  const later = await askMatches(QUERY, null, server(summary(5, 600), summary(0, 0)).ask)
  expect(later.summary.heatmap).toEqual(summary(5, 600).heatmap)
  expect(later.ahead).toMatchObject({ count: 5, last: BigInt(ns(600)), isLeftOut: false })
  const some = await askMatches(QUERY, null, server(summary(5, 600, false), summary(3, 0)).ask)
  expect(some.ahead?.count).toBeNull()
})
