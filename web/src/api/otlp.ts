/** OTLP JSON, as far as the pages read it. */

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
  /** The JSON leaves out an empty one; `spansOf` brings it back. */
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
