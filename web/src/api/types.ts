/** Shapes of the query API. Generated from its OpenAPI document by scripts/api_types.py; do not edit. */

export interface SimilarTrace {
  trace_id: string
  /** its id begins or ends alike, or one of its spans has this id */
  because: 'beginning' | 'half' | 'span_id'
}

export interface ErrorAnswer {
  error: {
    code: string
    message: string
    position: number | null
    /** traces that were probably meant, the best first */
    similar?: SimilarTrace[]
  }
}

export interface Receiver {
  name: string
  transport: string
  address: string
  state: 'open' | 'off' | 'failed'
  option: string
  point_at: string
  connections: number
  spans: number
  refused_requests: number
  dropped_datagrams: number
  files: number
  dropped: Record<string, number>
  unnamed_spans: number
  last_error: string | null
  last_client: string | null
  last_seen_unix_nano: string | null
}

export interface Trouble {
  what:
    | 'log'
    | 'log_damage'
    | 'agents_damage'
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
  dropped_signals: Record<string, number>
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
  damaged_agents_bytes: number
  damaged_store_parts: number
  tail_listeners: number
  tail_skipped_traces: number
  tail_unread_spans: number
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

export interface TraceOrigin {
  service: string
  operation: string
  type: string
  message: string
  span_id: string
}

export interface OwnerShare {
  owner: string
  share: number
}

export interface TraceAnswer {
  trace_id: string
  origin: TraceOrigin | null
  /** how many failures began in the trace that were not handled */
  origins: number
  /** how many were, or came too late for their caller */
  handled: number
  /** of the critical path, largest first */
  shares: OwnerShare[]
  /** the share of all others */
  other: number
  /** by key of the asked columns: the first different values in the trace, four at most */
  values: Record<string, string[]>
  /** why there is no answer */
  skipped: string | null
}

export interface TailTrace {
  trace_id: string
  start_unix_nano: string
  duration_ns: string
  spans: number
  errors: number
  root_service: string
  root_name: string
  has_root: boolean
  services: string[]
  failed_spans: number
  answer: TraceAnswer
}

export interface TailOpen {
  q: string
  failed: boolean
  rate: number
  /** when the tail began */
  since_unix_nano: string
  /** it goes on behind the event that Last-Event-ID names, counts too */
  resumed: boolean
  /** events between that one and the next, which are not kept any more; 0 unless resumed */
  missed: number
}

export interface TailCounts {
  /** that matched since the tail began, each counted once */
  traces: number
  /** of these traces */
  spans: number
  /** of these traces, those with a span that failed */
  failed: number
  /** of these traces, those that were not sent; none of them failed */
  skipped: number
  /** failed ones that were not sent: the reader is too slow */
  skipped_failed: number
  /** spans that came faster than they are looked at; none of them failed */
  unread_spans: number
  /** spans that came so fast that failed ones may be among them */
  lost_spans: number
}

export interface Baseline {
  count: number
  failed: number
  p50_ns: string | null
  p95_ns: string | null
  p99_ns: string | null
  from: string
  to: string
  /** as_sent: a span that came in two requests counts twice */
  counted: 'as_sent'
}

export interface Dependency {
  caller: string
  callee: string
  kind: 'call' | 'message' | 'database'
  /** the side that sends no spans, null: both do */
  uninstrumented: 'caller' | 'callee' | null
  calls: number
  /** calls of which a side's span has status error */
  failed: number
}

export interface Dependencies {
  dependencies: Dependency[]
  complete: boolean
  reason: string | null
}

export interface FoundSpans {
  span_ids: string[]
  complete: boolean
}

export interface SpanValues {
  values: {
    /** its first 300 characters */
    value: string
    /** 16 hex digits a span */
    span_ids: string
  }[]
  /** spans with another value */
  other: number
  /** spans without a value */
  without: number
}

export interface QueryKey {
  /** as a query writes it */
  key: string
  type: 'text' | 'word' | 'boolean' | 'length' | 'time' | 'number' | 'id' | 'list' | 'bytes' | 'any'
  /** spans that have it, null: a key of the language, which all have */
  count: number | null
}

export interface QueryKeys {
  keys: QueryKey[]
  /** as_sent: a span that came in two requests counts twice */
  counted: 'as_sent'
  complete: boolean
  reason: string | null
}

export interface KeyValue {
  /** as a query writes it, without quotes */
  value: string
  /** spans that have it, null: not counted */
  count: number | null
}

export interface KeyValues {
  values: KeyValue[]
  /** as_sent: a span that came in two requests counts twice */
  counted: 'as_sent'
  complete: boolean
  reason: string | null
}

export interface FacetValue {
  value: string
  /** traces that have a span with it */
  count: number
  failed: number
  selected: number
}

export interface Facet {
  /** as a query writes it */
  key: string
  /** by how much the share of a value differs, 0 where that may be chance */
  difference: number
  /** the ten most frequent */
  values: FacetValue[]
  /** how many more values there are */
  other: number
}

export interface FacetsOf {
  matched: number
  failed: number
  selected: number
  from_unix_nano: string
  to_unix_nano: string
}

export interface Heatmap {
  /** edges of the columns, one more than there are */
  x_unix_nano: string[]
  /** edges of the rows, one more than there are */
  y_ns: string[]
  /** column, row, traces, failed ones; cells with traces only */
  cells: number[][]
  /** of each cell how many traces, and failed ones, there were; empty where nothing was sampled */
  estimated: number[][]
}

export interface RangeFinding {
  kind: 'failing' | 'slower'
  /** a sentence; its times are in UTC */
  text: string
  /** the times that the text says, in their order */
  times: SaidTime[]
  /** a query that finds the traces it is about */
  q: string
}

export interface SaidTime {
  /** as the sentence says it, in UTC */
  text: string
  unix_nano: string
}

export interface EstimatedTraces {
  matched: number
  failed: number
  selected: SelectedTraces | null
}

export interface SelectedTraces {
  matched: number
  failed: number
}

export interface Excluded {
  /** as it stands in q */
  condition: string
  position: number
  matched_without: number
  /** the value or key there is that is spelled most like it */
  nearest: string | null
  nearest_is: 'value' | 'key' | null
}

export interface Summary {
  matched: number
  /** traces that hold a failed span */
  failed: number
  selected: SelectedTraces | null
  /** how many there were, by the probability with which traces say they were sampled; null: none says one */
  estimated: EstimatedTraces | null
  /** of the traces' durations, null: there are none */
  p50_ns: string | null
  p95_ns: string | null
  p99_ns: string | null
  heatmap: Heatmap
  /** those that differ most first */
  facets: Facet[]
  /** the traces that facets are counted in */
  facets_of: FacetsOf
  /** at most two */
  findings: RangeFinding[]
  /** where nothing matches: the condition without which most traces would */
  excluded: Excluded | null
  complete: boolean
  reason: string | null
}

export interface Points {
  trace_id: string[]
  start_unix_nano: string[]
  duration_ns: string[]
  /** 1: the trace holds a failed span */
  failed: number[]
  /** false: there are more; those that failed come first, of the others a sample */
  complete: boolean
  reason: string | null
}

export interface Version {
  service: string
  version: string
  first_unix_nano: string
}

export interface Versions {
  /** the earliest first */
  versions: Version[]
  complete: boolean
  reason: string | null
}

export interface RedSeries {
  /** by operation: whose it is */
  service: string | null
  /** the service, the operation, or the attribute's value */
  value: string
  count: number
  /** spans with status error */
  failed: number
  p50_ns: string
  p95_ns: string
  p99_ns: string
  /** how many there were, by the probability with which spans say they were sampled */
  estimated_count: number
  estimated_failed: number
  /** step from 0, count, failed, p50, p95, p99 in ns, estimated count and failed; a step without spans has none */
  points: number[][]
}

export interface Red {
  from_unix_nano: string
  to_unix_nano: string
  step_ns: string
  /** those with most spans first, a hundred at most */
  series: RedSeries[]
  /** as_sent: a span that came in two requests counts twice */
  counted: 'as_sent'
  complete: boolean
  reason: string | null
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
  /** ns in which no child ran, clocks aligned: one for each row that has children, in row order; of the others it is dur */
  self: number[]
  /** row and negative length in ns of spans that end before they begin; their dur is 0 */
  negative: number[][]
  /** index into services */
  svc: number[]
  /** index into names */
  name: number[]
  /** OTLP's numbers */
  kind: number[]
  /** bits: 1 failed; 2 failed, and not because of a descendant; 4 has events; 8 has links; 16 outside its parent, or ends before it begins; 32 another span has this id; 64 no usable start time: placed at its arrival; 128 an origin whose failure was handled: the root succeeded, or the call was sent again and did */
  flags: number[]
  /** row and ns by which the analysis moves spans whose host's clock is off; start is as it was sent */
  shifted: number[][]
  /** the critical path of the first root in time order: row, from, to in ns from t0, with spans moved as in shifted */
  critical: number[][]
  total: number
  etag: string
}

export interface Failure {
  /** 16 hex digits */
  span_id: string
  role: 'origin' | 'propagated' | 'handled' | 'abandoned'
  /** of the exception; empty where there is none, as is the message */
  type: string
  message: string
  service: string
  operation: string
}

export interface PathSection {
  /** 16 hex digits */
  span_id: string
  start_unix_nano: string
  end_unix_nano: string
  /** where so many short sections are told as one: the span is that of the longest */
  sections?: number
}

export interface Share {
  /** the service that answers for the time */
  owner: string
  operation: string
  critical_ns: string
  /** of the root's duration, 0 to 1 */
  share: number
  /** null: too few samples */
  usual_ns: string | null
  /** up to 20, the longest first */
  span_ids: string[]
}

export interface Finding {
  kind:
    | 'failure'
    | 'abandoned_failure'
    | 'handled_failure'
    | 'repeated_calls'
    | 'sequential_calls'
    | 'retries'
    | 'gap'
    | 'late_start'
    | 'queue_wait'
    | 'timeout'
    | 'slow_call'
    | 'fan_out_straggler'
    | 'missing'
  text: string
  /** of the root's duration, 0 to 1 */
  share: number
  numbers: Record<string, number>
  /** the most telling first */
  span_ids: string[]
  certainty: 'certain' | 'likely' | 'uncertain'
}

export interface UsualOperation {
  service: string
  operation: string
  count: number
  p50_ns: string | null
  p95_ns: string | null
}

export interface LeftOut {
  /** so many more spans began a failure */
  origin: number
  /** so many more failures, those of `origin` too */
  failures: number
  /** so many sections of the critical path are not told by themselves */
  sections: number
  sections_ns: string
}

export interface Explanation {
  verdict: 'failed' | 'slow' | 'usual' | 'unknown'
  summary: string
  /** span ids, the cause first; handled failures are not in it */
  origin: string[]
  failures: Failure[]
  /** in time order; sections touch and sum to the root's duration */
  critical_path: PathSection[]
  /** siblings overlapped: the path is one of several */
  path_uncertain: boolean
  /** of the critical path, largest first */
  shares: Share[]
  /** failures first, then by share */
  findings: Finding[]
  usual: UsualOperation[]
  root: {
    /** 16 hex digits */
    span_id: string
    service: string
    operation: string
    duration_ns: string
    /** samples of the operation */
    count: number
    /** percent of the samples that were shorter, null: too few */
    percentile: number | null
    p50_ns: string | null
    p95_ns: string | null
    /** the 1st to the 99th of the samples, empty: too few */
    percentiles_ns: string[]
  }
  completeness: {
    missing_parents: number
    roots: number
    /** spans came less than 30 s ago */
    young: boolean
    notes: string[]
  }
  clock_shifts: {
    host: string
    shift_ns: string
  }[]
  etag: string
  /** only of a very large trace */
  left_out?: LeftOut
}
