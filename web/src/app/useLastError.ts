/** Why a question was not answered, also while it is asked again: what is shown does not come and go. */
import { useState } from 'react'

/** `error` of a query, and whether it has an answer of its own; another `key` is another question. */
export function useLastError(key: string, error: Error | null, isAnswered: boolean): Error | null {
  const [last, setLast] = useState<{ key: string; error: Error } | null>(null)
  const isOther = last !== null && last.key !== key
  if (error !== null) {
    if (last?.error !== error || isOther) setLast({ key, error })
    return error
  }
  if (last !== null && (isOther || isAnswered)) setLast(null)
  return last === null || isOther || isAnswered ? null : last.error
}
