/** When the server answers again, what it could not answer is asked again: the page recovers without a click. */
import { useQueryClient, type Query } from '@tanstack/react-query'
import { useEffect } from 'react'
import { ApiError, api } from '../api/client'

const POLL_MS = 2000

/** Whether a question failed because the server was away, or had no room. */
function failedByOutage(query: Query): boolean {
  const { error, fetchStatus } = query.state
  return fetchStatus === 'idle' && error instanceof ApiError && (error.status === 0 || error.status === 503)
}

export function useRecovery(): void {
  const queries = useQueryClient()
  useEffect(() => {
    const timer = setInterval(() => {
      const failed = queries.getQueryCache().findAll({ type: 'active', predicate: failedByOutage })
      if (failed.length === 0) return
      // One small question tells whether the others are worth asking; while it fails the banners stay as they are.
      api.status().then(
        () => void queries.refetchQueries({ type: 'active', predicate: failedByOutage }),
        () => {},
      )
    }, POLL_MS)
    return () => clearInterval(timer)
  }, [queries])
}
