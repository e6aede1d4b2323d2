/** The answer of `POST /decode`: a file as traces, and the spans of such a trace while its page is shown. */
import type { Span, TracesData } from './otlp'
import type { Explanation, Skeleton } from './types'

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
