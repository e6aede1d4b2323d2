/** A row of the waterfall as one sentence, for people who hear it. */
import { durationInWords, formatCount, plural } from './format'
import type { GroupSummary } from './groups'
import { notesOf } from './notes'
import { Roles, type Role } from './roles'
import type { TraceModel } from './trace'

const FAILED_AS: Record<Role, string[]> = {
  origin: ['failed'],
  passed: ['failed', 'passed on from below'],
  handled: ['failed', 'handled'],
  late: ['failed', 'too late for its caller'],
}

/** `payment, POST /charge, failed, 2.01 seconds, 87 percent of the trace`. */
export function rowSentence(
  model: TraceModel,
  node: number,
  hiddenFailures: number,
  role: Role | null = new Roles(model, null).of(node),
): string {
  if (model.isPlaceholder(node)) {
    return `parent span ${model.spanId(node)} not received, ${plural(model.childCount[node]!, 'span')} below it`
  }
  const parts = [inWords(model.serviceLabel(node), 'service'), inWords(model.spanLabel(node), 'name')]
  if (role !== null) parts.push(...FAILED_AS[role])
  const length = model.sentDuration(node)
  parts.push(length < 0 ? `minus ${durationInWords(-length)}` : durationInWords(length))
  parts.push(`${shareInWords(model.duration[node]! / model.length)} of the trace`)
  parts.push(...notesOf(model, node))
  if (hiddenFailures > 0) parts.push(`${plural(hiddenFailures, 'failed span')} hidden below`)
  return parts.join(', ')
}

/** `db, SELECT rates, 214 equal calls, 1.2 seconds in total, from 1 to 20 milliseconds, …` for a folded group. */
export function groupSentence(model: TraceModel, head: number, group: GroupSummary): string {
  return [
    inWords(model.serviceLabel(head), 'service'),
    inWords(model.spanLabel(head), 'name'),
    `${formatCount(group.count)} equal calls`,
    `${durationInWords(group.total)} in total`,
    `shortest ${durationInWords(group.min)}`,
    `median ${durationInWords(group.median)}`,
    `longest ${durationInWords(group.max)}`,
  ].join(', ')
}

/** A name of blanks has a sign that is seen; this is what is heard. */
function inWords(label: string, what: string): string {
  return label.startsWith('␣') ? `blank ${what}` : label
}

function shareInWords(ratio: number): string {
  const percent = ratio * 100
  if (percent > 0 && percent < 0.5) return 'less than 1 percent'
  return `${Math.round(percent)} percent`
}
