/** Shapes of the query API. Generated from its OpenAPI document by scripts/api_types.py; do not edit. */

export interface ErrorAnswer {
  error: {
    code: string
    message: string
    position: number | null
  }
}

export interface Receiver {
  name: string
  transport: string
  address: string
  state: 'open' | 'off' | 'failed'
  option: string
  connections: number
  spans: number
  refused_requests: number
  last_error: string | null
  last_client: string | null
  last_seen_unix_nano: string | null
}

export interface Trouble {
  what:
    | 'log'
    | 'log_damage'
    | 'log_foreign'
    | 'writer'
    | 'store_damage'
    | 'retention'
    | 'disk_cap'
    | 'clock'
    | 'query'
  since_unix_nano: string
  last_unix_nano: string
  count: number
  message: string
}

export interface Status {
  version: string
  started_unix_nano: string
  accepted_spans: number
  stored_spans: number
  rejected_spans: Record<string, number>
  duplicate_requests: number
  dead_letter_spans: number
  backlog_bytes: number
  backlog_spans: number
  oldest_unstored_ms: number
  disk_bytes: number
  max_disk_bytes: number
  retention_s: number
  refused_requests: number
  damaged_log_bytes: number
  damaged_store_parts: number
  troubles: Trouble[]
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

export interface Baseline {
  count: number
  failed: number
  p50_ns: string | null
  p95_ns: string | null
  p99_ns: string | null
  from: string
  to: string
}

export interface Page {
  traces: TraceSummary[]
  complete: boolean
  reason: string | null
  next: string | null
}

export interface Skeleton {
  t0: string
  services: string[]
  names: string[]
  /** one joined hex text, 16 digits a row */
  span_id: string
  /** row; -1 root, -2 missing */
  parent: number[]
  missing: [number, string][]
  /** ns from t0 */
  start: number[]
  /** ns */
  dur: number[]
  /** row and negative length in ns of spans that end before they begin; their dur is 0 */
  negative: number[][]
  /** index into services */
  svc: number[]
  /** index into names */
  name: number[]
  /** OTLP's numbers */
  kind: number[]
  /** bits: 1 failed; 2 failed, and no descendant is; 4 has events; 8 has links; 16 outside its parent, or ends before it begins; 32 another span has this id; 64 no usable start time: placed at its arrival */
  flags: number[]
  critical: number[][]
  total: number
  etag: string
}
