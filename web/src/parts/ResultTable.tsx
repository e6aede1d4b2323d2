/** The traces of a search, one a row. */
import { useEffect, useMemo, useRef, type CSSProperties, type ReactNode } from 'react'
import { useLocation, Link } from 'wouter'
import type { TraceAnswer, TraceSummary } from '../api/types'
import { announce } from '../app/announce'
import { zoneStore } from '../app/preferences'
import type { RowColumn, RowOrder, Sort } from '../app/url'
import { useStore } from '../app/store'
import { useAnswers } from '../app/useAnswers'
import {
  exactDuration,
  formatCount,
  formatDuration,
  formatPercent,
  formatTime,
  isoTime,
  plural,
  valuesText,
  visibleName,
  zoneName,
} from '../model/format'
import { SORT_WORDS } from '../model/order'
import {
  attributeOf,
  directionInWords,
  needsAnswers,
  orderInWords,
  orderedRows,
  ordersOf,
} from '../model/rowOrder'
import { FailedMark, Icon, PassedOnMark } from './icons'
import { Breakable, CutName } from './Names'

interface Props {
  /** The traces as the server lists them, page by page. */
  pages: readonly (readonly TraceSummary[])[]
  /** Keys of attributes. */
  columns: readonly string[]
  onColumns: (columns: readonly string[]) => void
  sort: Sort
  onSort: (sort: Sort) => void
  /** How the rows that are shown are ordered. */
  order: RowOrder
  onOrder: (order: RowOrder) => void
  /** The trace that was opened from here last; empty for none. */
  opened: string
  onOpen: (traceId: string) => void
}

/** What the column of the start has room for: `12:04:31.207`, `22 Nov 12:04:31.207`, else with the year. */
const STARTS = [
  { letters: 12, name: 'results-today' },
  { letters: 19, name: '' },
]

export function ResultTable({
  pages,
  columns,
  onColumns,
  sort,
  onSort,
  order,
  onOrder,
  opened,
  onOpen,
}: Props) {
  const traces = useMemo(() => pages.flat(), [pages])
  const zone = useStore(zoneStore)
  const longest = traces.reduce((most, trace) => Math.max(most, Number(trace.duration_ns)), 1)
  const table = useRef<HTMLTableElement>(null)
  const answers = useAnswers(table, traces, columns, needsAnswers(order))
  const { rows, waiting } = orderedRows(pages, order, (trace) => answers.get(trace))
  const times = traces.map((trace) => formatTime(trace.start_unix_nano, zone).length)
  const dates = STARTS.find(({ letters }) => Math.max(...times) <= letters)?.name ?? 'results-dated'
  const isOrdered = order !== '' && waiting === 0
  useEffect(() => {
    if (isOrdered) announce(`${plural(rows.length, 'row')} ordered by ${orderInWords(order)}`)
  }, [isOrdered, order, rows.length])
  // While the rows have an order of their own, the heads of the server's orders say none.
  const listSort = order === '' ? sort : null
  const own = { order, onOrder, count: rows.length, waiting }
  return (
    <table
      className={`results ${columns.length > 0 ? 'results-more' : ''} ${dates}`}
      style={{ '--more': columns.length } as CSSProperties}
      aria-label="Traces"
      ref={table}
    >
      <thead>
        <tr>
          <SortHead
            className="col-started"
            orders={['-start', 'start']}
            sort={listSort}
            onSort={onSort}
            note={zoneName(zone)}
          >
            Started
          </SortHead>
          <RowsHead
            className="col-root"
            columns={[
              ['name', 'Root operation'],
              ['service', 'Service'],
            ]}
            {...own}
          />
          <SortHead className="col-duration" orders={['-dur', 'dur']} sort={listSort} onSort={onSort}>
            Duration
          </SortHead>
          <RowsHead className="col-failed" columns={[['failed', 'Where it failed']]} {...own} />
          <RowsHead className="col-time" columns={[['time', 'Where the time went']]} {...own} />
          {columns.map((key) => (
            <RowsHead key={key} className="col-own" columns={[[`attr:${key}`, key]]} {...own}>
              <button
                type="button"
                className="icon-button icon-button-small"
                aria-label={`Remove the column ${key}`}
                onClick={() => onColumns(columns.filter((one) => one !== key))}
              >
                <Icon name="close" size={12} />
              </button>
            </RowsHead>
          ))}
          <SortHead className="col-number" orders={['-spans']} sort={listSort} onSort={onSort}>
            Spans
          </SortHead>
          <RowsHead className="col-services" columns={[['services', 'Services']]} {...own} />
        </tr>
      </thead>
      <tbody>
        {rows.map((trace) => (
          <ResultRow
            key={trace.trace_id}
            trace={trace}
            length={Number(trace.duration_ns) / longest}
            columns={columns}
            isOpened={trace.trace_id === opened}
            onOpen={onOpen}
            answer={answers.get(trace)}
            colour={(service) => answers.colour(service)}
          />
        ))}
      </tbody>
    </table>
  )
}

interface SortHeadProps {
  className: string
  /** The orders that the column has; a click takes the first, another click the next. */
  orders: readonly Sort[]
  /** Null where the list has another order. */
  sort: Sort | null
  onSort: (sort: Sort) => void
  /** What the column says beside its name to those who hear the page. */
  note?: string
  children: string
}

/** A column head that sorts. The order is said by `aria-sort`, and by an arrow. */
function SortHead({ className, orders, sort, onSort, note = '', children }: SortHeadProps) {
  const at = sort === null ? -1 : orders.indexOf(sort)
  const isDescending = sort?.startsWith('-') ?? false
  const next = at < 0 ? orders[0]! : (orders[at + 1] ?? (orders.length > 1 ? orders[0]! : '-start'))
  return (
    <th
      scope="col"
      className={className}
      aria-sort={at < 0 ? undefined : isDescending ? 'descending' : 'ascending'}
    >
      <button
        type="button"
        className="sort-head"
        title={`Sort: ${SORT_WORDS[next]} first`}
        onClick={() => onSort(next)}
      >
        {children}
        {note === '' ? null : <span className="unseen">, {note}</span>}
        <span className="sort-mark">
          {at < 0 ? null : <Icon name={isDescending ? 'down' : 'up'} size={12} />}
        </span>
      </button>
    </th>
  )
}

interface RowsHeadProps {
  className: string
  /** What the column shows that rows can be ordered by, with its name. */
  columns: readonly (readonly [RowColumn, string])[]
  order: RowOrder
  onOrder: (order: RowOrder) => void
  /** How many rows are shown, and how many of them have to be read before all are ordered. */
  count: number
  waiting: number
  children?: ReactNode
}

/** A column head that orders the rows which are shown: the server has no order for it. A third click takes it back. */
function RowsHead({ className, columns, order, onOrder, count, waiting, children }: RowsHeadProps) {
  const isDescending = order.startsWith('-')
  const isMine = columns.some(([column]) => ordersOf(column).includes(order))
  return (
    <th
      scope="col"
      className={className}
      aria-sort={isMine ? (isDescending ? 'descending' : 'ascending') : undefined}
    >
      <span className="rows-head">
        {columns.map(([column, name]) => {
          const orders = ordersOf(column)
          const at = orders.indexOf(order)
          const next = at < 0 ? orders[0] : at === 0 ? orders[1] : ''
          const does =
            next === ''
              ? 'Rows as they were listed'
              : `Orders the ${plural(count, 'row')} shown: ${directionInWords(next)}`
          const key = attributeOf(column)
          return (
            <button
              key={column}
              type="button"
              className="sort-head"
              aria-pressed={columns.length > 1 ? at >= 0 : undefined}
              title={key === null ? does : `${key}\n${does}`}
              onClick={() => onOrder(next)}
            >
              <span className="sort-name">{name}</span>
              <span className="sort-mark">
                {at < 0 ? null : waiting > 0 ? (
                  <span title={`${count - waiting} of ${plural(count, 'row')} read`}>…</span>
                ) : (
                  <Icon name={isDescending ? 'down' : 'up'} size={12} />
                )}
              </span>
            </button>
          )
        })}
        {children}
      </span>
    </th>
  )
}

interface RowProps {
  trace: TraceSummary
  /** Of the bar beside the duration, 0 to 1. */
  length: number
  columns: readonly string[]
  isOpened: boolean
  /** It does not match any more. */
  isGone?: boolean
  onOpen: (traceId: string) => void
  /** Null where it could not be had, undefined while it is not there. */
  answer: TraceAnswer | null | undefined
  colour: (service: string) => number
}

export function ResultRow({
  trace,
  length,
  columns,
  isOpened,
  isGone = false,
  onOpen,
  answer,
  colour,
}: RowProps) {
  const zone = useStore(zoneStore)
  const [, navigate] = useLocation()
  const path = `/trace/${trace.trace_id}`
  const duration = Number(trace.duration_ns)
  const name = visibleName(trace.root_name, 'no name')
  const service = visibleName(trace.root_service, 'no service')
  return (
    // The link inside the row is what keys and screen readers use; a click anywhere is a convenience of the mouse.
    // oxlint-disable-next-line jsx-a11y/click-events-have-key-events
    <tr
      data-trace-id={trace.trace_id}
      className={isOpened ? 'opened' : isGone ? 'gone' : undefined}
      // Before a link in the row leads away.
      onClickCapture={() => onOpen(trace.trace_id)}
      onClick={(event) => {
        if (event.target instanceof Element && event.target.closest('a')) return
        if (getSelection()?.isCollapsed === false) return
        if (event.ctrlKey || event.metaKey) window.open(new URL(path.slice(1), document.baseURI), '_blank')
        else navigate(path)
      }}
    >
      <td className="col-started mono" title={isoTime(trace.start_unix_nano)}>
        {formatTime(trace.start_unix_nano, zone)}
      </td>
      <td className="col-root" title={`${name}\n${service}`}>
        {/* Its name is what is written in it, without the places where that may be broken. */}
        <Link href={path} aria-label={`${name} ${service}`}>
          <b>
            <CutName text={name} />
          </b>{' '}
          <span className="muted" style={{ '--letters': `${service.length}ch` } as CSSProperties}>
            <Breakable text={service} />
          </span>
        </Link>{' '}
        {trace.has_root ? null : (
          <span className="badge" title="The root span was not received; this is the earliest span">
            no root
          </span>
        )}
      </td>
      <td className="col-duration" title={exactDuration(duration)}>
        <span className="duration">
          <span>{formatDuration(duration)}</span>
          <svg className="bar" aria-hidden="true" preserveAspectRatio="none" viewBox="0 0 100 8">
            <rect width={Math.max(1, length * 100)} height="8" />
          </svg>
        </span>
      </td>
      <td className="col-failed">
        <WhereItFailed trace={trace} answer={answer} />
      </td>
      <td className="col-time">
        <WhereTheTimeWent answer={answer} colour={colour} />
      </td>
      {columns.map((key) => (
        <ValueCell key={key} of={key} values={answer?.values[key]} />
      ))}
      <td className="col-number">
        {formatCount(trace.spans)}
        <span className="phone-only"> {trace.spans === 1 ? 'span' : 'spans'}</span>
      </td>
      <td
        className="col-services"
        title={trace.services.map((one) => visibleName(one, 'no service')).join(', ')}
      >
        {formatCount(trace.services.length)}
        <span className="phone-only"> {trace.services.length === 1 ? 'service' : 'services'}</span>
      </td>
    </tr>
  )
}

/** The values that spans of one trace have for an attribute; undefined while they are not there. */
function ValueCell({ of, values }: { of: string; values: readonly string[] | undefined }) {
  if (values === undefined) return <td className="col-own" data-key={of} />
  const shown = values.length === 0 ? '–' : valuesText(values, ', ')
  return (
    // Its name is what is written in it, without the places where that may be broken.
    <td className="col-own mono" data-key={of} title={values.join('\n')} aria-label={shown}>
      <CutName text={shown} />
    </td>
  )
}

/** The span at which the failure began; until that is known, what the search counted. */
function WhereItFailed({ trace, answer }: Pick<RowProps, 'trace' | 'answer'>) {
  const origin = answer?.origin
  if (origin) {
    const service = visibleName(origin.service, 'no service')
    const operation = visibleName(origin.operation, 'no name')
    const more = (answer?.origins ?? 1) - 1
    const short = shortType(origin.type) || origin.message
    const others = more > 0 ? `and ${plural(more, 'more failure')}` : ''
    const reason = [origin.type, origin.message].filter((text) => text !== '').join(': ')
    return (
      <Link
        className="failed"
        href={`/trace/${trace.trace_id}?span=${origin.span_id}`}
        // Its name is what is written in it, without the places where that may be cut or broken.
        aria-label={[`failed in ${service} · ${operation}`, short, others]
          .filter((text) => text !== '')
          .join(' ')}
        title={[`${service} · ${operation}`, reason, others].filter((text) => text !== '').join('\n')}
      >
        <FailedMark />
        <CutName className="failed-service" text={service} /> · <CutName text={operation} />{' '}
        <span className="reason">{short}</span>
        {others === '' ? null : <span className="muted others"> +{formatCount(more)}</span>}
      </Link>
    )
  }
  if (answer && answer.skipped === null) {
    return answer.handled > 0 ? (
      <span className="muted handled" title="The request went on and succeeded">
        <PassedOnMark />
        {plural(answer.handled, 'failure')} handled
      </span>
    ) : (
      <NoSpanFailed />
    )
  }
  if (trace.errors === 0) return <NoSpanFailed />
  return (
    <span className="failed" title={answer?.skipped ?? undefined}>
      <FailedMark />
      {plural(trace.errors, 'span')} failed
    </span>
  )
}

function NoSpanFailed() {
  return (
    <span className="muted ok">
      <Icon name="check" size={14} />
      no span failed
    </span>
  )
}

/** `TimeoutError` of `asyncio.exceptions.TimeoutError`: the module stands in the tooltip. */
function shortType(type: string): string {
  return type.slice(type.lastIndexOf('.') + 1)
}

/** The critical path by service: a bar, and the largest in words. */
function WhereTheTimeWent({ answer, colour }: Pick<RowProps, 'answer' | 'colour'>) {
  if (answer === undefined) return null
  const largest = answer?.shares[0]
  if (!answer || !largest) {
    return (
      <span className="muted" title={answer?.skipped ?? 'It has no length'}>
        –
      </span>
    )
  }
  const shares = [
    ...answer.shares.map(({ owner, share }) => ({
      name: visibleName(owner, 'no service'),
      share,
      colour: colour(owner),
    })),
    ...(answer.other > 0 ? [{ name: 'others', share: answer.other, colour: 0 }] : []),
  ]
  const words = shares.map(({ name, share }) => `${name} ${formatPercent(share)}`)
  return (
    <span className="time-went" title={`Critical path\n${words.join('\n')}`}>
      <span className="stacked" aria-hidden="true">
        {shares.map(({ name, share, colour: number }, at) => (
          <span
            key={`${at} ${name}`}
            style={{
              width: `${share * 100}%`,
              background: `var(--service-${number === 0 ? 'other' : number})`,
            }}
          />
        ))}
      </span>
      <span className="largest">{shares[0]!.name}</span> <span>{formatPercent(shares[0]!.share)}</span>
      <span className="unseen">
        {words
          .slice(1)
          .map((word) => `, ${word}`)
          .join('')}
      </span>
    </span>
  )
}
