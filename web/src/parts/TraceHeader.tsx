/** What this trace is: its root, whether a span failed, when, how long, how much of it is here. */
import { useEffect } from 'react'
import { Link } from 'wouter'
import { api } from '../api/client'
import { notify } from '../app/announce'
import { copyLink } from '../app/link'
import { zoneStore } from '../app/preferences'
import { searchPath, searchStore } from '../app/session'
import { useStore } from '../app/store'
import { exactDuration, formatCount, formatDuration, formatFullTime, isoTime, plural } from '../model/format'
import { FLAG } from '../api/flags'
import type { Explanation, Skeleton } from '../api/types'
import { handledFailures, isSlow, lateFailures, unseenNotes } from '../model/explanation'
import type { TraceModel } from '../model/trace'
import { CopyButton } from './CopyButton'
import { download } from './download'
import { FailedMark, Icon, PassedOnMark } from './icons'
import { Breakable } from './Names'
import { ServiceChip } from './ServiceChip'
import { UsualHistogram } from './UsualHistogram'
import type { ExplanationState } from './VerdictPanels'

/** The node the page is named after: the first root, else the earliest span. */
function headNode(model: TraceModel): number {
  let earliest = -1
  for (let node = 0; node < model.count; node++) {
    if (model.isPlaceholder(node)) continue
    if (model.parent[node] === -1) return node
    if (earliest < 0 || model.start[node]! < model.start[earliest]!) earliest = node
  }
  return earliest
}

/** Fetched and not linked, because a link could not carry the token. */
async function saveJson(traceId: string): Promise<void> {
  try {
    download(`${traceId}.json`, await api.traceFile(traceId))
    notify('Trace exported')
  } catch (error) {
    notify(`Export failed: ${error instanceof Error ? error.message : String(error)}`)
  }
}

/** Spans that reach beyond the root by less, or by less than 1 % of it, are not worth a word. */
const REACH_NOISE_NS = 1_000_000

interface Props {
  traceId: string
  model: TraceModel
  /** The spans that are there by now: what the header says is never older than the notice of new spans. */
  newest: Skeleton
  /** Whether its last span is so recent that others may be on their way. */
  young: boolean
  explanation: ExplanationState
  colours: Uint8Array
}

export function TraceHeader({ traceId, model, newest, young, explanation, colours }: Props) {
  const explained = explanation.value
  const zone = useStore(zoneStore)
  const search = useStore(searchStore)
  const head = headNode(model)
  const service = head < 0 ? 'no service' : model.serviceLabel(head)
  const name = head < 0 ? 'no name' : model.spanLabel(head)
  const start = String(BigInt(model.skeleton.t0) + BigInt(Math.round(model.earliest)))
  const duration =
    explained !== null ? Number(explained.root.duration_ns) : head < 0 ? 0 : model.duration[head]!
  const missing = new Set(newest.missing.map(([, parentId]) => parentId)).size
  const notes = explained === null ? [] : unseenNotes(explained)
  useEffect(() => {
    document.title = `${name.slice(0, 100)} ${service.slice(0, 100)} · ${formatDuration(duration)} · clew`
  }, [name, service, duration])
  return (
    <header className="trace-header">
      <div className="trace-what">
        <div className="trace-title">
          <Link href={searchPath(search)} className="back">
            <Icon name="left" size={12} />
            results
          </Link>
          <h1 title={name.slice(0, 300)}>
            <Breakable text={name} />
          </h1>
          <span className="trace-service">
            <ServiceChip colour={head < 0 ? 0 : (colours[model.service[head]!] ?? 0)} />
            <Breakable text={service} />
          </span>
          <Outcome outcome={outcomeOf(explanation, newest)} />
        </div>
        <p className="trace-facts">
          <span className="mono" title={traceId}>
            {traceId}
          </span>
          <CopyButton compact text={traceId} name="Copy the trace id" />
          <time dateTime={isoTime(start)} title={isoTime(start)}>
            {formatFullTime(start, zone)}
          </time>
          <span>
            {plural(newest.total, 'span')} · {plural(newest.services.length, 'service')}
          </span>
          {missing > 0 ? (
            <span className="missing" title={notes.join('\n') || undefined}>
              <Icon name="warning" size={14} />
              {plural(missing, 'parent')} not received
            </span>
          ) : null}
          {model.length - duration > Math.max(REACH_NOISE_NS, duration / 100) ? (
            <span title="From the first start to the last end of all spans">
              spans reach over {formatDuration(model.length)}
            </span>
          ) : null}
          {young || explained?.completeness.young ? (
            <span className="may-grow" title={notes.join('\n')}>
              may still grow
            </span>
          ) : null}
        </p>
      </div>
      <div className="trace-length">
        <strong
          title={
            model.length > Math.max(1, duration)
              ? `${exactDuration(duration)}; from the first start to the last end ${formatDuration(model.length)}`
              : exactDuration(duration)
          }
        >
          {formatDuration(duration)}
        </strong>
        {explained !== null ? (
          <AgainstUsual explanation={explained} />
        ) : explanation.isLoading ? (
          // Its line, so that nothing moves when it is known.
          <span className="trace-usual" />
        ) : null}
      </div>
      <UsualHistogram explanation={explained} />
      <div className="trace-actions">
        <button type="button" className="button" title="Copy link (y)" onClick={() => void copyLink()}>
          <Icon name="share" size={14} />
          <span className="wide-label">Copy link</span>
        </button>
        <button type="button" className="button" onClick={() => void saveJson(traceId)}>
          <Icon name="export" size={14} />
          <span className="wide-label">Export</span>
        </button>
      </div>
    </header>
  )
}

type OutcomeWord = 'failed' | 'inside' | 'handled' | 'late' | 'fine'

/** How the trace went as far as it is known by now: failures that arrived since count too. */
function outcomeOf({ value, isLoading }: ExplanationState, newest: Skeleton): OutcomeWord {
  const root = newest.parent.indexOf(-1)
  const failed = root < 0 || (newest.flags[root]! & FLAG.failed) !== 0 ? 'failed' : 'inside'
  if (value !== null && !isLoading) {
    if (value.origin.length > 0) return failed
    if (handledFailures(value).length > 0) return 'handled'
    return lateFailures(value).length > 0 ? 'late' : 'fine'
  }
  const causes = newest.flags.filter((flags) => (flags & FLAG.origin) !== 0)
  if (causes.length === 0) return 'fine'
  return causes.every((flags) => (flags & FLAG.handled) !== 0) ? 'handled' : failed
}

function Outcome({ outcome }: { outcome: OutcomeWord }) {
  if (outcome === 'failed') {
    return (
      <span className="verdict verdict-failed">
        <FailedMark />
        failed
      </span>
    )
  }
  if (outcome === 'inside') {
    return (
      <span className="verdict verdict-failed" title="A span failed; the root span itself did not">
        <FailedMark />
        failed inside
      </span>
    )
  }
  if (outcome === 'handled') {
    return (
      <span className="verdict verdict-handled" title="Something failed, and the request went on well">
        <PassedOnMark />
        failure handled
      </span>
    )
  }
  if (outcome === 'late') {
    return (
      <span className="verdict verdict-handled" title="Something failed after its caller had its answer">
        <PassedOnMark />
        failure afterwards
      </span>
    )
  }
  return (
    <span className="verdict verdict-ok">
      <Icon name="check" size={14} />
      no span failed
    </span>
  )
}

/** `6.7 × usual`, `usual`, or that there is too little to compare with. */
function AgainstUsual({ explanation }: { explanation: Explanation }) {
  const { root } = explanation
  if (root.p50_ns === null) {
    return (
      <span className="trace-usual muted">
        {root.count === 0 ? 'nothing to compare with' : 'too few to compare'}
      </span>
    )
  }
  const usual = Number(root.p50_ns)
  const words = `usually p50 ${formatDuration(usual)}${
    root.p95_ns === null ? '' : ` · p95 ${formatDuration(Number(root.p95_ns))}`
  }`
  const slow = isSlow(explanation)
  return (
    <span className="trace-usual" title={`${words}, of ${plural(root.count, 'trace')} of ${root.operation}`}>
      <span className={slow ? 'slow' : 'usual'}>
        {slow ? `${timesUsual(Number(root.duration_ns) / usual)} × usual` : 'usual'}
      </span>
      <span className="muted">{words}</span>
    </span>
  )
}

function timesUsual(ratio: number): string {
  return ratio < 9.95 ? ratio.toFixed(1) : formatCount(Math.round(ratio))
}
