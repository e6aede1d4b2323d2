/** A row of the waterfall as one sentence, for people who hear it. */
import { FLAG } from '../api/flags'
import { durationInWords, formatCount, plural } from './format'
import type { GroupSummary } from './groups'
import type { TraceModel } from './trace'

/** `payment, POST /charge, failed, 2.01 seconds, 87 percent of the trace`. */
export function rowSentence(model: TraceModel, node: number, hiddenFailures: number): string {
  if (model.isPlaceholder(node)) {
    return `parent span ${model.spanId(node)} not received, ${plural(model.childCount[node]!, 'span')} below it`
  }
  const parts = [model.serviceName(node) || 'no service', model.spanName(node) || 'no name']
  if (model.isOrigin(node)) parts.push('failed')
  else if (model.isFailed(node)) parts.push('failed', 'passed on from below')
  parts.push(durationInWords(model.duration[node]!))
  parts.push(`${shareInWords(model.duration[node]! / model.length)} of the trace`)
  if (model.hasFlag(node, FLAG.outside)) parts.push('outside its parent')
  if (model.hasFlag(node, FLAG.adjusted)) parts.push('time adjusted, placed at its arrival')
  if (model.hasFlag(node, FLAG.duplicate)) parts.push('another span has this id')
  if (hiddenFailures > 0) parts.push(`${plural(hiddenFailures, 'failed span')} hidden below`)
  return parts.join(', ')
}

/** `db, SELECT rates, 214 equal calls, 1.2 seconds in total, from 1 to 20 milliseconds, …` for a folded group. */
export function groupSentence(model: TraceModel, head: number, group: GroupSummary): string {
  return [
    model.serviceName(head) || 'no service',
    model.spanName(head) || 'no name',
    `${formatCount(group.count)} equal calls`,
    `${durationInWords(group.total)} in total`,
    `shortest ${durationInWords(group.min)}`,
    `median ${durationInWords(group.median)}`,
    `longest ${durationInWords(group.max)}`,
  ].join(', ')
}

function shareInWords(ratio: number): string {
  const percent = ratio * 100
  if (percent > 0 && percent < 0.5) return 'less than 1 percent'
  return `${Math.round(percent)} percent`
}
