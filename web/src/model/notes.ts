/** What is unusual about a span's times and id, in words with the amount. */
import { FLAG } from '../api/flags'
import { formatDuration } from './format'
import type { TraceModel } from './trace'

/** OTLP's number of the kind. */
const CONSUMER = 5

/** Less than this, or 1 % of the parent, is the noise of clocks; the server's mark follows the same rule. */
const CLOCK_NOISE_NS = 1_000_000

/** Whether the span has notes: a cheap question, asked for every painted row. */
export function hasNotes(model: TraceModel, node: number): boolean {
  if (model.appliedShift(node) !== 0 || model.hasFlag(node, FLAG.adjusted | FLAG.duplicate)) return true
  return (
    model.hasFlag(node, FLAG.outside) &&
    (model.sentDuration(node) < 0 || outsideParent(model, node).length > 0)
  )
}

/** One phrase a note: `3 s before its parent`, `ends 200 ms before it begins`. */
export function notesOf(model: TraceModel, node: number): string[] {
  const notes: string[] = []
  const shift = model.appliedShift(node)
  if (shift !== 0) notes.push(`clock aligned: moved by ${signedDuration(shift)}`)
  const sent = model.sentDuration(node)
  if (sent < 0) notes.push(`ends ${formatDuration(-sent)} before it begins`)
  if (model.hasFlag(node, FLAG.outside)) notes.push(...outsideParent(model, node))
  if (model.hasFlag(node, FLAG.adjusted)) notes.push('no usable start time: placed at its arrival')
  if (model.hasFlag(node, FLAG.duplicate)) notes.push('another span has this id')
  return notes
}

/** `+3.00 s`, `−200 ms`. */
export function signedDuration(ns: number): string {
  return ns > 0 ? `+${formatDuration(ns)}` : formatDuration(ns)
}

/** How far a span lies outside its parent, at each side where it is more than noise. */
function outsideParent(model: TraceModel, node: number): string[] {
  const parent = model.parent[node]!
  if (parent < 0 || model.isPlaceholder(parent)) return []
  const start = model.start[node]!
  const parentStart = model.start[parent]!
  // A message is handled when its turn comes: nobody waits for that.
  if (model.skeleton.kind[model.row[node]!] === CONSUMER && start >= parentStart) return []
  const parentEnd = parentStart + model.duration[parent]!
  const noise = Math.max(CLOCK_NOISE_NS, model.duration[parent]! / 100)
  if (start - parentEnd > noise) return [`begins ${formatDuration(start - parentEnd)} after its parent ended`]
  const before = parentStart - start
  const after = start + model.duration[node]! - parentEnd
  const notes: string[] = []
  if (before > noise) notes.push(`${formatDuration(before)} before its parent`)
  if (after > noise) notes.push(`ends ${formatDuration(after)} after its parent`)
  return notes
}
