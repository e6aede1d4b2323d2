/** All matches of a query as figures; where a sender's clock is ahead, with the heatmap of those that start until now. */
import type { api, TraceQuery } from '../api/client'
import type { Summary } from '../api/types'
import { AHEAD_MS, aheadOf, heatOf, type Selection } from '../model/heat'
import { isoTime } from '../model/format'

/** Traces that start after now. */
export interface Ahead {
  /** The time from which on they start, as it stands in addresses: clocks may differ by so much. */
  from: string
  /** How many; null where not all were counted. */
  count: number | null
  /** The last starts not before this time, in nanoseconds. */
  last: bigint
  /** Whether they are left out of the heatmap. */
  isLeftOut: boolean
}

export interface Matches {
  summary: Summary
  /** Null where none does. */
  ahead: Ahead | null
}

type Query = Pick<TraceQuery, 'q' | 'from' | 'to'>

/**
 * One trace of a clock that is ahead leaves all others a single column of the heatmap: where there is one, those that start
 * until now are counted once more, for a heatmap of their own. All else stays that of all matches.
 */
export async function askMatches(
  query: Query,
  sel: Selection | null,
  ask: typeof api.summary,
  signal?: AbortSignal,
): Promise<Matches> {
  const summary = await ask(query, sel, signal)
  const last = query.to === 'now' ? aheadOf(heatOf(summary.heatmap)) : null
  if (last === null) return { summary, ahead: null }
  const to = isoTime(String(BigInt(Date.now() + AHEAD_MS) * 1_000_000n))
  const until = await ask({ ...query, to }, null, signal)
  const count = summary.complete && until.complete ? summary.matched - until.matched : null
  if (until.heatmap.cells.length === 0) return { summary, ahead: { from: to, count, last, isLeftOut: false } }
  return {
    summary: { ...summary, heatmap: until.heatmap },
    ahead: { from: to, count, last, isLeftOut: true },
  }
}
