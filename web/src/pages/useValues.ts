/** The values of the attribute that colours the rows; asked for again when the trace has grown. */
import { keepPreviousData, useQuery } from '@tanstack/react-query'
import { api } from '../api/client'

/** `key` is empty where no attribute colours the rows. */
export function useValues(traceId: string, etag: string, key: string) {
  return useQuery({
    queryKey: ['values', traceId, key, etag],
    queryFn: ({ signal }) => api.values(traceId, key, signal),
    enabled: key !== '',
    // Of the same attribute only: another one's values would be wrong beside its name.
    placeholderData: (previous, query) =>
      query?.queryKey[2] === key ? keepPreviousData(previous) : undefined,
    staleTime: Infinity,
    structuralSharing: false,
  })
}
