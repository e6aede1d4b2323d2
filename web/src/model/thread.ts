/** The critical path over the rows: which row each of its sections is seen in now. */
import type { TraceModel } from './trace'

/** A part of the time in which one span decides when the trace ends. Nanoseconds from the first start. */
export interface Section {
  node: number
  from: number
  to: number
}

/** What of an explanation the path needs. */
export interface ExplainedPath {
  critical_path: readonly { span_id: string; start_unix_nano: string; end_unix_nano: string }[]
}

/**
 * The sections in time order. The server's columns name them by row; without them, its explanation by span id. Both count in
 * aligned clocks: a section of a span that is drawn elsewhere is drawn with it.
 */
export function sectionsOf(model: TraceModel, explained: ExplainedPath | null): Section[] {
  const { skeleton } = model
  if (skeleton.critical.length > 0) {
    const sections: Section[] = []
    for (const [row, from, to] of skeleton.critical) {
      const node = model.nodeOfRow(row!)
      const by = model.shownShift(node) - model.earliest
      sections.push({ node, from: from! + by, to: to! + by })
    }
    return sections
  }
  const origin = BigInt(skeleton.t0)
  const offset = (time: string) => Number(BigInt(time) - origin) - model.earliest
  const sections: Section[] = []
  for (const { span_id, start_unix_nano, end_unix_nano } of explained?.critical_path ?? []) {
    const node = model.nodeOf(span_id)
    if (node < 0) continue
    const by = model.shownShift(node)
    sections.push({ node, from: offset(start_unix_nano) + by, to: offset(end_unix_nano) + by })
  }
  return sections
}

/** Where the thread is drawn: one entry a piece, in time order, neighbours in one visible row joined. */
export interface Thread {
  row: Int32Array
  from: Float64Array
  to: Float64Array
}

/**
 * The thread over the rows that are visible now. A section below a closed row, or of a folded sibling, is seen in the row
 * that stands for it. Linear in the spans and sections.
 */
export function threadOf(
  model: TraceModel,
  sections: readonly Section[],
  rows: Int32Array,
  standsFor: (node: number) => number,
): Thread {
  const rowOfNode = new Int32Array(model.count).fill(-1)
  for (let row = 0; row < rows.length; row++) rowOfNode[rows[row]!] = row
  for (let node = 0; node < model.count; node++) {
    if (rowOfNode[node] !== -1) continue
    const head = standsFor(node)
    const parent = model.parent[node]!
    if (head !== node && head >= 0) rowOfNode[node] = rowOfNode[head]!
    else if (parent >= 0) rowOfNode[node] = rowOfNode[parent]!
  }
  const row: number[] = []
  const from: number[] = []
  const to: number[] = []
  for (const section of sections) {
    const at = rowOfNode[section.node]!
    if (at < 0) continue
    if (row.at(-1) === at && section.from <= to.at(-1)!) to[to.length - 1] = Math.max(to.at(-1)!, section.to)
    else {
      row.push(at)
      from.push(section.from)
      to.push(section.to)
    }
  }
  return { row: Int32Array.from(row), from: Float64Array.from(from), to: Float64Array.from(to) }
}
