/** A live tail for as long as a page shows it. */
import { useEffect, useMemo, useSyncExternalStore } from 'react'
import { api } from '../api/client'
import type { Baseline, TailTrace } from '../api/types'
import { Tail } from './tail'
import type { LiveState } from './url'

const P99_FOR_MS = 60_000
const MOST_KNOWN = 500

export function useTail({ q, show }: LiveState): Tail {
  const tail = useMemo(
    () =>
      new Tail({
        open: (signal, lastEventId) => api.tail({ q, failed: show === 'failed', lastEventId }, signal),
        isWanted: show === 'slow' ? slowerThanUsual() : undefined,
      }),
    [q, show],
  )
  useEffect(() => {
    tail.start()
    return () => tail.stop()
  }, [tail])
  useSyncExternalStore(tail.subscribe, tail.drawn)
  return tail
}

/** Whether a trace took longer than 99 of 100 of its root operation lately; no where too few are known. */
function slowerThanUsual(): (trace: TailTrace) => Promise<boolean> {
  const known = new Map<string, { sinceMs: number; baseline: Promise<Baseline> }>()
  return async ({ root_service: service, root_name: operation, duration_ns: duration }) => {
    const key = JSON.stringify([service, operation])
    let one = known.get(key)
    if (one === undefined || Date.now() - one.sinceMs > P99_FOR_MS) {
      if (known.size >= MOST_KNOWN) known.clear()
      one = { sinceMs: Date.now(), baseline: api.baseline(service, operation) }
      known.set(key, one)
    }
    const { p99_ns: p99 } = await one.baseline
    return p99 !== null && BigInt(duration) > BigInt(p99)
  }
}
