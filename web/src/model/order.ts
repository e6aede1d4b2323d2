/** The orders of a list in words. */
import type { Sort } from '../app/url'
import { plural } from './format'

/** What comes first. */
export const SORT_WORDS: Record<Sort, string> = {
  '-start': 'newest',
  start: 'oldest',
  '-dur': 'slowest',
  dur: 'fastest',
  '-spans': 'most spans',
}

/** How many of the matches are listed: `The newest 50 traces`, `The 50 traces with most spans`. */
export function firstOf(sort: Sort, count: number): string {
  return sort === '-spans'
    ? `The ${plural(count, 'trace')} with most spans`
    : `The ${SORT_WORDS[sort]} ${plural(count, 'trace')}`
}

/** The same beside the number of all: `newest 50 shown`. */
export function shownOf(sort: Sort, count: number): string {
  return sort === '-spans'
    ? `${plural(count, 'trace')} with most spans shown`
    : `${SORT_WORDS[sort]} ${count} shown`
}

/** The pages with each trace once, where it is first: where the server was started anew between them, one with new spans may be on two. */
export function onceEach<T extends { trace_id: string }>(pages: readonly (readonly T[])[]): T[][] {
  const seen = new Set<string>()
  return pages.map((page) => page.filter(({ trace_id }) => !seen.has(trace_id) && seen.add(trace_id)))
}
