/** One trace: what it is, its rows over time, and the details of the selected span. */
import { keepPreviousData, useQuery } from '@tanstack/react-query'
import { useEffect, useState } from 'react'
import { Link, Redirect } from 'wouter'
import { ApiError, api } from '../api/client'
import { FLAG } from '../api/flags'
import type { SimilarTrace, Skeleton } from '../api/types'
import { useReady } from '../app/announce'
import { searchPath, searchStore } from '../app/session'
import { useStore } from '../app/store'
import { formatCount, formatRetention, plural } from '../model/format'
import { isPartOfTraceId, traceIdInAddress } from '../model/query'
import { Icon } from '../parts/icons'
import { Problem } from '../parts/Problem'
import { SlowNotice, Stopped } from '../parts/SlowNotice'
import { TraceView } from './TraceView'

const YOUNG_MS = 60_000
const GROWTH_POLL_MS = 5000
const ARRIVAL_WAIT_MS = 30_000
const ARRIVAL_POLL_MS = 2000
/** So long a trace that is there waits for what is said about it; then it is shown, with room kept for the panels. */
const EXPLANATION_WAIT_MS = 250
/** With more spans the explanation takes longer than that, so the rows do not wait. */
const WAITING_SPANS = 2_000

export function TracePage({ traceId }: { traceId: string }) {
  const id = traceIdInAddress(traceId)
  if (id === null) return <Malformed traceId={traceId} />
  if (id !== traceId) return <Redirect to={`/trace/${id}${location.search}`} replace />
  return <LoadedTrace traceId={id} />
}

function LoadedTrace({ traceId }: { traceId: string }) {
  const [openedMs] = useState(Date.now)
  const [shown, setShown] = useState<Skeleton | null>(null)
  const trace = useQuery({
    queryKey: ['skeleton', traceId],
    queryFn: ({ signal }) => api.skeleton(traceId, signal),
    refetchInterval: (query) => {
      if (query.state.data) return isYoung(query.state.data) ? GROWTH_POLL_MS : false
      const missing = query.state.error instanceof ApiError && query.state.error.status === 404
      return missing && Date.now() - openedMs < ARRIVAL_WAIT_MS ? ARRIVAL_POLL_MS : false
    },
  })
  useEffect(() => {
    document.title = `Trace ${traceId.slice(0, 8)} · clew`
  }, [traceId])
  // What the server says about the spans that are there by now, shown or not.
  const explained = useQuery({
    queryKey: ['explanation', traceId, trace.data?.etag],
    queryFn: ({ signal }) => api.explanation(traceId, signal),
    enabled: trace.data !== undefined,
    placeholderData: keepPreviousData,
    staleTime: Infinity,
  })
  const isExplained = explained.isFetched || explained.error !== null
  const total = trace.data?.total ?? 0
  const isLate = useLate(trace.data !== undefined, total > WAITING_SPANS ? 0 : EXPLANATION_WAIT_MS)
  // What is on the page changes only when the reader asks: rows never move under the pointer. The first view waits a moment
  // for the explanation, whose panels stand above the rows.
  if (trace.data && shown === null && (isExplained || isLate)) setShown(trace.data)
  const isMissing = trace.error instanceof ApiError && trace.error.status === 404
  useReady(shown !== null || trace.error !== null)

  if (shown !== null) {
    const more = (trace.data?.total ?? shown.total) - shown.total
    const failedMore = more > 0 && trace.data ? failedIn(trace.data) - failedIn(shown) : 0
    return (
      <>
        {trace.error && !isMissing ? (
          <Problem error={trace.error} onRetry={() => void trace.refetch()} />
        ) : null}
        <TraceView
          traceId={traceId}
          skeleton={shown}
          newest={trace.data ?? shown}
          young={isYoung(shown)}
          explanation={{
            value: explained.data ?? null,
            isLoading: explained.isPending || explained.isPlaceholderData,
            error: explained.error,
            onRetry: () => void explained.refetch(),
          }}
          onShowNewest={() => setShown(trace.data ?? shown)}
        />
        {more > 0 && trace.data ? (
          // It lies over the page: nothing under the pointer moves when spans arrive.
          <p className="growth" role="status">
            <span>
              +{plural(more, 'span')}
              {failedMore > 0 ? `, ${formatCount(failedMore)} failed` : ''}
            </span>
            <button type="button" className="button" onClick={() => setShown(trace.data)}>
              Show
            </button>
          </p>
        ) : null}
      </>
    )
  }
  if (isMissing)
    return (
      <NotFound
        traceId={traceId}
        similar={similarIn(trace.error)}
        waiting={trace.errorUpdatedAt - openedMs < ARRIVAL_WAIT_MS - ARRIVAL_POLL_MS}
      />
    )
  if (trace.error) return <Problem error={trace.error} onRetry={() => void trace.refetch()} />
  if (!trace.isFetching && trace.data === undefined) return <Stopped onAgain={() => void trace.refetch()} />
  return (
    <div aria-busy="true">
      <h1 className="unseen">Trace {traceId}</h1>
      <SlowNotice active queryKey={['skeleton', traceId]} />
      <div className="skeleton" aria-hidden="true">
        {Array.from({ length: 12 }, (_, index) => (
          <div key={index} />
        ))}
      </div>
    </div>
  )
}

/** Whether something has been so for a while. */
function useLate(isSo: boolean, afterMs: number): boolean {
  const [isLate, setLate] = useState(false)
  useEffect(() => {
    if (!isSo) return
    const timer = setTimeout(() => setLate(true), afterMs)
    return () => clearTimeout(timer)
  }, [isSo, afterMs])
  return isLate
}

function failedIn(skeleton: Skeleton): number {
  return skeleton.flags.reduce((count, flags) => count + (flags & FLAG.failed ? 1 : 0), 0)
}

/** Whether spans of the trace may still be on their way. */
function isYoung(skeleton: Skeleton): boolean {
  const start = Number(BigInt(skeleton.t0) / 1_000_000n)
  const last = skeleton.start.reduce((most, from, row) => Math.max(most, from + (skeleton.dur[row] ?? 0)), 0)
  return Date.now() - (start + last / 1e6) < YOUNG_MS
}

function similarIn(error: Error | null): readonly SimilarTrace[] {
  return error instanceof ApiError ? error.similar : []
}

const BECAUSE = {
  beginning: 'begins alike',
  half: 'ends alike',
  span_id: 'has a span with this id',
} as const satisfies Record<SimilarTrace['because'], string>

/** Links to the traces that were probably meant. */
function SimilarTraces({ similar }: { similar: readonly SimilarTrace[] }) {
  if (similar.length === 0) return null
  return (
    <>
      <h2 id="similar-traces">{similar.length === 1 ? 'A similar id' : 'Similar ids'}</h2>
      <ul aria-labelledby="similar-traces">
        {similar.map(({ trace_id, because }) => (
          <li key={trace_id}>
            <Link href={`/trace/${trace_id}`}>
              <code>{trace_id}</code>
            </Link>{' '}
            {BECAUSE[because]}
          </li>
        ))}
      </ul>
    </>
  )
}

interface NotFoundProps {
  traceId: string
  similar: readonly SimilarTrace[]
  waiting: boolean
}

function NotFound({ traceId, similar, waiting }: NotFoundProps) {
  const status = useQuery({ queryKey: ['status'], queryFn: ({ signal }) => api.status(signal) })
  const search = useStore(searchStore)
  return (
    <section className="blank" aria-label="Trace not found">
      <h1>Trace not found</h1>
      <p>
        No span with trace id <code>{traceId}</code> is stored here.
      </p>
      {status.data ? <p>Spans are kept for {formatRetention(status.data.retention_s)}.</p> : null}
      <p aria-live="off">
        {waiting
          ? 'It may still arrive: asking again for 30 s.'
          : 'It did not arrive while this page waited.'}
      </p>
      <SimilarTraces similar={similar} />
      <p>
        <Link href={searchPath(search)}>Back to the results</Link>
      </p>
    </section>
  )
}

function Malformed({ traceId }: { traceId: string }) {
  // The server answers that this is none, and which ones begin so.
  const asked = useQuery({
    queryKey: ['skeleton', traceId],
    queryFn: ({ signal }) => api.skeleton(traceId, signal),
    enabled: isPartOfTraceId(traceId),
  })
  useReady(true)
  return (
    <section className="blank" aria-label="Not a trace id">
      <h1>Not a trace id</h1>
      <p className="notice notice-warning">
        <Icon name="warning" />
        <span>
          <code>{traceId}</code> is not a trace id: it has 32 hex digits, with or without dashes.
        </span>
      </p>
      <SimilarTraces similar={similarIn(asked.error)} />
      <p>
        <Link href="/search">Go to Search</Link>
      </p>
    </section>
  )
}
