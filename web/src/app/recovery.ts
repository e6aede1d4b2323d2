/** When the server answers again, what it could not answer is asked again: the page recovers without a click. */
import { useQueryClient, type Query } from '@tanstack/react-query'
import { useEffect } from 'react'
import { ApiError, api } from '../api/client'

const POLL_MS = 2000
/** A server that has no room is asked again after longer and longer times, up to this one: each question is work for it. */
const LONGEST_WAIT_MS = 60_000

/** Whether a question failed because the server was away, or had no room. */
function failedByOutage(query: Query): boolean {
  const { error, fetchStatus } = query.state
  return fetchStatus === 'idle' && error instanceof ApiError && (error.status === 0 || error.status === 503)
}

export function useRecovery(): void {
  const queries = useQueryClient()
  useEffect(() => {
    /** How often each question has been asked again in vain. */
    const tries = new Map<string, number>()
    const isDue = (query: Query) => {
      if (!failedByOutage(query)) return false
      const { error, errorUpdatedAt } = query.state
      const wait = Math.min(LONGEST_WAIT_MS, POLL_MS * 2 ** (tries.get(query.queryHash) ?? 0))
      return (error as ApiError).status === 0 || Date.now() - errorUpdatedAt >= wait
    }
    const timer = setInterval(() => {
      const cache = queries.getQueryCache()
      for (const hash of tries.keys()) {
        if (cache.get(hash)?.state.status !== 'error' && cache.get(hash)?.state.fetchStatus !== 'fetching')
          tries.delete(hash)
      }
      const due = new Set(cache.findAll({ type: 'active', predicate: isDue }))
      if (due.size === 0) return
      // One small question tells whether the others are worth asking; while it fails the banners stay as they are.
      api.status().then(
        () => {
          for (const { queryHash } of due) tries.set(queryHash, (tries.get(queryHash) ?? 0) + 1)
          void queries.refetchQueries({ type: 'active', predicate: (query) => due.has(query) })
        },
        () => {},
      )
    }, POLL_MS)
    return () => clearInterval(timer)
  }, [queries])
}
