/** What Back undoes: each change that the reader chose is an entry of the browser's history, whichever control or link made it. */
import type { AroundNavHandler } from 'wouter'
import { LIVE_FIELDS, SEARCH_FIELDS, TRACE_FIELDS, readState, writeState, type AnyFields } from './url'

/** The state in the address of a page; of a page that has none, nothing. */
function fieldsOf(path: string): AnyFields {
  if (/\/trace(\/|$)/.test(path)) return TRACE_FIELDS
  if (path.endsWith('/search')) return SEARCH_FIELDS
  if (path.endsWith('/live')) return LIVE_FIELDS
  return {}
}

/** The choices in a query string, written in one way: without defaults, bad values, and what the reader passes through. */
function choices(fields: AnyFields, search: string): string {
  const passed = Object.keys(fields).filter((key) => fields[key]?.isPassing)
  const { state } = readState(fields, search)
  const params = new URLSearchParams(writeState(fields, search, state))
  for (const key of passed) params.delete(key)
  params.sort()
  return params.toString()
}

/** Whether Back should lead from one address to the other: another page, or another choice on the same page. */
export function isStep(from: URL, to: URL): boolean {
  if (from.pathname !== to.pathname) return true
  const fields = fieldsOf(to.pathname)
  return choices(fields, from.search) !== choices(fields, to.search)
}

/** All ways within the app lead through here. What an entry of the history remembers goes on while the page is the same. */
export const inSteps: AroundNavHandler = (navigate, to, options) => {
  const [from, next] = [new URL(location.href), new URL(to, location.href)]
  const replace = options?.replace ?? !isStep(from, next)
  const kept = from.pathname === next.pathname ? { state: history.state as unknown } : {}
  navigate(to, { ...kept, ...options, replace })
}
