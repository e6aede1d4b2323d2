/** Shapes of the query API, as its contract pins them. */

export interface Receiver {
  name: string
  transport: string
  address: string
  state: 'open' | 'off' | 'failed'
  option: string | null
  connections: number
  spans: number
  refused_requests: number
  last_error: string | null
  last_client: string | null
  last_seen_unix_nano: string | null
}

export interface Status {
  version: string
  started_unix_nano: string
  accepted_spans: number
  stored_spans: number
  refused_requests: number
  max_disk_bytes: number
  retention_s: number
  receivers: Receiver[]
}

export interface TraceSummary {
  trace_id: string
  start_unix_nano: string
  duration_ns: string
  spans: number
  errors: number
  root_service: string
  root_name: string
  has_root: boolean
  services: string[]
}

export interface TracePage {
  traces: TraceSummary[]
  complete: boolean
  reason: string | null
  next: string | null
}

/** A whole trace as columns; rows are depth-first, children by start. */
export interface Skeleton {
  t0: string
  services: string[]
  names: string[]
  span_id: string
  /** Row of the parent, -1 for a root, -2 when the parent was not received. */
  parent: number[]
  missing: [row: number, parentId: string][]
  start: number[]
  dur: number[]
  svc: number[]
  name: number[]
  kind: number[]
  flags: number[]
  critical: [row: number, from: number, to: number][]
  total: number
  etag?: string
}

/** Bits of `Skeleton.flags`. */
export const FLAG = {
  failed: 1,
  origin: 2,
  events: 4,
  links: 8,
  outside: 16,
  duplicate: 32,
  adjusted: 64,
} as const

export interface AnyValue {
  stringValue?: string
  boolValue?: boolean
  intValue?: string | number
  doubleValue?: number | string
  bytesValue?: string
  arrayValue?: { values?: AnyValue[] }
  kvlistValue?: { values?: KeyValue[] }
}

export interface KeyValue {
  key: string
  value?: AnyValue
}

export interface SpanEvent {
  timeUnixNano?: string
  name?: string
  attributes?: KeyValue[]
}

export interface SpanLink {
  traceId: string
  spanId: string
  traceState?: string
  attributes?: KeyValue[]
}

export interface Span {
  traceId: string
  spanId: string
  parentSpanId?: string
  traceState?: string
  name?: string
  kind?: number | string
  startTimeUnixNano?: string
  endTimeUnixNano?: string
  attributes?: KeyValue[]
  events?: SpanEvent[]
  links?: SpanLink[]
  status?: { code?: number | string; message?: string }
}

export interface TracesData {
  resourceSpans?: {
    resource?: { attributes?: KeyValue[] }
    scopeSpans?: {
      scope?: { name?: string; version?: string; attributes?: KeyValue[] }
      spans?: Span[]
    }[]
  }[]
}
