/** Live: is data arriving, and what does it look like right now? */
import { memo, useEffect, useRef, useState, type PointerEvent } from 'react'
import { Link } from 'wouter'
import type { TailCounts } from '../api/types'
import { announce, useReady } from '../app/announce'
import { zoneStore } from '../app/preferences'
import { queryErrorStore } from '../app/queryError'
import { refusedStore, rememberSearch, searchPath, searchStore } from '../app/session'
import { useShortcuts } from '../app/shortcuts'
import { useStore } from '../app/store'
import type { Tail } from '../app/tail'
import { LIVE_FIELDS, type LiveState } from '../app/url'
import { useTail } from '../app/useTail'
import { useUrlState } from '../app/useUrlState'
import { durationInWords, formatCount, formatDuration, formatTime, plural } from '../model/format'
import { BARS, lengthOn, logScale, rateText, type Gap, type LiveRow, type LogScale } from '../model/live'
import { Icon } from '../parts/icons'
import { IgnoredNotice } from '../parts/IgnoredNotice'
import { Problem } from '../parts/Problem'
import { ResultRow } from '../parts/ResultTable'
import { Segments } from '../parts/Segments'

/** While the list runs nobody sees more; when it is scrolled all rows are there. */
const ROWS_WHILE_LIVE = 150
const MS_IN_NS = 1_000_000

const SHOWN: readonly { value: LiveState['show']; label: string }[] = [
  { value: 'all', label: 'All' },
  { value: 'failed', label: 'Failed only' },
  { value: 'slow', label: 'Slower than p99' },
]

export function LivePage() {
  const { state, ignored, change } = useUrlState(LIVE_FIELDS)
  const { q } = state
  useEffect(() => {
    // Search and Live share the query.
    rememberSearch({ ...searchStore.get(), q, sel: null })
    document.title = q === '' ? 'Live · clew' : `${q} · Live · clew`
  }, [q])
  const tail = useTail(state)
  return (
    <>
      <IgnoredNotice ignored={ignored} />
      <div className="live-page">
        <h1 className="unseen">Live</h1>
        <Running tail={tail} state={state} onShow={(show) => change({ show })} />
      </div>
    </>
  )
}

interface RunningProps {
  tail: Tail
  state: LiveState
  onShow: (show: LiveState['show']) => void
}

function Running({ tail, state, onShow }: RunningProps) {
  const { list, phase, problem } = tail
  const [isHeld, setHeld] = useState(false)
  const [isPointed, setPointed] = useState(false)
  const [isScrolled, setScrolled] = useState(false)
  const [isFocused, setFocused] = useState(false)
  /** The reader wants it to run although the pointer is on it. */
  const [isForced, setForced] = useState(false)
  const scroller = useRef<HTMLDivElement>(null)
  const rests = isPointed || isScrolled || isFocused
  const isPaused = isHeld || (rests && !isForced)
  useEffect(() => {
    list.pause(isPaused)
  }, [list, isPaused])
  // What was wished while it rested is over with the rest.
  if (isForced && !rests) setForced(false)

  const isRefused = phase === 'refused' && problem?.status === 400
  useEffect(() => {
    queryErrorStore.set(
      isRefused && problem ? { q: state.q, message: problem.message, position: problem.position } : null,
    )
    if (isRefused && problem) {
      announce(problem.message)
      refusedStore.set(state.q)
    }
    return () => queryErrorStore.set(null)
  }, [isRefused, problem, state.q])
  useReady(phase !== 'connecting')

  const reason = isHeld
    ? ''
    : isPointed
      ? ', pointer on the list'
      : isFocused
        ? ', a row has the focus'
        : ', list is scrolled'
  const words =
    phase === 'live'
      ? isPaused
        ? `Paused${reason}`
        : 'Live'
      : phase === 'lost'
        ? 'Connection lost'
        : phase === 'refused'
          ? 'Stopped'
          : phase === 'token'
            ? 'A token is wanted'
            : 'Connecting…'
  const said = phase === 'live' ? (isPaused ? 'Paused' : 'Live') : words
  useEffect(() => announce(said), [said])

  const toggle = () => {
    if (isPaused) {
      setHeld(false)
      setForced(rests)
      if (isScrolled) scroller.current?.scrollTo({ top: 0 })
    } else {
      setHeld(true)
    }
  }
  useShortcuts({
    ' ': (event) => {
      if (event.target instanceof Element && event.target.closest('button, a, summary, input') !== null)
        return false
      toggle()
      return undefined
    },
  })

  const waiting = list.waitingTraces
  // Without a connection it is not known how much comes.
  const rates = phase === 'live' ? tail.rates.rates : null
  const items = isPaused ? list.items : list.items.slice(0, ROWS_WHILE_LIVE)
  return (
    <>
      <div className="live-head">
        <p className="live-state">
          <span className={`live-dot live-dot-${phase === 'live' ? (isPaused ? 'paused' : 'on') : 'off'}`} />
          <strong>{words}</strong>
        </p>
        {waiting > 0 ? (
          <button type="button" className="button button-primary" onClick={() => list.show()}>
            {formatCount(waiting)} new · show
          </button>
        ) : null}
        <button type="button" className="button" onClick={toggle} disabled={phase === 'refused'}>
          {isPaused ? 'Resume' : 'Pause'} <kbd>Space</kbd>
        </button>
        <dl className="live-rates">
          <Rate unit="traces/s" value={rates?.traces} />
          <Rate unit="spans/s" value={rates?.spans} />
          <Rate unit="failed/s" value={rates?.failed} isFailed={(rates?.failed ?? 0) > 0} />
        </dl>
        <Bars bars={tail.rates.bars} />
        <Segments label="Traces shown" value={state.show} options={SHOWN} onChange={onShow} />
      </div>
      {problem !== null && !isRefused && phase !== 'token' ? (
        <Problem error={problem} onRetry={() => tail.retry()} />
      ) : null}
      {isRefused ? (
        <section className="blank" aria-label="Query problem">
          <h2>The query is not understood</h2>
          <p>What is wrong is written below the query. The help (?) has the syntax.</p>
        </section>
      ) : (
        <>
          <Skipped counts={tail.counts} sinceMs={tail.sinceMs} />
          <div
            className="live-list"
            ref={scroller}
            onPointerEnter={(event: PointerEvent) => setPointed(event.pointerType === 'mouse')}
            onPointerLeave={() => setPointed(false)}
            onFocus={() => setFocused(true)}
            onBlur={(event) => setFocused(event.currentTarget.contains(event.relatedTarget))}
            onScroll={(event) => setScrolled(event.currentTarget.scrollTop > 0)}
          >
            {items.length === 0 ? (
              <Nothing tail={tail} state={state} waiting={waiting} />
            ) : (
              <Rows items={items} tail={tail} state={state} />
            )}
          </div>
        </>
      )}
    </>
  )
}

function Rate({
  unit,
  value,
  isFailed = false,
}: {
  unit: string
  value: number | undefined
  isFailed?: boolean
}) {
  return (
    <div className={isFailed ? 'live-rate failed' : 'live-rate'}>
      <dd>{value === undefined ? '–' : rateText(value)}</dd>
      <dt>{unit}</dt>
    </div>
  )
}

/** Traces a second in the last minute. The rates beside it say it in numbers. */
function Bars({ bars }: { bars: readonly (number | null)[] }) {
  const most = Math.max(1, ...bars.map((one) => one ?? 0))
  return (
    <svg className="live-bars" aria-hidden="true" viewBox={`0 0 ${BARS * 5} 24`}>
      {bars.map((count, at) =>
        count === null ? null : (
          <rect
            // oxlint-disable-next-line react/no-array-index-key
            key={at}
            x={(BARS - bars.length + at) * 5}
            y={24 - Math.max(1, (count / most) * 24)}
            width="4"
            height={Math.max(1, (count / most) * 24)}
          />
        ),
      )}
    </svg>
  )
}

function timeOf(ms: number): string {
  return formatTime(`${Math.round(ms * MS_IN_NS)}`, zoneStore.get()).replace(/\.\d+$/, '')
}

/** What came and is not in the list. */
function Skipped({ counts, sinceMs }: { counts: TailCounts; sinceMs: number }) {
  useStore(zoneStore)
  const since = timeOf(sinceMs)
  const notes = [
    counts.skipped > 0
      ? `${formatCount(counts.skipped)} were skipped since ${since}, none of them failed. A narrower query shows all.`
      : '',
    counts.skipped_failed > 0
      ? `${plural(counts.skipped_failed, 'failed trace')} skipped: this page is too slow.`
      : '',
    counts.unread_spans > 0
      ? `${plural(counts.unread_spans, 'span')} came faster than the server looks at them, none of them failed.`
      : '',
    counts.lost_spans > 0
      ? `${plural(counts.lost_spans, 'span')} came too fast to be looked at; failed ones may be among them.`
      : '',
  ].filter((note) => note !== '')
  if (notes.length === 0) return null
  return (
    <section className="notice notice-warning live-notice" aria-label="Skipped">
      <Icon name="warning" />
      <p>
        {counts.skipped > 0 ? <strong>Showing 50 traces/s: </strong> : null}
        {notes.join(' ')}
      </p>
    </section>
  )
}

/** `waiting`: how many traces have arrived that are not shown, since it is paused. */
function Nothing({ tail, state, waiting }: { tail: Tail; state: LiveState; waiting: number }) {
  useStore(zoneStore)
  if (tail.phase !== 'live') return null
  if (waiting > 0) {
    return (
      <section className="blank" aria-label="Nothing yet">
        <h2>Paused</h2>
        <p>What arrives is shown once it goes on.</p>
      </section>
    )
  }
  return (
    <section className="blank" aria-label="Nothing yet">
      <h2>Waiting for traces</h2>
      <p>
        {state.q === '' && state.show === 'all'
          ? `Nothing has arrived since ${timeOf(tail.sinceMs)}.`
          : `Nothing that matches has arrived since ${timeOf(tail.sinceMs)}.`}
      </p>
      <p>
        <Link href={searchPath({ ...searchStore.get(), q: state.q })}>Search what came before</Link>
      </p>
    </section>
  )
}

function Rows({ items, tail, state }: { items: Tail['list']['items']; tail: Tail; state: LiveState }) {
  const scale = logScale(
    items.flatMap((item) => (item.kind === 'trace' ? [Number(item.trace.duration_ns)] : [])),
  )
  return (
    <table className="results" aria-label="Traces that arrive">
      <thead>
        <tr>
          <th scope="col" className="col-started">
            Started
          </th>
          <th scope="col" className="col-root">
            Root operation
          </th>
          <th scope="col" className="col-duration">
            Duration
            {scale === null ? null : (
              <span className="live-scale">
                , log {formatDuration(scale.from)} to {formatDuration(scale.to)}
              </span>
            )}
          </th>
          <th scope="col" className="col-failed">
            Where it failed
          </th>
          <th scope="col" className="col-time">
            Where the time went
          </th>
          <th scope="col" className="col-number">
            Spans
          </th>
          <th scope="col" className="col-services">
            Services
          </th>
        </tr>
      </thead>
      <tbody>
        {items.map((item) =>
          item.kind === 'gap' ? (
            <GapRow key={item.id} gap={item} q={state.q} />
          ) : (
            <Row key={item.id} row={item} from={scale?.from ?? 1} to={scale?.to ?? 10} tail={tail} />
          ),
        )}
      </tbody>
    </table>
  )
}

const Row = memo(function Row({ row, from, to, tail }: { row: LiveRow; tail: Tail } & LogScale) {
  const { trace } = row
  return (
    <ResultRow
      trace={trace}
      length={lengthOn({ from, to }, Number(trace.duration_ns))}
      columns={NO_COLUMNS}
      isOpened={false}
      isGone={row.isGone}
      onOpen={ignore}
      answer={trace.answer}
      colour={(service) => tail.colours.of(service)}
    />
  )
})

const NO_COLUMNS: readonly string[] = []
const ignore = () => {}

const iso = (ms: number) => new Date(ms).toISOString()

function GapRow({ gap, q }: { gap: Gap; q: string }) {
  useStore(zoneStore)
  const length = durationInWords((gap.toMs - gap.fromMs) * MS_IN_NS)
  if (gap.isFilled)
    return (
      <tr className="live-gap live-gap-filled">
        <td colSpan={7}>
          <Icon name="refresh" /> The connection was lost at {timeOf(gap.fromMs)} for {length} and came back
          by itself; nothing is missing.
        </td>
      </tr>
    )
  const about = gap.about === null ? 'what came meanwhile is' : `about ${plural(gap.about, 'trace')} are`
  return (
    <tr className="live-gap">
      <td colSpan={7}>
        <Icon name="warning" /> <strong>Gap of {length}:</strong>{' '}
        {gap.wasStopped ? 'the server was stopped' : 'the connection was lost'} at {timeOf(gap.fromMs)} and
        came back by itself; {about} not in this list.{' '}
        <Link href={searchPath({ q, from: iso(gap.fromMs), to: iso(gap.toMs) })}>Show them in Search</Link>
      </td>
    </tr>
  )
}
