/** Which rows a filter keeps: the spans it is about and the way to each of them. */
import type { Groups } from './groups'
import type { TraceModel } from './trace'

/** One byte a node, 1 for failed spans and their ancestors. */
export function keptFailed(model: TraceModel): Uint8Array {
  const kept = new Uint8Array(model.count)
  for (let node = 0; node < model.count; node++) {
    if (model.isFailed(node) || model.failuresBelow[node]! > 0) kept[node] = 1
  }
  return kept
}

/** One byte a node, 1 for these spans, their ancestors, and the first of each group that one of them is in. */
export function keptSpans(model: TraceModel, groups: Groups, spanIds: Iterable<string>): Uint8Array {
  const kept = new Uint8Array(model.count)
  for (const id of spanIds) {
    for (let node = model.nodeOf(id); node >= 0 && kept[node] === 0; node = model.parent[node]!) {
      kept[node] = 1
      if (groups.head[node]! >= 0) kept[groups.head[node]!] = 1
    }
  }
  return kept
}

/**
 * One byte a node, 1 for spans that took at least so much of the trace (0 to 1), and the way to each of them. Equal siblings
 * count together, since they are one row; what failed is kept however short it is.
 */
export function keptLong(model: TraceModel, groups: Groups, share: number): Uint8Array {
  const least = share * model.length
  const kept = new Uint8Array(model.count)
  for (let node = model.count - 1; node >= 0; node--) {
    const head = groups.head[node]!
    const isLong =
      model.duration[node]! >= least ||
      model.isFailed(node) ||
      (head >= 0 && groups.summaryOf(head).total >= least)
    if (isLong) kept[node] = 1
    const parent = model.parent[node]!
    if (kept[node] === 1 && parent >= 0) kept[parent] = 1
  }
  return kept
}

/** What both filters keep; null keeps all. */
export function keptByBoth(a: Uint8Array | null, b: Uint8Array | null): Uint8Array | null {
  if (a === null || b === null) return a ?? b
  return a.map((kept, node) => kept & b[node]!)
}
