/** The answers about the rows of a table that are in view. */
import { useEffect, useMemo, useReducer, type RefObject } from 'react'
import { api } from '../api/client'
import type { TraceSummary } from '../api/types'
import { Answers } from './answers'

/** Rows that scroll past are not asked for. */
const RESTS_AFTER_MS = 100

/**
 * `table` holds a row with `data-trace-id` for each of the traces; `columns` are keys of attributes that are asked for
 * with it. With `isAll` the other rows are asked for too, after those in view.
 */
export function useAnswers(
  table: RefObject<HTMLElement | null>,
  traces: readonly TraceSummary[],
  columns: readonly string[],
  isAll: boolean,
): Answers {
  const [, redraw] = useReducer((count: number) => count + 1, 0)
  const asked = JSON.stringify(columns)
  const answers = useMemo(() => {
    const keys = JSON.parse(asked) as string[]
    return new Answers((traceIds, signal) => api.answers(traceIds, keys, signal), redraw)
  }, [asked])

  useEffect(() => () => answers.dispose(), [answers])
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined
    const visible = new Set<string>()
    const observer = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) {
        const id = (target as HTMLElement).dataset.traceId ?? ''
        if (isIntersecting) visible.add(id)
        else visible.delete(id)
      }
      clearTimeout(timer)
      timer = setTimeout(() => {
        const inView = traces.filter((trace) => visible.has(trace.trace_id))
        answers.want(isAll ? [...new Set([...inView, ...traces])] : inView)
      }, RESTS_AFTER_MS)
    })
    for (const row of table.current?.querySelectorAll('[data-trace-id]') ?? []) observer.observe(row)
    return () => {
      clearTimeout(timer)
      observer.disconnect()
    }
  }, [answers, table, traces, isAll])
  return answers
}
