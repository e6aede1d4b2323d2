/** Which nodes of a trace are rows now: closed subtrees are skipped, a filter keeps the way to what it keeps. */
import type { Collapse } from '../app/url'
import type { Groups } from './groups'
import type { TraceModel } from './trace'

/** Whether the node's children are hidden. */
export function isCollapsed(model: TraceModel, node: number, closed: Uint8Array): boolean {
  return closed[node] === 1 && model.childCount[node]! > 0
}

/** One byte a node, 1 where the address says it is closed. */
export function closedNodes(model: TraceModel, collapse: Collapse): Uint8Array {
  const closed = new Uint8Array(model.count)
  if (collapse.level !== null) {
    // Level 1 shows the roots only.
    for (let node = 0; node < model.count; node++) {
      if (model.depth[node]! + 1 >= collapse.level && model.childCount[node]! > 0) closed[node] = 1
    }
  }
  for (const id of collapse.toggled) {
    const node = model.nodeOf(id)
    if (node >= 0) closed[node] = closed[node] === 1 ? 0 : 1
  }
  return closed
}

/** The collapse state with some spans opened or closed. */
export function toggled(model: TraceModel, collapse: Collapse, nodes: readonly number[]): Collapse {
  const ids = new Set(collapse.toggled)
  for (const node of nodes) {
    const id = model.spanId(node)
    if (!ids.delete(id)) ids.add(id)
  }
  return { level: collapse.level, toggled: [...ids] }
}

/** The collapse state in which every ancestor of the nodes is open. */
export function opened(model: TraceModel, collapse: Collapse, nodes: Iterable<number>): Collapse {
  const closed = closedNodes(model, collapse)
  const shut = new Set<number>()
  for (const node of nodes) {
    for (let above = model.parent[node]!; above >= 0; above = model.parent[above]!) {
      if (isCollapsed(model, above, closed)) shut.add(above)
    }
  }
  return shut.size === 0 ? collapse : toggled(model, collapse, [...shut])
}

/**
 * Visible nodes in row order; of a folded group the first member stands for all. With `kept`, only the nodes it marks;
 * with `below`, only that node and those below it.
 */
export function visibleRows(
  model: TraceModel,
  closed: Uint8Array,
  kept: Uint8Array | null,
  groups: Groups,
  folded: Uint8Array,
  below = -1,
): Int32Array {
  const rows = new Int32Array(model.count)
  let count = 0
  let node = Math.max(0, below)
  const end = below < 0 ? model.count : below + model.subtreeSize[below]!
  while (node < end) {
    if (kept !== null && kept[node] === 0) {
      node += model.subtreeSize[node]!
      continue
    }
    const head = groups.head[node]!
    if (head >= 0 && folded[head] === 1) {
      if (head === node) rows[count++] = node
      node += model.subtreeSize[node]!
      continue
    }
    rows[count++] = node
    node += isCollapsed(model, node, closed) ? model.subtreeSize[node]! : 1
  }
  return rows.subarray(0, count)
}

/** Position of a node among the rows, or -1; rows are ascending. */
export function rowOf(rows: Int32Array, node: number): number {
  let low = 0
  let high = rows.length - 1
  while (low <= high) {
    const middle = (low + high) >> 1
    const value = rows[middle]!
    if (value === node) return middle
    if (value < node) low = middle + 1
    else high = middle - 1
  }
  return -1
}

/** Nodes whose service, name or id holds the text, in row order; the case does not matter. */
export function findNodes(model: TraceModel, text: string): Int32Array {
  const wanted = text.trim().toLowerCase()
  if (wanted === '') return new Int32Array(0)
  const services = model.skeleton.services.map((name) => name.toLowerCase().includes(wanted))
  const names = model.skeleton.names.map((name) => name.toLowerCase().includes(wanted))
  const isId = /^[0-9a-f]{16}$/.test(wanted)
  const found: number[] = []
  for (let node = 0; node < model.count; node++) {
    if (
      services[model.service[node]!] === true ||
      names[model.name[node]!] === true ||
      (isId && model.spanId(node) === wanted)
    ) {
      found.push(node)
    }
  }
  return Int32Array.from(found)
}
