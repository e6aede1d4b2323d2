/** After two seconds of waiting: how long already, and a way out; after that way was taken, a way back. */
import { useQueryClient, type QueryKey } from '@tanstack/react-query'
import { useEffect, useState } from 'react'

const SHOW_AFTER_S = 2

/** `queryKey` names the request that Cancel stops. */
export function SlowNotice({ active, queryKey }: { active: boolean; queryKey: QueryKey }) {
  return active ? <Waiting queryKey={queryKey} /> : null
}

function Waiting({ queryKey }: { queryKey: QueryKey }) {
  const queries = useQueryClient()
  const [seconds, setSeconds] = useState(0)
  useEffect(() => {
    const timer = setInterval(() => setSeconds((value) => value + 1), 1000)
    return () => clearInterval(timer)
  }, [])
  if (seconds < SHOW_AFTER_S) return null
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
