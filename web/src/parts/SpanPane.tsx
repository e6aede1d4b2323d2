/** Details of the selected span, loaded for this span only. */
import { useQuery } from '@tanstack/react-query'
import { useEffect } from 'react'
import { api } from '../api/client'
import type { UsualValues } from '../model/explanation'
import { exactDuration, formatCount, formatDuration, formatPercent, plural } from '../model/format'
import type { GroupSummary } from '../model/groups'
import { kindWord, spansOf, type SpanDetails } from '../model/otlp'
import type { TraceModel } from '../model/trace'
import { FailedMark, Icon, PassedOnMark } from './icons'
import { Breakable } from './Names'
import { PaneHandle, usePaneWidth } from './PaneHandle'
import { Problem } from './Problem'
import { ServiceChip } from './ServiceChip'
import { SlowNotice, Stopped } from './SlowNotice'
import { SpanTabs } from './SpanTabs'

/** The group that the span belongs to. */
export interface PaneGroup {
  summary: GroupSummary
  /** Whether all members are one row now, which the details are about. */
  isFolded: boolean
  onToggle: () => void
}

interface Props {
  traceId: string
  model: TraceModel
  node: number
  colours: Uint8Array
  usual: UsualValues
  /** Failed and yet not the cause: the request went on well. */
  isHandled: boolean
  group: PaneGroup | null
  /** By how much the clock of the span's host was moved, in words; empty for none. */
  shift: string
  onClose: () => void
  onEvents: (times: readonly number[]) => void
}

export function SpanPane(props: Props) {
  const { traceId, model, node, colours, usual, isHandled, group, shift, onClose, onEvents } = props
  const width = usePaneWidth()
  const spanId = model.spanId(node)
  const details = useQuery({
    queryKey: ['span', traceId, spanId],
    queryFn: async ({ signal }) => spansOf(await api.spans(traceId, [spanId], signal)),
    staleTime: Infinity,
    // A span may hold megabytes, and never changes.
    structuralSharing: false,
  })
  const found = pick(details.data ?? [], model, node)
  const isGroup = group !== null && group.isFolded

  useEffect(() => {
    const begin = BigInt(model.skeleton.t0) + BigInt(Math.round(model.earliest))
    const events = found?.span.events ?? []
    onEvents(events.map((event) => Number(BigInt(event.timeUnixNano ?? '0') - begin)))
    return () => onEvents([])
  }, [found, model, onEvents])

  const name = model.spanLabel(node)
  return (
    <aside className="details" aria-label="Span details" style={{ width }}>
      <PaneHandle />
      <header>
        <h2 title={name.slice(0, 300)}>
          {model.isOrigin(node) && !isHandled ? (
            <FailedMark size={16} />
          ) : model.isFailed(node) ? (
            <PassedOnMark size={16} />
          ) : null}
          <span className="details-name">
            <Breakable text={name} />
          </span>
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
          <span className="details-service">{model.serviceLabel(node)}</span>{' '}
          <span className="muted">
            {kindWord(model.skeleton.kind[model.row[node]!])} · starts at {formatDuration(model.start[node])}
          </span>
        </p>
        {isGroup ? (
          <GroupLength group={group} usual={usual} model={model} node={node} />
        ) : (
          <Length model={model} node={node} usual={usual} />
        )}
        {group === null ? null : (
          <p>
            <button type="button" className="button button-small" onClick={group.onToggle}>
              {isGroup
                ? `Show the ${formatCount(group.summary.count)} one by one`
                : `Close the group of ${formatCount(group.summary.count)}`}
            </button>
            <kbd aria-hidden="true">g</kbd>
          </p>
        )}
      </header>
      {details.error ? <Problem error={details.error} onRetry={() => void details.refetch()} /> : null}
      <SlowNotice active={details.isFetching} queryKey={['span', traceId, spanId]} />
      {details.data === undefined && !details.isFetching && details.error === null ? (
        <Stopped onAgain={() => void details.refetch()} />
      ) : null}
      {found ? (
        <SpanTabs
          details={found}
          traceId={traceId}
          model={model}
          node={node}
          shift={shift}
          note={isGroup ? `Of ${plural(group.summary.count, 'equal call')} this is the first.` : ''}
          isHandled={isHandled}
        />
      ) : details.data ? (
        <p className="details-body">The details of this span are not stored.</p>
      ) : null}
    </aside>
  )
}

function Length({ model, node, usual }: { model: TraceModel; node: number; usual: UsualValues }) {
  const length = model.sentDuration(node)
  return (
    <p className="details-length">
      <strong title={exactDuration(length)}>{formatDuration(length)}</strong>{' '}
      <span className="muted">
        <UsualText usual={usual} model={model} node={node} />
        {length < 0
          ? 'ends before it begins, as sent'
          : `self ${formatDuration(model.selfTime[node])} · ${formatPercent(
              model.duration[node]! / model.length,
            )} of the trace`}
      </span>
    </p>
  )
}

function UsualText({ usual, model, node }: { usual: UsualValues; model: TraceModel; node: number }) {
  const known = usual.of(model.serviceName(node), model.spanName(node))
  if (known === null) return null
  return (
    <span>
      usually {formatDuration(known.p50)}
      {known.p95 === null ? '' : `, p95 ${formatDuration(known.p95)}`} ·{' '}
    </span>
  )
}

function GroupLength({
  group: { summary },
  usual,
  model,
  node,
}: {
  group: PaneGroup
  usual: UsualValues
  model: TraceModel
  node: number
}) {
  const known = usual.of(model.serviceName(node), model.spanName(node))
  return (
    <div className="details-length">
      <p>
        <strong title={exactDuration(summary.total)}>{formatDuration(summary.total)}</strong>{' '}
        <span className="muted">
          in {formatCount(summary.count)} equal calls
          {known === null ? '' : `, one usually ${formatDuration(known.p50)}`}
        </span>
      </p>
      <dl className="group-lengths">
        {(
          [
            ['shortest', summary.min],
            ['median', summary.median],
            ['longest', summary.max],
          ] as const
        ).map(([what, ns]) => (
          <div key={what}>
            <dt>{what}</dt>
            <dd title={exactDuration(ns)}>{formatDuration(ns)}</dd>
          </div>
        ))}
      </dl>
    </div>
  )
}

/** Of several spans with one id the one that starts when the row does. */
function pick(all: readonly SpanDetails[], model: TraceModel, node: number): SpanDetails | null {
  const start = String(
    BigInt(model.skeleton.t0) + BigInt(Math.round(model.earliest)) + BigInt(Math.round(model.start[node]!)),
  )
  return all.find((item) => item.span.startTimeUnixNano === start) ?? all[0] ?? null
}
