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
