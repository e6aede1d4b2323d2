/** The listed traces as a file: CSV for a spreadsheet, JSON for a program. */
import type { TraceAnswer, TraceSummary } from '../api/types'
import { isoTime, valuesText } from './format'

export interface ListedTrace {
  trace: TraceSummary
  /** Null where it could not be had. */
  answer: TraceAnswer | null
}

/** One trace as an object: the summary of the API, where it failed, where its time went, and the added columns. */
export function rowAsObject({ trace, answer }: ListedTrace, columns: readonly string[]): object {
  return {
    ...trace,
    origin: answer?.origin ?? null,
    time: answer?.shares ?? [],
    values: Object.fromEntries(columns.map((key) => [key, answer?.values[key] ?? []])),
  }
}

export function rowsAsJson(rows: readonly ListedTrace[], columns: readonly string[]): string {
  return `${JSON.stringify(
    rows.map((row) => rowAsObject(row, columns)),
    null,
    2,
  )}\n`
}

const HEAD = [
  'trace_id',
  'started',
  'root_service',
  'root_name',
  'duration_ns',
  'spans',
  'errors',
  'services',
  'failed_service',
  'failed_operation',
  'failed_type',
  'failed_message',
  'time_went',
  'time_share',
]

/** With a mark of its encoding in front: without it a spreadsheet takes names in other scripts for something else. */
export function rowsAsCsv(rows: readonly ListedTrace[], columns: readonly string[]): string {
  const lines = rows.map(({ trace, answer }) => [
    trace.trace_id,
    isoTime(trace.start_unix_nano),
    trace.root_service,
    trace.root_name,
    trace.duration_ns,
    String(trace.spans),
    String(trace.errors),
    trace.services.join('; '),
    answer?.origin?.service ?? '',
    answer?.origin?.operation ?? '',
    answer?.origin?.type ?? '',
    answer?.origin?.message ?? '',
    answer?.shares[0]?.owner ?? '',
    answer?.shares[0]?.share.toFixed(4) ?? '',
    ...columns.map((key) => valuesText(answer?.values[key] ?? [], '; ')),
  ])
  const text = [[...HEAD, ...columns], ...lines].map((cells) => cells.map(cell).join(',')).join('\r\n')
  return `\ufeff${text}\r\n`
}

/** A cell in quotes where it must be. A text that a spreadsheet would run as a formula gets an apostrophe: spans say what they like. */
function cell(text: string): string {
  const safe = /^[=+\-@\t\r]/.test(text) && !/^-?\d+(\.\d+)?$/.test(text) ? `'${text}` : text
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe
}
