/** All events of the trace in the order of time. */
import { useQuery } from '@tanstack/react-query'
import { useMemo, useState } from 'react'
import { api } from '../../api/client'
import { FLAG } from '../../api/flags'
import type { SpanEvent } from '../../api/otlp'
import { zoneStore } from '../../app/preferences'
import { useStore } from '../../app/store'
import {
  formatCount,
  formatDuration,
  formatFullTime,
  plural,
  shortened,
  shortenedName,
} from '../../model/format'
import { isFromLog, sortedAttributes, spansOf, valueText } from '../../model/otlp'
import { Problem } from '../Problem'
import { ServiceChip } from '../ServiceChip'
import { SlowNotice, Stopped } from '../SlowNotice'
import type { TabProps } from './types'

/** Spans in one request, as the API allows. */
const SPANS_AT_ONCE = 100
const MOST_SPANS = 1000
const FIRST_ROWS = 500
const FIRST_KEYS = ['exception.type', 'exception.message', 'message', 'log.message']

interface Row {
  event: SpanEvent
  node: number
  at: bigint
}

export default function EventsTab({ traceId, model, colours, onSelect }: TabProps) {
  const zone = useStore(zoneStore)
  const [isAll, setAll] = useState(false)
  const holders = useMemo(() => {
    const found: number[] = []
    for (let node = 0; node < model.count; node++) if (model.hasFlag(node, FLAG.events)) found.push(node)
    return found
  }, [model])
  const asked = holders.slice(0, MOST_SPANS)
  const ids = asked.map((node) => model.spanId(node))
  const events = useQuery({
    queryKey: ['events', traceId, model.skeleton.etag],
    enabled: ids.length > 0,
    staleTime: Infinity,
    structuralSharing: false,
    queryFn: async ({ signal }) => {
      const rows: Row[] = []
      for (let from = 0; from < ids.length; from += SPANS_AT_ONCE) {
        const answer = await api.spans(traceId, ids.slice(from, from + SPANS_AT_ONCE), signal)
        for (const { span } of spansOf(answer)) {
          for (const event of span.events ?? []) {
            rows.push({ event, node: model.nodeOf(span.spanId), at: BigInt(event.timeUnixNano ?? '0') })
          }
        }
      }
      return rows.toSorted((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : 0))
    },
  })
  const begin = BigInt(model.skeleton.t0) + BigInt(Math.round(model.earliest))
  const rows = events.data ?? []
  const shown = isAll ? rows : rows.slice(0, FIRST_ROWS)
  return (
    <section className="tab-body" aria-label="Events" aria-busy={events.isFetching}>
      {events.error ? <Problem error={events.error} onRetry={() => void events.refetch()} /> : null}
      <SlowNotice active={events.isFetching} queryKey={['events', traceId]} />
      {events.isPending && !events.isFetching && ids.length > 0 ? (
        <Stopped onAgain={() => void events.refetch()} />
      ) : null}
      {holders.length === 0 ? <p className="tab-note">No span of this trace has events.</p> : null}
      {holders.length > asked.length ? (
        <p className="notice notice-warning">
          Events of the first {formatCount(asked.length)} of {plural(holders.length, 'span')} that have any.
        </p>
      ) : null}
      {rows.length > 0 ? (
        <table className="facts facts-events" aria-label="Events of the trace">
          <thead>
            <tr>
              <th scope="col" className="number">
                After
              </th>
              <th scope="col">Span</th>
              <th scope="col">Event</th>
              <th scope="col">What it says</th>
            </tr>
          </thead>
          <tbody>
            {shown.map(({ event, node, at }, index) => (
              // Events may be equal: their place is what tells them apart.
              // oxlint-disable-next-line react/no-array-index-key
              <tr key={index}>
                <td className="number" title={formatFullTime(String(at), zone)}>
                  {formatDuration(Number(at - begin))}
                </td>
                <td>
                  {node < 0 ? (
                    '–'
                  ) : (
                    <button type="button" className="panel-step" onClick={() => onSelect(node)}>
                      <ServiceChip colour={colours[model.service[node]!] ?? 0} />
                      <span>
                        <b>{shortenedName(model.serviceLabel(node), 80)}</b>{' '}
                        {shortenedName(model.spanLabel(node), 120)}
                      </span>
                    </button>
                  )}
                </td>
                <td>
                  {shortenedName(event.name || 'event', 120)}{' '}
                  {isFromLog(event) ? <span className="badge">from a log</span> : null}
                </td>
                <td className="mono event-says">{says(event)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      ) : null}
      {rows.length > shown.length ? (
        <button type="button" className="button" onClick={() => setAll(true)}>
          Show all {formatCount(rows.length)}
        </button>
      ) : null}
    </section>
  )
}

/** The attributes in one line, the telling ones first; stacks are in the details of the span. */
function says(event: SpanEvent): string {
  const all = sortedAttributes(event.attributes).filter(
    ({ key }) => key !== 'exception.stacktrace' && key !== 'clew.from',
  )
  const first = FIRST_KEYS.flatMap((key) => all.filter((one) => one.key === key))
  const others = all.filter(({ key }) => !FIRST_KEYS.includes(key))
  const words = [
    first.map(({ value }) => shortened(valueText(value), 200)).join(': '),
    ...others.map(({ key, value }) => `${key}=${shortened(valueText(value), 80)}`),
  ]
  return shortened(words.filter(Boolean).join('  '), 400)
}
