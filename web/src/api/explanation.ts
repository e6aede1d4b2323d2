/** The answer of `GET /traces/{id}/explain`. Lengths (`…_ns`) are decimal texts, shares are 0 to 1. */

export type VerdictWord = 'failed' | 'slow' | 'usual' | 'unknown'
export type FailureRole = 'origin' | 'propagated' | 'absorbed' | 'handled'
export type Certainty = 'certain' | 'likely' | 'uncertain'

export interface ExplainedFailure {
  span_id: string
  role: FailureRole
  /** Empty where none came, as is `message`. */
  type: string
  message: string
  service: string
  operation: string
}

export interface PathSection {
  span_id: string
  start_unix_nano: string
  end_unix_nano: string
}

export interface Share {
  owner: string
  operation: string
  critical_ns: string
  share: number
  /** Null: too few samples. */
  usual_ns: string | null
  span_ids: string[]
}

export interface Finding {
  kind: string
  text: string
  share: number
  numbers: Record<string, number>
  /** The most telling first. */
  span_ids: string[]
  certainty: Certainty
}

export interface UsualOperation {
  service: string
  operation: string
  count: number
  p50_ns: string | null
  p95_ns: string | null
}

export interface ExplainedRoot {
  span_id: string
  service: string
  operation: string
  duration_ns: string
  /** Traces of the same operation that were compared. */
  count: number
  /** 0 to 100; null where there are too few to compare. */
  percentile: number | null
  p50_ns: string | null
  p95_ns: string | null
}

export interface Completeness {
  missing_parents: number
  roots: number
  young: boolean
  notes: string[]
}

export interface Explanation {
  verdict: VerdictWord
  summary: string
  /** The cause first; handled failures are not in it. */
  origin: string[]
  failures: ExplainedFailure[]
  critical_path: PathSection[]
  path_uncertain: boolean
  shares: Share[]
  findings: Finding[]
  usual: UsualOperation[]
  root: ExplainedRoot | null
  completeness: Completeness
  clock_shifts: { host: string; shift_ns: string }[]
  etag: string
}
