/** Orders of the rows that are shown, for columns that the server has no order for. */
import type { TraceAnswer, TraceSummary } from '../api/types'
import type { RowColumn, RowOrder } from '../app/url'
import { visibleName } from './format'

const collator = new Intl.Collator(undefined, { numeric: true })

/** The column that an order goes by; null for none. */
export function columnOf(order: RowOrder): RowColumn | null {
  return order === '' ? null : (order.replace(/^-/, '') as RowColumn)
}

/** The attribute that a column shows; null for a column that every list has. */
export function attributeOf(column: RowColumn | null): string | null {
  return column?.startsWith('attr:') ? column.slice('attr:'.length) : null
}

/** Whether an order needs what is only asked for the rows in view. */
export function needsAnswers(order: RowOrder): boolean {
  const column = columnOf(order)
  return column === 'failed' || column === 'time' || attributeOf(column) !== null
}

/** The two orders of a column, the one that is wanted more often first. */
export function ordersOf(column: RowColumn): readonly [RowOrder, RowOrder] {
  return column === 'services' ? [`-${column}`, column] : [column, `-${column}`]
}

const NAMES: Record<string, string> = {
  name: 'root operation',
  service: 'root service',
  failed: 'where it failed',
  time: 'where the time went',
  services: 'services',
}

/** What an order goes by, and what comes first: `services, most first`. */
export function orderInWords(order: RowOrder): string {
  const column = columnOf(order)
  if (column === null) return ''
  const key = attributeOf(column)
  return `${key ?? NAMES[column]!}, ${directionInWords(order)}`
}

/** What comes first: `most first`. */
export function directionInWords(order: RowOrder): string {
  const column = columnOf(order)
  const isDescending = order.startsWith('-')
  if (column === 'services') return isDescending ? 'most first' : 'fewest first'
  if (attributeOf(column) !== null) return isDescending ? 'highest first' : 'lowest first'
  return isDescending ? 'Z to A' : 'A to Z'
}

type AnswerOf = (trace: TraceSummary) => TraceAnswer | null | undefined

export interface OrderedRows {
  rows: readonly TraceSummary[]
  /** So many rows have to be read before the last pages can be ordered with the others. */
  waiting: number
}

/**
 * The rows of some pages in an order; rows that are equal stay in the order of the pages, rows that have nothing in the
 * column come last. Pages of which something is not known yet stay behind the others: rows do not move one by one.
 */
export function orderedRows(
  pages: readonly (readonly TraceSummary[])[],
  order: RowOrder,
  answerOf: AnswerOf,
): OrderedRows {
  if (order === '') return { rows: pages.flat(), waiting: 0 }
  const isKnown = (trace: TraceSummary) => !needsAnswers(order) || answerOf(trace) !== undefined
  const lacking = pages.findIndex((page) => !page.every(isKnown))
  const known = (lacking < 0 ? pages : pages.slice(0, lacking)).flat()
  const others = lacking < 0 ? [] : pages.slice(lacking).flat()
  return {
    rows: [...inOrder(known, order, answerOf), ...others],
    waiting: others.filter((trace) => !isKnown(trace)).length,
  }
}

/** The rows in an order, with what is known of them. */
export function inOrder(
  traces: readonly TraceSummary[],
  order: RowOrder,
  answerOf: AnswerOf,
): readonly TraceSummary[] {
  const column = columnOf(order)
  if (column === null) return traces
  const turn = order.startsWith('-') ? -1 : 1
  const rows = traces.map((trace) => ({ trace, value: valueOf(trace, column, answerOf(trace)) }))
  return rows
    .toSorted(
      ({ value: a }, { value: b }) =>
        a.rank - b.rank || turn * compareLists(a.values, b.values) || b.share - a.share,
    )
    .map(({ trace }) => trace)
}

interface RowValue {
  /** Rows of a smaller one come first in both directions. */
  rank: number
  values: readonly string[]
  /** Of equal ones the largest comes first in both directions. */
  share: number
}

const of = (values: readonly string[], rank = 0, share = 0): RowValue => ({ rank, values, share })
const NOTHING: RowValue = { rank: 9, values: [], share: 0 }

function valueOf(trace: TraceSummary, column: RowColumn, answer: TraceAnswer | null | undefined): RowValue {
  switch (column) {
    case 'name':
      return trace.root_name === '' ? NOTHING : of([trace.root_name, trace.root_service])
    case 'service':
      return trace.root_service === '' ? NOTHING : of([trace.root_service, trace.root_name])
    case 'services':
      return of([String(trace.services.length)])
    case 'failed':
      return whereItFailed(trace, answer)
    case 'time': {
      const largest = answer?.shares[0]
      return largest ? of([visibleName(largest.owner, 'no service')], 0, largest.share) : NOTHING
    }
    default: {
      const values = answer?.values[attributeOf(column) ?? ''] ?? []
      return values.length === 0 ? NOTHING : of(values)
    }
  }
}

/** As the column says it: the place, how many failed where that is not known, how many were handled. */
function whereItFailed(trace: TraceSummary, answer: TraceAnswer | null | undefined): RowValue {
  const origin = answer?.origin
  if (origin) {
    const service = visibleName(origin.service, 'no service')
    return of([service, visibleName(origin.operation, 'no name'), origin.type, origin.message])
  }
  if (answer && answer.skipped === null) return answer.handled > 0 ? of([String(answer.handled)], 2) : NOTHING
  return trace.errors > 0 ? of([String(trace.errors)], 1) : NOTHING
}

function compareLists(a: readonly string[], b: readonly string[]): number {
  for (let at = 0; at < a.length && at < b.length; at++) {
    const order = compareValues(a[at]!, b[at]!)
    if (order !== 0) return order
  }
  return a.length - b.length
}

/** Numbers by their size and before texts, texts as the reader's language has them. */
export function compareValues(a: string, b: string): number {
  const [left, right] = [asNumber(a), asNumber(b)]
  if (left === null || right === null) {
    if (left !== null) return -1
    if (right !== null) return 1
    return collator.compare(a, b) || (a < b ? -1 : a > b ? 1 : 0)
  }
  if (left !== right) return left < right ? -1 : 1
  // Whole numbers that a double cannot tell apart.
  const isWhole = /^-?\d+$/.test(a) && /^-?\d+$/.test(b)
  return isWhole ? Number(BigInt(a) - BigInt(b)) : 0
}

function asNumber(text: string): number | null {
  return /^-?(\d+(\.\d+)?(e[+-]?\d+)?|Infinity)$/.test(text) ? Number(text) : null
}
