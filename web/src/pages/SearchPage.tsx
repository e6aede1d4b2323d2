/** Search: which traces match, newest first; before the first span, how to send one. */
import { keepPreviousData, useInfiniteQuery, useQuery, useQueryClient } from '@tanstack/react-query'
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from 'react'
import { Link, useLocation } from 'wouter'
import { ApiError, api } from '../api/client'
import type { Excluded, Status, TraceSummary, Version } from '../api/types'
import { announce, useReady } from '../app/announce'
import { askMatches } from '../app/matches'
import { partQuery, tracePage } from '../app/Part'
import { zoneStore } from '../app/preferences'
import { queryErrorStore } from '../app/queryError'
import { openedStore, refusedStore, rememberOpened, rememberSearch, searchPath } from '../app/session'
import { useShortcuts } from '../app/shortcuts'
import { useStore } from '../app/store'
import {
  SEARCH_FIELDS,
  SORTS,
  writeState,
  type RowColumn,
  type RowOrder,
  type SearchState,
  type Sort,
} from '../app/url'
import { useLastError } from '../app/useLastError'
import { useUrlState } from '../app/useUrlState'
import { respelled, withoutCondition } from '../model/excluded'
import { formatAgo, isoTime, plural } from '../model/format'
import { withLengths, type Selection } from '../model/heat'
import {
  asksForFailed,
  hidesSingles,
  queryInWords,
  withSinglesHidden,
  withTerm,
  withoutTerm,
} from '../model/query'
import { firstOf, onceEach, shownOf, SORT_WORDS } from '../model/order'
import { attributeOf, columnOf, orderInWords, ordersOf } from '../model/rowOrder'
import { reasonIn } from '../model/moments'
import { rangeInWords } from '../model/range'
import { AllMatches } from '../parts/AllMatches'
import { Facets } from '../parts/Facets'
import { Icon } from '../parts/icons'
import { IgnoredNotice } from '../parts/IgnoredNotice'
import { Breakable } from '../parts/Names'
import { Problem } from '../parts/Problem'
import { ResultTable } from '../parts/ResultTable'
import { ColumnMenu, RowsMenu, SavedMenu } from '../parts/SearchMenus'
import { Segments } from '../parts/Segments'
import { Select } from '../parts/Select'
import { SlowNotice, Stopped } from '../parts/SlowNotice'
import { FirstRunPage } from './FirstRunPage'

const PAGE_ROWS = 50
const NO_VERSIONS: readonly Version[] = []
const STATUS_POLL_MS = 2000
const FIRST_TRACE_POLL_MS = 500
const NEWER_POLL_MS = 10_000
const TRACE_PAGE_AFTER_MS = 1000

/** Whether nothing has been stored: what was accepted only may not be found by a search yet. */
function hasStoredNothing(status: Status): boolean {
  return status.stored_spans === 0
}

export function SearchPage() {
  const { state: asked, ignored, change } = useUrlState(SEARCH_FIELDS)
  const { state, unknown } = useMemo(() => withKnownOrder(asked), [asked])
  const { q } = state
  useEffect(() => rememberSearch(state), [state])
  useEffect(() => {
    document.title = q === '' ? 'Search · clew' : `${q} · clew`
  }, [q])

  const status = useQuery({
    queryKey: ['status'],
    queryFn: ({ signal }) => api.status(signal),
    refetchInterval: (query) =>
      query.state.data && hasStoredNothing(query.state.data) ? STATUS_POLL_MS : false,
  })
  // The first span is accepted before a search finds it. Search would say that there is none, so it waits for the search.
  const mayBeEmpty = status.data ? hasStoredNothing(status.data) : null
  const wasEmpty = useWas(mayBeEmpty === true)
  const isAsked = status.data !== undefined && status.data.accepted_spans + status.data.stored_spans > 0
  const first = useQuery({
    queryKey: ['first-trace'],
    queryFn: ({ signal }) => api.traces({ q: '', from: 'all', to: 'now', limit: 1 }, signal),
    enabled: wasEmpty && isAsked,
    refetchInterval: (query) => (query.state.data?.traces.length ? false : FIRST_TRACE_POLL_MS),
  })
  const isFound = (first.data?.traces.length ?? 0) > 0
  const isEmpty = mayBeEmpty === null ? null : wasEmpty && !isFound

  useReady(isEmpty === true)
  if (isEmpty === true && status.data) return <FirstRunPage status={status.data} problem={status.error} />
  // A server that does not answer its status may still answer the search, which shows its own problem.
  if (isEmpty === null && status.error === null) return <Skeleton />
  return (
    <>
      <IgnoredNotice ignored={[...ignored, ...unknown]} />
      <Results
        state={state}
        onQuery={(query) => change({ q: query })}
        onColumns={(cols) => change({ cols, order: withKnownOrder({ ...state, cols }).state.order })}
        onSort={(sort) => change({ sort, order: '' })}
        onChange={change}
      />
    </>
  )
}

/** The state without an order by an attribute that is no column, and what was left out of it. */
function withKnownOrder(state: SearchState): { state: SearchState; unknown: string[] } {
  const key = attributeOf(columnOf(state.order))
  return key === null || state.cols.includes(key)
    ? { state, unknown: [] }
    : { state: { ...state, order: '' }, unknown: [`order=${state.order}`] }
}

/** Whether this was ever so while the page was shown. */
function useWas(now: boolean): boolean {
  const [was, setWas] = useState(now)
  if (now && !was) setWas(true)
  return was || now
}

function Results({
  state,
  onQuery,
  onColumns,
  onSort,
  onChange,
}: {
  state: SearchState
  onQuery: (q: string) => void
  onColumns: (cols: readonly string[]) => void
  onSort: (sort: Sort) => void
  onChange: (patch: Partial<SearchState>) => void
}) {
  const { q, from, to, sort, order, sel } = state
  // What is listed: of the matches those that are selected.
  const listed = sel === null ? { q, from, to } : selectedQuery(state, sel)
  const results = useInfiniteQuery({
    queryKey: ['traces', { ...listed, sort }],
    queryFn: ({ pageParam, signal }) =>
      api.traces({ ...listed, sort, cursor: pageParam, limit: PAGE_ROWS }, signal),
    initialPageParam: null as string | null,
    getNextPageParam: (last) => last.next,
    placeholderData: keepPreviousData,
  })
  const { data, isFetching, isPlaceholderData } = results
  const { hasNextPage, isFetchNextPageError, fetchNextPage } = results
  const shownPages = isPlaceholderData ? 0 : (data?.pages.length ?? 0)
  // An address opens as many pages as were shown when it was written.
  const hasRest = hasNextPage && shownPages > 0 && shownPages < state.pages && !isFetchNextPageError
  useEffect(() => {
    if (hasRest && !isFetching) void fetchNextPage()
  }, [hasRest, isFetching, fetchNextPage])
  const asking = JSON.stringify([listed, sort])
  // A refetch that fails leaves the data, and says so.
  const isAnswered = results.isSuccess && !isPlaceholderData
  const error = useLastError(asking, results.error, isAnswered)
  const badQuery = error instanceof ApiError && error.status === 400 ? error : null

  useEffect(() => {
    queryErrorStore.set(
      badQuery ? { q: state.q, message: badQuery.message, position: badQuery.position } : null,
    )
    if (badQuery) {
      announce(badQuery.message)
      refusedStore.set(state.q)
    }
    return () => queryErrorStore.set(null)
  }, [badQuery, state.q])

  const zone = useStore(zoneStore)
  const pages = useMemo(() => onceEach(data?.pages.map((page) => page.traces) ?? []), [data])
  const traces = pages.flat()
  const cut = data?.pages.find((page) => !page.complete)
  const isFailed = asksForFailed(state.q)
  const isSettled = !isPlaceholderData && data !== undefined
  useReady(isSettled || error !== null)
  useEffect(() => {
    if (isSettled) announce(`${plural(traces.length, 'trace')} shown`)
  }, [isSettled, traces.length])

  const queries = useQueryClient()
  useEffect(() => {
    if (!isSettled) return
    // After the answers about the rows have been asked for.
    const timer = setTimeout(() => void queries.prefetchQuery(partQuery(tracePage)), TRACE_PAGE_AFTER_MS)
    return () => clearTimeout(timer)
  }, [isSettled, queries])

  // The page first, all matches after it.
  const matches = useQuery({
    queryKey: ['summary', { q, from, to, sel }],
    queryFn: async ({ signal }) => ({
      of: `${from} ${to} ${q}`,
      ...(await askMatches({ q, from, to }, sel, api.summary, signal)),
    }),
    enabled: isSettled && badQuery === null,
    placeholderData: keepPreviousData,
  })
  const countError = useLastError(
    JSON.stringify([q, from, to, sel]),
    matches.error,
    matches.isSuccess && !matches.isPlaceholderData,
  )
  // What is counted still belongs to the question before.
  const isOld = matches.data !== undefined && matches.data.of !== `${from} ${to} ${q}`
  const isCounted = isSettled && badQuery === null
  const points = useQuery({
    queryKey: ['points', { q, from, to }],
    queryFn: ({ signal }) => api.points({ q, from, to }, signal),
    enabled: isCounted && state.view === 'points',
  })
  const versions = useQuery({
    queryKey: ['versions', { from, to }],
    queryFn: ({ signal }) => api.versions({ from, to }, signal),
    enabled: isCounted && matches.data !== undefined,
    placeholderData: keepPreviousData,
  })
  const [, navigate] = useLocation()
  const [isFaceted, setFaceted] = useState(false)
  const hasMatches = traces.length > 0 || sel !== null || !isSettled
  const select = (selection: Selection | null) => onChange({ sel: selection })
  useShortcuts({ Escape: () => (isFaceted ? setFaceted(false) : sel === null ? false : select(null)) })

  // Back from a trace: the list stands where it was, and the row that was opened has the focus.
  const page = useRef<HTMLDivElement>(null)
  const address = writeState(SEARCH_FIELDS, '', state)
  const [opened] = useState(() => openedStore.get())
  const isBack = useRef(opened?.search === address)
  useLayoutEffect(() => {
    if (!isSettled || hasRest || !isBack.current || opened === null) return
    isBack.current = false
    page.current?.scrollTo?.({ top: opened.top })
    const row = page.current?.querySelector(`[data-trace-id='${opened.traceId}'] a`)
    if (row instanceof HTMLElement) row.focus({ preventScroll: true })
  }, [isSettled, hasRest, opened])

  return (
    <div className="search-columns">
      {matches.data && hasMatches && badQuery === null ? (
        <aside
          className={`facets ${isFaceted ? 'facets-open' : ''} ${isOld ? 'dimmed' : ''}`}
          aria-label="Facets"
        >
          {/* They are many for who goes through them by keys. */}
          <button type="button" className="button skip" onClick={() => page.current?.focus()}>
            Skip the facets
          </button>
          <button type="button" className="button facets-close" onClick={() => setFaceted(false)}>
            Close
          </button>
          <Facets
            summary={matches.data.summary}
            state={state}
            onQuery={onQuery}
            onFacets={(facet) => onChange({ facet })}
          />
        </aside>
      ) : (
        <div className="facets" aria-hidden="true" />
      )}
      <div className="search-page" aria-busy={isFetching} ref={page} tabIndex={-1}>
        <h1 className="unseen">Search</h1>
        {hasMatches && badQuery === null && error === null ? (
          <AllMatches
            summary={matches.data?.summary}
            ahead={matches.data?.ahead ?? null}
            problem={countError}
            isOld={isOld}
            isCounting={matches.isFetching}
            isStopped={
              isCounted &&
              !matches.isFetching &&
              countError === null &&
              (matches.data === undefined || matches.isPlaceholderData)
            }
            isSelectionCounted={!matches.isPlaceholderData}
            state={state}
            points={points.data}
            pointsProblem={points.error}
            versions={versions.data?.versions ?? NO_VERSIONS}
            onTrace={(traceId) => navigate(`/trace/${traceId}`)}
            onSelect={select}
            onZoom={() => {
              if (sel !== null) onChange({ ...selectedQuery(state, sel), sel: null })
            }}
            onView={(view) => onChange({ view })}
            onRetry={() => void matches.refetch()}
            onQuery={(query) => onChange({ q: query, sel: null })}
            onFacets={() => setFaceted(true)}
          />
        ) : null}
        <div className="toolbar">
          <p className="toolbar-title">
            {sel !== null ? (
              <>
                <strong>
                  {matches.data?.summary.selected && !matches.isPlaceholderData
                    ? plural(matches.data.summary.selected.matched, 'trace')
                    : 'Traces'}{' '}
                  in the selection
                </strong>{' '}
                {hasNextPage ? <span className="muted">{shownOf(sort, traces.length)} </span> : null}
                <button type="button" className="link-button" onClick={() => select(null)}>
                  Clear
                </button>
              </>
            ) : isPlaceholderData ? (
              // What is listed still belongs to the question before.
              <strong>Traces</strong>
            ) : hasNextPage ? (
              <>
                <strong>{firstOf(sort, traces.length)}</strong> <span className="muted">there are more</span>
              </>
            ) : (
              <>
                <strong>{data === undefined ? 'Traces' : plural(traces.length, 'trace')}</strong>{' '}
                <span className="muted">
                  {traces.length > 1 && order === '' ? `${SORT_WORDS[sort]} first` : ''}
                </span>
              </>
            )}
            {order === '' || traces.length === 0 ? null : (
              <span className="row-order muted">
                ordered by <b title={orderInWords(order)}>{orderInWords(order)}</b>{' '}
                <button
                  type="button"
                  className="link-button"
                  title="Rows as they were listed"
                  onClick={() => onChange({ order: '' })}
                >
                  Undo the order
                </button>
              </span>
            )}
          </p>
          <Segments
            label="Traces shown"
            value={isFailed ? 'failed' : 'all'}
            options={[
              { value: 'all', label: 'All' },
              { value: 'failed', label: 'Failed' },
            ]}
            onChange={(value) =>
              onQuery(
                value === 'failed'
                  ? withTerm(state.q, 'status', 'error')
                  : withoutTerm(state.q, 'status', 'error'),
              )
            }
          />
          <button
            type="button"
            className="button"
            aria-pressed={hidesSingles(state.q)}
            title="Leave out traces of one span: the statements of a start, a worker's heartbeats"
            onClick={() => onQuery(withSinglesHidden(state.q, !hidesSingles(state.q)))}
          >
            Hide one-span traces
          </button>
          <SavedMenu state={state} />
          <ColumnMenu state={state} onColumns={onColumns} />
          <RowsMenu traces={traces} columns={state.cols} order={order} />
          <Link href="/trace?upload" className="button">
            <Icon name="share" size={14} />
            Open a file
          </Link>
          <button
            type="button"
            className="button"
            aria-label="Run again"
            title="Run again (r)"
            onClick={() => void results.refetch()}
          >
            <Icon name="refresh" size={14} />
          </button>
          <span className="phone-only">
            <Select
              label="Order"
              value={order === '' ? sort : order}
              options={ordersToChoose(state.cols)}
              onChange={(one) =>
                SORTS.includes(one as Sort) ? onSort(one as Sort) : onChange({ order: one as RowOrder })
              }
            />
          </span>
        </div>
        {state.to === 'now' && sort === '-start' && sel === null && isSettled && badQuery === null ? (
          <NewerTraces
            state={state}
            shown={traces}
            onShow={() => {
              void results.refetch()
              page.current?.scrollTo({ top: 0 })
            }}
          />
        ) : null}
        {error && !badQuery ? <Problem error={error} onRetry={() => void results.refetch()} /> : null}
        {badQuery ? (
          <section className="blank" aria-label="Query problem">
            <h2>The query is not understood</h2>
            <p>What is wrong is written below the query. The help (?) has the syntax.</p>
          </section>
        ) : null}
        {cut ? (
          <section className="notice notice-warning" aria-label="Partial result">
            <Icon name="warning" />
            <p>
              <strong>Not all traces were searched.</strong>{' '}
              {reasonIn(zone, cut.reason ?? 'The server gave no reason')}. A shorter time range or one more
              condition helps.
            </p>
          </section>
        ) : null}
        <SlowNotice active={isFetching && !results.isFetchingNextPage} queryKey={['traces']} />
        {(data === undefined || isPlaceholderData) && !isFetching && error === null ? (
          <Stopped onAgain={() => void results.refetch()} />
        ) : null}
        {data === undefined && isFetching && error === null ? <SkeletonRows /> : null}
        {data !== undefined && traces.length > 0 && !badQuery ? (
          <div className={isPlaceholderData ? 'dimmed' : undefined}>
            <ResultTable
              pages={pages}
              columns={state.cols}
              onColumns={onColumns}
              sort={sort}
              onSort={onSort}
              order={order}
              onOrder={(one) => onChange({ order: one })}
              opened={opened?.search === address ? opened.traceId : ''}
              onOpen={(traceId) =>
                rememberOpened({ search: address, traceId, top: page.current?.scrollTop ?? 0 })
              }
            />
            {hasNextPage ? (
              <div className="more">
                <button
                  type="button"
                  className="button"
                  disabled={results.isFetchingNextPage}
                  onClick={() => {
                    onChange({ pages: shownPages + 1 })
                    void fetchNextPage()
                  }}
                >
                  {results.isFetchingNextPage ? 'Loading…' : `Show ${PAGE_ROWS} more`}
                </button>
              </div>
            ) : null}
          </div>
        ) : null}
        {isSettled && traces.length === 0 && !badQuery && sel === null ? (
          <NoMatch
            state={state}
            excluded={matches.isPlaceholderData ? null : (matches.data?.summary.excluded ?? null)}
          />
        ) : null}
        {isSettled && traces.length === 0 && !badQuery && sel !== null ? (
          <section className="blank" aria-label="No match in the selection">
            <h2>No trace in the selection</h2>
            <p>
              <button type="button" className="button" onClick={() => select(null)}>
                Clear the selection
              </button>
            </p>
          </section>
        ) : null}
      </div>
    </div>
  )
}

/** What a phone, which shows no heads of columns, offers: the server's orders, and those of the rows that are shown. */
function ordersToChoose(columns: readonly string[]): { value: string; label: string }[] {
  const own = ['name', 'service', 'failed', 'time', 'services', ...columns.map((key) => `attr:${key}`)]
  return [
    ...SORTS.map((one) => ({ value: one, label: `${SORT_WORDS[one]} first` })),
    ...own
      .flatMap((column) => ordersOf(column as RowColumn))
      .map((one) => ({ value: one, label: `these rows by ${orderInWords(one)}` })),
  ]
}

/** The query for the traces of a selection. */
function selectedQuery({ q }: SearchState, sel: Selection): { q: string; from: string; to: string } {
  return { q: withLengths(q, sel), from: isoTime(sel.t0), to: isoTime(sel.t1) }
}

/** Asks now and then whether newer traces match, and offers them: the rows do not move by themselves. */
function NewerTraces({
  state,
  shown,
  onShow,
}: {
  state: SearchState
  shown: readonly TraceSummary[]
  onShow: () => void
}) {
  const { q, from, to } = state
  const asked = useQuery({
    queryKey: ['newer', { q, from, to }],
    queryFn: ({ signal }) => api.traces({ q, from, to, limit: PAGE_ROWS }, signal),
    // The list itself is the first answer.
    initialData: { traces: [], complete: true, reason: null, next: null },
    staleTime: Infinity,
    refetchInterval: NEWER_POLL_MS,
  })
  const known = new Set(shown.map((trace) => trace.trace_id))
  const first = BigInt(shown[0]?.start_unix_nano ?? '0')
  const newer = asked.data.traces.filter(
    (trace) => !known.has(trace.trace_id) && BigInt(trace.start_unix_nano) >= first,
  ).length
  if (newer === 0) return null
  return (
    <p className="newer" role="status">
      <span>{newer === PAGE_ROWS ? `${newer} or more new traces` : plural(newer, 'new trace')}</span>
      <button type="button" className="button button-small" onClick={onShow}>
        Show
      </button>
    </p>
  )
}

/** The query in words, which condition excludes most and how it may be meant, and the nearest time that has matches. */
function NoMatch({ state, excluded }: { state: SearchState; excluded: Excluded | null }) {
  const zone = useStore(zoneStore)
  const isNarrowed = state.from !== 'all' || state.to !== 'now'
  const nearest = useQuery({
    queryKey: ['nearest', state.q],
    queryFn: ({ signal }) => api.traces({ q: state.q, from: 'all', to: 'now', limit: 1 }, signal),
    enabled: isNarrowed,
  })
  const last = nearest.data?.traces[0]
  const words = queryInWords(state.q)
  return (
    <section className="blank" aria-label="No match">
      <h2>No trace matches</h2>
      <p>
        None started <b>{rangeInWords(state, zone)}</b>
        {words === '' ? null : (
          <>
            {' '}
            with this:{' '}
            <b>
              <Breakable text={words} />
            </b>
          </>
        )}
        .
      </p>
      {excluded === null ? null : <WhatExcludes state={state} excluded={excluded} />}
      {isNarrowed && last ? (
        <p>
          Last match {formatAgo(last.start_unix_nano)} ·{' '}
          <Link href={searchPath({ ...state, from: 'all', to: 'now' })}>Show all time</Link>
        </p>
      ) : null}
      {isNarrowed && nearest.data && !last ? <p>No trace matches at any other time either.</p> : null}
      {state.q === '' ? null : (
        <p>
          <Link href={searchPath({ ...state, q: '' })}>Clear the query</Link>
        </p>
      )}
    </section>
  )
}

function WhatExcludes({ state, excluded }: { state: SearchState; excluded: Excluded }) {
  const { condition, matched_without: matched, nearest, nearest_is: what } = excluded
  const better = respelled(state.q, excluded)
  const without = withoutCondition(state.q, excluded)
  const would = `${plural(matched, 'trace')} ${matched === 1 ? 'matches' : 'match'}`
  return (
    <>
      <p>
        Without{' '}
        <code>
          <Breakable text={condition} />
        </code>
        , {without === null ? would : <Link href={searchPath({ ...state, q: without })}>{would}</Link>}.
      </p>
      {nearest === null ? null : (
        <p>
          {better === null ? (
            <>
              The nearest {what} that there is: <code>{nearest}</code>.
            </>
          ) : (
            <>
              Did you mean{' '}
              <Link href={searchPath({ ...state, q: better.q })}>
                <code>
                  <Breakable text={better.condition} />
                </code>
              </Link>
              ?
            </>
          )}
        </p>
      )}
    </>
  )
}

function Skeleton() {
  return (
    <div className="search-page" aria-busy="true">
      <h1 className="unseen">Search</h1>
      <SkeletonRows />
    </div>
  )
}

function SkeletonRows() {
  return (
    <div className="skeleton" aria-hidden="true">
      {Array.from({ length: 8 }, (_, index) => (
        <div key={index} />
      ))}
    </div>
  )
}
