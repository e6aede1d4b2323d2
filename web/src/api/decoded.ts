/** The answer of `POST /decode`: a file as traces, and the spans of such a trace while its page is shown. */
import { spansOf, valueText } from '../model/otlp'
import type { KeyValue, Span, TracesData } from './otlp'
import type { Explanation, FoundSpans, Skeleton, SpanValues } from './types'

export interface DecodedTrace {
  trace_id: string
  skeleton: Skeleton
  explanation: Explanation
  otlp: TracesData
}

export interface Decoded {
  /** Most spans first. */
  traces: DecodedTrace[]
  left_out: number
  /** What of the file could not be read; null when all could. */
  unread: string | null
}

/** The trace of a file that is on the page: the server does not have it. */
let shown: DecodedTrace | null = null

/** Answers for the spans of this trace come from the file, until null is given. */
export function showDecoded(trace: DecodedTrace | null): void {
  shown = trace
}

/** The trace as it came, null when it is not the one of the file. */
export function decodedTrace(traceId: string): TracesData | null {
  return shown?.trace_id === traceId ? shown.otlp : null
}

/** Some spans of the trace of the file, as the server would answer. */
export function decodedSpans(traceId: string, spanIds: readonly string[]): TracesData | null {
  const whole = decodedTrace(traceId)
  if (whole === null) return null
  const wanted = new Set(spanIds)
  const isWanted = (span: Span) => wanted.has(span.spanId)
  return {
    resourceSpans: whole.resourceSpans?.map((resource) => ({
      ...resource,
      scopeSpans: resource.scopeSpans?.map((scope) => ({ ...scope, spans: scope.spans?.filter(isWanted) })),
    })),
  }
}

/** The spans of the trace of the file by their value of an attribute, as the server would answer. */
export function decodedValues(traceId: string, key: string): SpanValues | null {
  const whole = decodedTrace(traceId)
  if (whole === null) return null
  const idsOf = new Map<string, string>()
  let without = 0
  for (const { span, resource } of spansOf(whole)) {
    const text = textOf(span.attributes, key) || textOf(resource, key)
    if (text === '') without++
    else idsOf.set(text, (idsOf.get(text) ?? '') + span.spanId)
  }
  return { values: [...idsOf].map(([value, span_ids]) => ({ value, span_ids })), other: 0, without }
}

/** The spans of the trace of the file that hold a text, as the server would answer. */
export function decodedFind(traceId: string, text: string): FoundSpans | null {
  const whole = decodedTrace(traceId)
  if (whole === null) return null
  const wanted = text.toLowerCase()
  const found = spansOf(whole).filter(({ span, resource, scope }) => {
    const { attributes, events, links, status } = span
    return JSON.stringify([attributes, events, links, status, resource, scope]).toLowerCase().includes(wanted)
  })
  return { span_ids: found.map(({ span }) => span.spanId), complete: true }
}

function textOf(attributes: readonly KeyValue[] | undefined, key: string): string {
  return valueText(attributes?.find((one) => one.key === key)?.value)
}
