/** What is known of one span, in tabs. */
import { useQuery } from '@tanstack/react-query'
import { useId, useState, type KeyboardEvent } from 'react'
import { Link } from 'wouter'
import { api } from '../api/client'
import { FLAG } from '../api/flags'
import { zoneStore } from '../app/preferences'
import { searchPath } from '../app/session'
import { useStore } from '../app/store'
import {
  durationBetween,
  formatBytes,
  formatDuration,
  formatFullTime,
  formatTime,
  isoTime,
} from '../model/format'
import { genAiCall, isMessageKey } from '../model/genai'
import { notesOf } from '../model/notes'
import { failureOf, isFromLog, spansOf, type SpanDetails } from '../model/otlp'
import type { TraceModel } from '../model/trace'
import { Attributes } from './Attributes'
import { CopyButton } from './CopyButton'
import { GenAiSection } from './GenAiSection'
import { StackTrace } from './StackTrace'

const TABS = ['Overview', 'Attributes', 'Events', 'Links', 'Raw'] as const
type Tab = (typeof TABS)[number]
const OVERVIEW_ROWS = 8
const RAW_CHARACTERS = 20_000
const MOST_LINKING = 100
const MOST_LINKING_TRACES = 20
const HOUR_NS = 3_600_000_000_000n

interface Props {
  details: SpanDetails
  traceId: string
  model: TraceModel
  node: number
  /** By how much the clock of its host was moved, in words; empty for none. */
  shift: string
  /** Said above the overview; empty for nothing. */
  note: string
  isHandled: boolean
}

export function SpanTabs(props: Props) {
  const { details, traceId, model } = props
  const [tab, setTab] = useState<Tab>('Overview')
  const id = useId()
  const { span } = details
  const counts: Partial<Record<Tab, number>> = {
    Attributes: span.attributes?.length ?? 0,
    Events: span.events?.length ?? 0,
    Links: span.links?.length ?? 0,
  }
  const linking = linkingSpans(model)
  const shownTabs = TABS.filter((name) => counts[name] !== 0 || name === 'Attributes' || name === 'Links')
  const onKey = (event: KeyboardEvent) => {
    const by = event.key === 'ArrowRight' ? 1 : event.key === 'ArrowLeft' ? -1 : 0
    if (by === 0) return
    const next = shownTabs[(shownTabs.indexOf(tab) + by + shownTabs.length) % shownTabs.length]
    if (next === undefined) return
    event.preventDefault()
    setTab(next)
    document.getElementById(`${id}-${next}`)?.focus()
  }
  return (
    <>
      <div role="tablist" aria-label="Details" className="tabs">
        {shownTabs.map((name) => (
          <button
            key={name}
            id={`${id}-${name}`}
            type="button"
            role="tab"
            aria-selected={name === tab}
            aria-controls={`${id}-panel`}
            tabIndex={name === tab ? 0 : -1}
            onClick={() => setTab(name)}
            onKeyDown={onKey}
          >
            {name}
            {counts[name] ? ` ${counts[name]}` : ''}
          </button>
        ))}
      </div>
      {/* A focus stop, so that keys can scroll it. */}
      {/* oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex */}
      <div
        role="tabpanel"
        id={`${id}-panel`}
        aria-labelledby={`${id}-${tab}`}
        className="details-body"
        tabIndex={0}
      >
        {tab === 'Overview' ? <OverviewTab {...props} onTab={setTab} /> : null}
        {tab === 'Attributes' ? <AttributesTab details={details} /> : null}
        {tab === 'Events' ? <EventsTab details={details} /> : null}
        {tab === 'Links' ? <LinksTab details={details} traceId={traceId} linking={linking} /> : null}
        {tab === 'Raw' ? <RawTab details={details} /> : null}
      </div>
    </>
  )
}

function OverviewTab({
  details,
  model,
  node,
  shift,
  note,
  isHandled,
  onTab,
}: Props & { onTab: (tab: Tab) => void }) {
  const zone = useStore(zoneStore)
  const { span, resource, scope } = details
  const failure = failureOf(span)
  const call = genAiCall(span)
  const attributes = span.attributes ?? []
  return (
    <>
      {note === '' ? null : <p className="muted">{note}</p>}
      {isHandled ? <p className="muted">This failure was handled: the request went on well.</p> : null}
      {failure ? <StackTrace failure={failure} /> : null}
      {call ? <GenAiSection call={call} /> : null}
      {attributes.length > 0 ? (
        <section>
          <SectionHead title="Attributes" count={attributes.length} onAll={() => onTab('Attributes')} />
          <Attributes
            attributes={call ? attributes.filter(({ key }) => !isMessageKey(key)) : attributes}
            most={OVERVIEW_ROWS}
          />
        </section>
      ) : null}
      {resource.length > 0 ? (
        <section>
          <SectionHead title="Resource" count={resource.length} onAll={() => onTab('Attributes')} />
          <Attributes attributes={resource} most={OVERVIEW_ROWS} />
        </section>
      ) : null}
      <section>
        <h3>Clock</h3>
        <p className="muted">
          {span.startTimeUnixNano ? `${formatFullTime(span.startTimeUnixNano, zone)}, ` : ''}
          {model.hasFlag(node, FLAG.adjusted)
            ? 'time adjusted: it cannot be right as sent, so the span stands at its arrival'
            : 'as sent'}
          {shift === '' ? '' : `; ${shift}`}
        </p>
        {notesOf(model, node).map((odd) => (
          <p key={odd} className="note-warning">
            {odd}
          </p>
        ))}
      </section>
      {scope.name ? (
        <section>
          <h3>Scope</h3>
          <p className="muted mono">
            {scope.name} {scope.version}
          </p>
        </section>
      ) : null}
    </>
  )
}

function SectionHead({ title, count, onAll }: { title: string; count: number; onAll: () => void }) {
  return (
    <div className="section-head">
      <h3>{title}</h3>
      {count > OVERVIEW_ROWS ? (
        <button type="button" className="link-button" onClick={onAll}>
          all {count}
        </button>
      ) : null}
    </div>
  )
}

function AttributesTab({ details }: { details: SpanDetails }) {
  return (
    <>
      <section>
        <h3>Attributes</h3>
        {details.span.attributes?.length ? (
          <Attributes attributes={details.span.attributes} />
        ) : (
          <p className="muted">This span has none.</p>
        )}
      </section>
      {details.resource.length > 0 ? (
        <section>
          <h3>Resource</h3>
          <Attributes attributes={details.resource} />
        </section>
      ) : null}
      {details.scope.attributes.length > 0 ? (
        <section>
          <h3>Scope</h3>
          <Attributes of="scope" attributes={details.scope.attributes} />
        </section>
      ) : null}
    </>
  )
}

function EventsTab({ details }: { details: SpanDetails }) {
  const zone = useStore(zoneStore)
  const { span } = details
  return (span.events ?? []).map((event, index) => (
    // Events may be equal: their place is what tells them apart.
    // oxlint-disable-next-line react/no-array-index-key
    <section key={index}>
      <div className="section-head">
        <h3 className="event-name">
          {event.name || 'event'}
          {isFromLog(event) ? (
            <span className="badge" title="This event came as a log record with the id of the span">
              from a log
            </span>
          ) : null}
        </h3>
        <span className="muted" title={event.timeUnixNano ? formatTime(event.timeUnixNano, zone) : undefined}>
          {event.timeUnixNano && span.startTimeUnixNano
            ? `${formatDuration(durationBetween(span.startTimeUnixNano, event.timeUnixNano))} into the span`
            : ''}
        </span>
      </div>
      <Attributes of="event" attributes={(event.attributes ?? []).filter(({ key }) => key !== 'clew.from')} />
    </section>
  ))
}

/** Spans of this trace that hold links, at most as many as are fetched at once. */
function linkingSpans(model: TraceModel): string[] {
  const found: string[] = []
  for (let node = 0; node < model.count && found.length < MOST_LINKING; node++) {
    if (model.hasFlag(node, FLAG.links)) found.push(model.spanId(node))
  }
  return found
}

function LinksTab({
  details: { span },
  traceId,
  linking,
}: {
  details: SpanDetails
  traceId: string
  linking: readonly string[]
}) {
  const others = useQuery({
    queryKey: ['linking', traceId, linking],
    queryFn: async ({ signal }) => spansOf(await api.spans(traceId, [...linking], signal)),
    enabled: linking.length > 0,
    staleTime: Infinity,
    structuralSharing: false,
  })
  const from = (others.data ?? []).filter(({ span: other }) =>
    other.links?.some((link) => link.spanId === span.spanId && link.traceId === traceId),
  )
  return (
    <>
      {(span.links ?? []).map((link, index) => (
        // oxlint-disable-next-line react/no-array-index-key
        <section key={index}>
          <h3>
            <Link href={`/trace/${link.traceId}?span=${link.spanId}`} className="mono value">
              {link.traceId === traceId ? 'this trace' : link.traceId}
            </Link>
          </h3>
          <p className="muted mono">span {link.spanId}</p>
          <Attributes of="link" attributes={link.attributes ?? []} />
        </section>
      ))}
      {from.length > 0 ? (
        <section>
          <h3>Linked from</h3>
          <ul>
            {from.map(({ span: other }) => (
              <li key={other.spanId}>
                <Link href={`/trace/${traceId}?span=${other.spanId}`}>{other.name || 'no name'}</Link>{' '}
                <span className="muted mono">span {other.spanId}</span>
              </li>
            ))}
          </ul>
        </section>
      ) : null}
      {!span.links?.length && from.length === 0 ? (
        <p className="muted">This span has no links, and no span of this trace links to it.</p>
      ) : null}
      <LinkingTraces traceId={traceId} startUnixNano={span.startTimeUnixNano ?? '0'} />
    </>
  )
}

/** Traces with a span that links into this one: asked of the search, from an hour before the span on. */
function LinkingTraces({ traceId, startUnixNano }: { traceId: string; startUnixNano: string }) {
  const q = `link.trace=${traceId}`
  const from = isoTime(String(BigInt(startUnixNano) - HOUR_NS))
  const traces = useQuery({
    queryKey: ['linking-traces', traceId, from],
    queryFn: ({ signal }) => api.traces({ q, from, to: 'now', limit: MOST_LINKING_TRACES }, signal),
    enabled: startUnixNano !== '0',
  })
  const others = (traces.data?.traces ?? []).filter(({ trace_id }) => trace_id !== traceId)
  if (others.length === 0) return null
  return (
    <section>
      <h3>Traces that link to this one</h3>
      <ul>
        {others.map((trace) => (
          <li key={trace.trace_id}>
            <Link href={`/trace/${trace.trace_id}`}>{trace.root_name || 'no name'}</Link>{' '}
            <span className="muted">{trace.root_service || 'no service'}</span>
          </li>
        ))}
      </ul>
      {traces.data?.next ? <Link href={searchPath({ q, from })}>all of them</Link> : null}
    </section>
  )
}

function RawTab({ details }: { details: SpanDetails }) {
  const [isOpen, setOpen] = useState(false)
  const text = JSON.stringify(details, null, 2)
  const isLong = text.length > RAW_CHARACTERS
  return (
    <section>
      <div className="section-head">
        <h3>OTLP JSON</h3>
        <CopyButton compact text={text} name="Copy the span as JSON" />
      </div>
      {/* A focus stop, so that keys can scroll it. */}
      {/* oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex */}
      <pre className="stack" tabIndex={0}>
        {isLong && !isOpen ? `${text.slice(0, RAW_CHARACTERS)}…` : text}
      </pre>
      {isLong ? (
        <button type="button" className="link-button" onClick={() => setOpen(!isOpen)}>
          {isOpen ? 'show less' : `show all, ${formatBytes(new Blob([text]).size)}`}
        </button>
      ) : null}
    </section>
  )
}
