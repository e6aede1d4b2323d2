/** After two seconds of waiting: how long already, and a way out. */
import { useQueryClient } from '@tanstack/react-query'
import { useEffect, useState } from 'react'

const SHOW_AFTER_S = 2

export function SlowNotice({ active }: { active: boolean }) {
  return active ? <Waiting /> : null
}

function Waiting() {
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
      <button type="button" className="button" onClick={() => void queries.cancelQueries()}>
        Cancel
      </button>
    </p>
  )
}
