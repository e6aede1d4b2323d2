/** Details of the selected span, loaded for this span only. */
import { useQuery } from '@tanstack/react-query'
import { useEffect, useId, useState, type KeyboardEvent } from 'react'
import { Link } from 'wouter'
import { api } from '../api/client'
import { FLAG } from '../api/flags'
import { zoneStore } from '../app/preferences'
import { useStore } from '../app/store'
import {
  durationBetween,
  exactDuration,
  formatDuration,
  formatFullTime,
  formatPercent,
} from '../model/format'
import { failureOf, kindWord, spansOf, type Failure, type SpanDetails } from '../model/otlp'
import { notesOf } from '../model/notes'
import type { TraceModel } from '../model/trace'
import { Attributes } from './Attributes'
import { CopyButton } from './CopyButton'
import { FailedMark, Icon, PassedOnMark } from './icons'
import { Problem } from './Problem'
import { ServiceChip } from './ServiceChip'

const TABS = ['Overview', 'Attributes', 'Events', 'Links', 'Raw'] as const
type Tab = (typeof TABS)[number]
const OVERVIEW_ROWS = 8

interface Props {
  traceId: string
  model: TraceModel
  node: number
  colours: Uint8Array
  onClose: () => void
  onEvents: (times: readonly number[]) => void
}

export function SpanPane({ traceId, model, node, colours, onClose, onEvents }: Props) {
  const spanId = model.spanId(node)
  const details = useQuery({
    queryKey: ['span', traceId, spanId],
    queryFn: async ({ signal }) => spansOf(await api.spans(traceId, [spanId], signal)),
    staleTime: Infinity,
  })
  const found = pick(details.data ?? [], model, node)

  useEffect(() => {
    const begin = BigInt(model.skeleton.t0) + BigInt(Math.round(model.earliest))
    const events = found?.span.events ?? []
    onEvents(events.map((event) => Number(BigInt(event.timeUnixNano ?? '0') - begin)))
    return () => onEvents([])
  }, [found, model, onEvents])

  return (
    <aside className="details" aria-label="Span details">
      <header>
        <h2>
          {model.isOrigin(node) ? (
            <FailedMark size={16} />
          ) : model.isFailed(node) ? (
            <PassedOnMark size={16} />
          ) : null}
          {model.spanName(node) || 'no name'}
        </h2>
        <kbd aria-hidden="true">Esc</kbd>
        <button
          type="button"
          className="icon-button icon-button-small"
          aria-label="Close the details"
          onClick={onClose}
        >
          <Icon name="close" size={14} />
        </button>
        <p>
          <ServiceChip colour={colours[model.service[node]!] ?? 0} />
          {model.serviceName(node) || 'no service'}{' '}
          <span className="muted">
            {kindWord(model.skeleton.kind[model.row[node]!])} · starts at {formatDuration(model.start[node])}
          </span>
        </p>
        <p className="details-length">
          <strong title={exactDuration(model.duration[node]!)}>{formatDuration(model.duration[node])}</strong>{' '}
          <span className="muted">
            self {formatDuration(model.selfTime[node])} ·{' '}
            {formatPercent(model.duration[node]! / model.length)} of the trace
          </span>
        </p>
      </header>
      {details.error ? <Problem error={details.error} onRetry={() => void details.refetch()} /> : null}
      {found ? (
        <Loaded details={found} model={model} node={node} />
      ) : details.data ? (
        <p className="details-body">The details of this span are not stored.</p>
      ) : null}
    </aside>
  )
}

/** Of several spans with one id the one that starts when the row does. */
function pick(all: readonly SpanDetails[], model: TraceModel, node: number): SpanDetails | null {
  const start = String(
    BigInt(model.skeleton.t0) + BigInt(Math.round(model.earliest)) + BigInt(Math.round(model.start[node]!)),
  )
  return all.find((item) => item.span.startTimeUnixNano === start) ?? all[0] ?? null
}

function Loaded({ details, model, node }: { details: SpanDetails; model: TraceModel; node: number }) {
  const [tab, setTab] = useState<Tab>('Overview')
  const id = useId()
  const { span } = details
  const counts: Partial<Record<Tab, number>> = {
    Attributes: span.attributes?.length ?? 0,
    Events: span.events?.length ?? 0,
    Links: span.links?.length ?? 0,
  }
  const shownTabs = TABS.filter((name) => counts[name] !== 0 || name === 'Attributes')
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
        {tab === 'Overview' ? (
          <OverviewTab details={details} model={model} node={node} onTab={setTab} />
        ) : null}
        {tab === 'Attributes' ? <AttributesTab details={details} /> : null}
        {tab === 'Events' ? <EventsTab details={details} /> : null}
        {tab === 'Links' ? <LinksTab details={details} /> : null}
        {tab === 'Raw' ? <RawTab details={details} /> : null}
      </div>
    </>
  )
}

function OverviewTab({
  details,
  model,
  node,
  onTab,
}: {
  details: SpanDetails
  model: TraceModel
  node: number
  onTab: (tab: Tab) => void
}) {
  const zone = useStore(zoneStore)
  const { span, resource, scope } = details
  const failure = failureOf(span)
  const attributes = span.attributes ?? []
  return (
    <>
      {failure ? <FailureBlock failure={failure} /> : null}
      {attributes.length > 0 ? (
        <section>
          <div className="section-head">
            <h3>Attributes</h3>
            {attributes.length > OVERVIEW_ROWS ? (
              <button type="button" className="link-button" onClick={() => onTab('Attributes')}>
                all {attributes.length}
              </button>
            ) : null}
          </div>
          <Attributes attributes={attributes} most={OVERVIEW_ROWS} />
        </section>
      ) : null}
      {resource.length > 0 ? (
        <section>
          <div className="section-head">
            <h3>Resource</h3>
            {resource.length > OVERVIEW_ROWS ? (
              <button type="button" className="link-button" onClick={() => onTab('Attributes')}>
                all {resource.length}
              </button>
            ) : null}
          </div>
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
        </p>
        {notesOf(model, node).map((note) => (
          <p key={note} className="note-warning">
            {note}
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

function FailureBlock({ failure }: { failure: Failure }) {
  const text = [failure.message, failure.stack].filter(Boolean).join('\n')
  return (
    <section aria-label="Error">
      <div className="section-head">
        <h3 className="error-type">{failure.type}</h3>
        <CopyButton compact text={`${failure.type}: ${text}`} name="Copy the error" />
      </div>
      {text === '' ? null : (
        // A focus stop, so that keys can scroll a long stack.
        // oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex
        <pre className="stack" tabIndex={0}>
          {failure.message}
          {failure.stack ? <span className="muted">{`\n${failure.stack}`}</span> : null}
        </pre>
      )}
    </section>
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
          <Attributes attributes={details.scope.attributes} />
        </section>
      ) : null}
    </>
  )
}

function EventsTab({ details }: { details: SpanDetails }) {
  const { span } = details
  return (span.events ?? []).map((event, index) => (
    <section key={index}>
      <div className="section-head">
        <h3>{event.name || 'event'}</h3>
        <span className="muted">
          {event.timeUnixNano && span.startTimeUnixNano
            ? `${formatDuration(durationBetween(span.startTimeUnixNano, event.timeUnixNano))} into the span`
            : ''}
        </span>
      </div>
      <Attributes attributes={event.attributes ?? []} />
    </section>
  ))
}

function LinksTab({ details }: { details: SpanDetails }) {
  return (details.span.links ?? []).map((link, index) => (
    <section key={index}>
      <h3>
        <Link href={`/trace/${link.traceId}?span=${link.spanId}`} className="mono">
          {link.traceId}
        </Link>
      </h3>
      <p className="muted mono">span {link.spanId}</p>
      <Attributes attributes={link.attributes ?? []} />
    </section>
  ))
}

function RawTab({ details }: { details: SpanDetails }) {
  const text = JSON.stringify(details, null, 2)
  return (
    <section>
      <div className="section-head">
        <h3>OTLP JSON</h3>
        <CopyButton compact text={text} name="Copy the span as JSON" />
      </div>
      {/* A focus stop, so that keys can scroll it. */}
      {/* oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex */}
      <pre className="stack" tabIndex={0}>
        {text}
      </pre>
    </section>
  )
}
