/** The spans that match the find text: by names at once, by all that is stored of them when that is asked for. */
import { useQuery } from '@tanstack/react-query'
import { useEffect, useMemo, useState } from 'react'
import { api } from '../api/client'
import { findNodes } from '../model/rows'
import type { TraceModel } from '../model/trace'

const REST_MS = 250
const LONGEST = 200

export interface Found {
  /** In row order. */
  nodes: Int32Array
  /** One byte a node, 1 for a match; null when nothing is sought. */
  marks: Uint8Array | null
  isLoading: boolean
  /** Why the matches are not all there are; empty when they are. */
  incomplete: string
}

export function useFind(traceId: string, model: TraceModel, text: string, inAll: boolean): Found {
  const wanted = useRested(text.trim())
  const asked = useQuery({
    queryKey: ['find', traceId, model.skeleton.etag, wanted],
    queryFn: ({ signal }) => api.find(traceId, wanted, signal),
    enabled: inAll && wanted !== '' && wanted.length <= LONGEST,
    staleTime: Infinity,
  })
  const more = inAll && wanted === text.trim() ? asked.data : undefined
  const nodes = useMemo(() => {
    const byName = findNodes(model, text)
    if (more === undefined) return byName
    const all = new Set(byName)
    for (const id of more.span_ids) {
      const node = model.nodeOf(id)
      if (node >= 0) all.add(node)
    }
    return Int32Array.from(all).toSorted()
  }, [model, text, more])
  const marks = useMemo(() => {
    if (text.trim() === '') return null
    const found = new Uint8Array(model.count)
    for (const node of nodes) found[node] = 1
    return found
  }, [model, text, nodes])
  const isLoading = inAll && text.trim() !== '' && (asked.isFetching || wanted !== text.trim())
  const incomplete = !inAll
    ? ''
    : asked.error
      ? `Attributes were not searched: ${asked.error.message}`
      : more?.complete === false
        ? 'There are more than the first 10,000'
        : ''
  return { nodes, marks, isLoading, incomplete }
}

/** The value once it has not changed for a moment. */
function useRested(value: string): string {
  const [rested, setRested] = useState(value)
  useEffect(() => {
    const timer = setTimeout(() => setRested(value), REST_MS)
    return () => clearTimeout(timer)
  }, [value])
  return rested
}
