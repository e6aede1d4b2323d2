/** What may be written next in the query box: words of the language at once, keys and values as soon as the server has counted them. */
import { useQuery } from '@tanstack/react-query'
import { useEffect, useState } from 'react'
import { ApiError, api } from '../api/client'
import { hasValues, suggestions, type Counted, type Suggestion, type Typing } from '../model/complete'
import type { Range } from '../model/range'

/** So long nothing must be typed until the server is asked for a text. */
const DEBOUNCE_MS = 60
const STALE_MS = 60_000
const MOST_SHOWN = 50

interface Answer {
  found: Counted[]
  complete: boolean
  /** Of what only some was counted; null where all was. */
  reason: string | null
}

interface Asked {
  what: 'keys' | 'values'
  key: string
  typed: string
  range: Range
  /** The rest of the query, with which what is suggested occurs together. */
  q: string
  isEnabled: boolean
}

async function ask({ what, key, range, q }: Asked, prefix: string, signal: AbortSignal): Promise<Answer> {
  if (what === 'keys') {
    const { keys, complete, reason } = await api.keys({ ...range, prefix, q }, signal)
    return { found: keys.map((one) => ({ text: one.key, count: one.count })), complete, reason }
  }
  const { values, complete, reason } = await api.valuesOf({ ...range, key, prefix, q }, signal)
  return { found: values.map((one) => ({ text: one.value, count: one.count })), complete, reason }
}

/** As `ask`; where the rest of the query is no query yet, without it. */
async function asked(asking: Asked, prefix: string, signal: AbortSignal): Promise<Answer> {
  try {
    return await ask(asking, prefix, signal)
  } catch (error) {
    if (asking.q === '' || !(error instanceof ApiError) || error.status !== 400) throw error
    return ask({ ...asking, q: '' }, prefix, signal)
  }
}

/** The most frequent, and once more is typed than they can answer, those with the text. A request that is overtaken is cancelled. */
function useCounted(asking: Asked): { found: Counted[]; reason: string | null; isWaiting: boolean } {
  const { what, key, range, q, typed, isEnabled } = asking
  const isSettled = useSettled(`${key} ${typed}`)
  // The rest of a query changes with each key that moves the cursor in it, and costs the server a search.
  const isRestSettled = useSettled(q) || q === ''
  const options = (prefix: string, enabled: boolean) => ({
    queryKey: ['completion', what, key, prefix, q, range.from, range.to],
    queryFn: ({ signal }: { signal: AbortSignal }) => asked(asking, prefix, signal),
    enabled,
    staleTime: STALE_MS,
    retry: false,
  })
  const first = useQuery(options('', isEnabled && isRestSettled))
  const needsMore = isEnabled && typed !== '' && first.data?.complete === false
  const more = useQuery(options(typed, needsMore && isSettled))
  const answer = (needsMore ? more.data : undefined) ?? first.data
  return {
    found: answer?.found ?? [],
    reason: answer?.reason ?? null,
    isWaiting: isEnabled && (first.isFetching || more.isFetching),
  }
}

/** Whether the text has not changed for a moment. */
function useSettled(text: string): boolean {
  const [settled, setSettled] = useState('')
  useEffect(() => {
    const timer = setTimeout(() => setSettled(text), DEBOUNCE_MS)
    return () => clearTimeout(timer)
  }, [text])
  return settled === text
}

/** The most frequent keys, as a query writes them, and those of the language, which have no count. */
export function useAttributeKeys(range: Range): Counted[] {
  return useCounted({ what: 'keys', key: '', typed: '', range, q: '', isEnabled: true }).found
}

/**
 * `typing` is null while nothing is to be suggested; `q`: the rest of the query (`contextOf`). `reason`: of what only some
 * was counted for the numbers that are shown, or null.
 */
export function useSuggestions(
  typing: Typing | null,
  q: string,
  { from, to }: Range,
): { found: Suggestion[]; reason: string | null; isWaiting: boolean } {
  const range = { from, to }
  const typed = typing?.typed ?? ''
  const keys = useCounted({ what: 'keys', key: '', typed, range, q, isEnabled: typing?.what === 'key' })
  const isValue = typing?.what === 'value' && hasValues(typing.key) && !typing.operator.endsWith('~')
  const values = useCounted({ what: 'values', key: typing?.key ?? '', typed, range, q, isEnabled: isValue })
  const found = typing === null ? [] : suggestions(typing, keys.found, values.found).slice(0, MOST_SHOWN)
  const isCounted = found.some(({ count }) => count !== null)
  const reason = isCounted ? (isValue ? values.reason : keys.reason) : null
  return { found, reason, isWaiting: keys.isWaiting || values.isWaiting }
}
