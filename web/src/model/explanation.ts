/** Reads the server's explanation of a trace for the panels: which of its parts belong together. It judges nothing itself. */
import type { Failure, Explanation, Finding, Share, UsualOperation } from '../api/types'
import { formatDuration } from './format'
import type { TraceModel } from './trace'

/** Kinds of findings that tell how a failure came about, and so stand beside it. */
const FAILURE_CONTEXT: readonly string[] = ['abandoned_failure', 'timeout', 'late_start', 'retries']
const ABOUT_FAILURES: readonly string[] = ['failure', 'handled_failure']

/** The failures where it began, the cause first. */
export function originsOf(explanation: Explanation): Failure[] {
  const byId = new Map(explanation.failures.map((failure) => [failure.span_id, failure]))
  return explanation.origin.flatMap((id) => byId.get(id) ?? [])
}

export interface Origin {
  spanId: string
  service: string
  operation: string
  /** Empty where none came, as is `message`. */
  type: string
  message: string
}

/** Where it failed, the cause first: as the server explains it; as the rows are marked where it does not, or not each. */
export function originsIn(explanation: Explanation | null, model: TraceModel): Origin[] {
  if (explanation === null) return marked(model)
  const told = originsOf(explanation).map(({ span_id, ...rest }) => ({ spanId: span_id, ...rest }))
  if (!explanation.left_out?.origin) return told
  const known = new Set(explanation.origin)
  return [...told, ...marked(model).filter(({ spanId }) => !known.has(spanId))]
}

function marked(model: TraceModel): Origin[] {
  return Array.from(model.origins, (node) => ({
    spanId: model.spanId(node),
    service: model.serviceName(node),
    operation: model.spanName(node),
    type: '',
    message: '',
  }))
}

/** Failures after which the request went on well: a retry that succeeded, a fallback. */
export function handledFailures(explanation: Explanation): Failure[] {
  return explanation.failures.filter((failure) => failure.role === 'handled')
}

/** Failures that came after their caller had given up, or had its answer. */
export function lateFailures(explanation: Explanation): Failure[] {
  return explanation.failures.filter((failure) => failure.role === 'abandoned')
}

/**
 * What is to be said about one failure beyond its type and message: late start, time-out and retries of the span itself or
 * of one that failed because of it.
 */
export function contextOf(explanation: Explanation, model: TraceModel, spanId: string): Finding[] {
  const concerned = new Set([spanId])
  for (let node = model.nodeOf(spanId); node >= 0; node = model.parent[node]!) {
    if (model.isFailed(node)) concerned.add(model.spanId(node))
  }
  return explanation.findings.filter(
    (finding) => FAILURE_CONTEXT.includes(finding.kind) && finding.span_ids.some((id) => concerned.has(id)),
  )
}

/** What the finding about a failure says after its message: that it was cut off, say. Empty for nothing. */
export function afterMessage(explanation: Explanation, { spanId, type, message }: Origin): string {
  const finding = explanation.findings.find(
    ({ kind, span_ids }) => kind === 'failure' && span_ids.includes(spanId),
  )
  // The last of what the page shows already.
  const known = message === '' ? type : message
  const at = finding === undefined || known === '' ? -1 : finding.text.lastIndexOf(known)
  return finding === undefined || at < 0 ? '' : finding.text.slice(at + known.length).trim()
}

export interface TimeRow {
  share: Share
  /** The findings whose spans are in this share. */
  findings: Finding[]
}

export interface TimeRows {
  rows: TimeRow[]
  /** Findings about time that no share holds. */
  others: Finding[]
}

/** The shares in their order, each with the findings about its spans; a finding stands once. */
export function timeRows(explanation: Explanation, model: TraceModel): TimeRows {
  const rows: TimeRow[] = explanation.shares.map((share) => ({ share, findings: [] }))
  const rowOf = new Map<string, TimeRow>()
  for (const row of rows.toReversed()) for (const id of row.share.span_ids) rowOf.set(id, row)
  const shownAbove = new Set(explanation.origin.flatMap((id) => contextOf(explanation, model, id)))
  const others: Finding[] = []
  for (const finding of explanation.findings) {
    if (ABOUT_FAILURES.includes(finding.kind) || finding.kind === 'missing' || shownAbove.has(finding))
      continue
    const id = finding.span_ids.find((one) => rowOf.has(one))
    const row = id === undefined ? rowOfOperation(rows, model, finding) : rowOf.get(id)
    if (row === undefined) others.push(finding)
    else row.findings.push(finding)
  }
  return { rows, others }
}

/** A share names its longest spans only: the others are known by their operation. */
function rowOfOperation(rows: readonly TimeRow[], model: TraceModel, finding: Finding): TimeRow | undefined {
  const node = model.nodeOf(finding.span_ids[0] ?? '')
  if (node < 0) return undefined
  const same = rows.filter(({ share }) => share.operation === model.spanName(node))
  return same.find(({ share }) => share.owner === model.serviceName(node)) ?? same[0]
}

/** What the analysis could not see: its notes, and findings that say what is missing, each once. */
export function unseenNotes(explanation: Explanation): string[] {
  const found = explanation.findings.filter(({ kind }) => kind === 'missing').map(({ text }) => text)
  return [...new Set([...found, ...explanation.completeness.notes])]
}

/** Whether the root took longer than it does at most in 95 of 100 traces. */
export function isSlow({ verdict, root }: Explanation): boolean {
  if (verdict === 'slow') return true
  return root.p95_ns !== null && Number(root.duration_ns) > Number(root.p95_ns)
}

/** The span that is shown first: the cause of the failure, in a slow trace the largest finding, else none. */
export function firstSpan(explanation: Explanation): string | null {
  const [cause] = explanation.origin
  if (cause !== undefined) return cause
  if (explanation.verdict !== 'slow') return null
  let largest: Finding | null = null
  for (const finding of explanation.findings) {
    if (finding.span_ids.length > 0 && (largest === null || finding.share > largest.share)) largest = finding
  }
  return largest?.span_ids[0] ?? null
}

/** The usual values by service and operation. */
export class UsualValues {
  private readonly byOperation: ReadonlyMap<string, UsualOperation>

  constructor(explanation: Explanation | null) {
    this.byOperation = new Map(
      (explanation?.usual ?? []).map((one) => [`${one.service}\0${one.operation}`, one]),
    )
  }

  /** Nanoseconds, null where too few are known. */
  of(service: string, operation: string): { p50: number; p95: number | null } | null {
    const known = this.byOperation.get(`${service}\0${operation}`)
    if (known === undefined || known.p50_ns === null) return null
    return { p50: Number(known.p50_ns), p95: known.p95_ns === null ? null : Number(known.p95_ns) }
  }
}

/** By how much clocks were moved before anything was computed; empty where none was. */
export function clockShiftText(explanation: Explanation | null): string {
  const shifts = explanation?.clock_shifts ?? []
  if (shifts.length === 0) return ''
  const words = shifts.map(({ host, shift_ns }) => `${host} by ${formatDuration(Number(shift_ns))}`)
  return `for the analysis clocks were moved: ${words.join(', ')}`
}
