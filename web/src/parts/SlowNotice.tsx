/** After two seconds of waiting: how long already, and a way out; after that way was taken, a way back. */
import { useQueryClient, type QueryKey } from '@tanstack/react-query'
import { useEffect, useState } from 'react'

const SHOW_AFTER_S = 2

/** `queryKey` names the request that Cancel stops. */
export function SlowNotice({ active, queryKey }: { active: boolean; queryKey: QueryKey }) {
  return active ? <Waiting queryKey={queryKey} /> : null
}

/** Seconds since it was shown first; null before they are worth a word. */
function useSeconds(): number | null {
  const [seconds, setSeconds] = useState(0)
  useEffect(() => {
    const timer = setInterval(() => setSeconds((value) => value + 1), 1000)
    return () => clearInterval(timer)
  }, [])
  return seconds < SHOW_AFTER_S ? null : seconds
}

/** The same in the line of the counts, which keeps its height. */
export function Counting({ queryKey }: { queryKey: QueryKey }) {
  const queries = useQueryClient()
  const seconds = useSeconds()
  if (seconds === null) return null
  return (
    <span className="counts-waiting">
      Counting for {seconds} s
      <button
        type="button"
        className="button button-small"
        onClick={() => void queries.cancelQueries({ queryKey })}
      >
        Stop counting
      </button>
    </span>
  )
}

function Waiting({ queryKey }: { queryKey: QueryKey }) {
  const queries = useQueryClient()
  const seconds = useSeconds()
  if (seconds === null) return null
  return (
    <p className="notice">
      <span>Waiting for {seconds} s</span>
      <button type="button" className="button" onClick={() => void queries.cancelQueries({ queryKey })}>
        Cancel
      </button>
    </p>
  )
}

/** What stands in the place of an answer that the reader did not wait for. */
export function Stopped({ onAgain }: { onAgain: () => void }) {
  return (
    <section className="notice" aria-label="Stopped">
      <p>The request was stopped before the answer came.</p>
      <button type="button" className="button" onClick={onAgain}>
        Ask again
      </button>
    </section>
  )
}
