/** Equal siblings as one row: at least five spans of one parent with the same service and name, none of them failed. */
import type { Unfolding } from '../app/url'
import type { TraceModel } from './trace'

export const MIN_MEMBERS = 5

export interface GroupSummary {
  count: number
  /** Nanoseconds, as are the others. */
  total: number
  min: number
  median: number
  max: number
  selfTime: number
}

/** A span that failed, or with a failure below it, is in no group: nothing that failed is folded away. */
export class Groups {
  /** The first member of the node's group, -1 for a node in none. */
  readonly head: Int32Array
  private readonly members = new Map<number, Int32Array>()
  private readonly summaries = new Map<number, GroupSummary>()

  constructor(private readonly model: TraceModel) {
    this.head = new Int32Array(model.count).fill(-1)
    const kinds = (model.skeleton.services.length + 1) * (model.skeleton.names.length + 1)
    const candidates = new Map<number, number[]>()
    for (let node = 0; node < model.count; node++) {
      const parent = model.parent[node]!
      if (parent < 0 || model.childCount[parent]! < MIN_MEMBERS || model.isPlaceholder(node)) continue
      if (model.isFailed(node) || model.failuresBelow[node]! > 0) continue
      const kind = (model.service[node]! + 1) * (model.skeleton.names.length + 1) + model.name[node]! + 1
      const key = parent * kinds + kind
      const known = candidates.get(key)
      if (known === undefined) candidates.set(key, [node])
      else known.push(node)
    }
    for (const nodes of candidates.values()) {
      if (nodes.length < MIN_MEMBERS) continue
      for (const node of nodes) this.head[node] = nodes[0]!
      this.members.set(nodes[0]!, Int32Array.from(nodes))
    }
  }

  get size(): number {
    return this.members.size
  }

  heads(): Iterable<number> {
    return this.members.keys()
  }

  /** The members of a group by its first, in row order. */
  membersOf(head: number): Int32Array {
    return this.members.get(head) ?? new Int32Array(0)
  }

  /** What the members took; computed when first asked for. */
  summaryOf(head: number): GroupSummary {
    const known = this.summaries.get(head)
    if (known !== undefined) return known
    const members = this.membersOf(head)
    const durations = Float64Array.from(members, (node) => this.model.duration[node]!).toSorted()
    const summary: GroupSummary = {
      count: members.length,
      total: durations.reduce((sum, one) => sum + one, 0),
      min: durations[0] ?? 0,
      median: durations[(durations.length - 1) >> 1] ?? 0,
      max: durations.at(-1) ?? 0,
      selfTime: members.reduce((sum, node) => sum + this.model.selfTime[node]!, 0),
    }
    this.summaries.set(head, summary)
    return summary
  }
}

/** One byte a node, 1 for the first member of each group that is one row now. */
export function foldedHeads(model: TraceModel, groups: Groups, unfolding: Unfolding): Uint8Array {
  const folded = new Uint8Array(model.count)
  if (!unfolding.all) for (const head of groups.heads()) folded[head] = 1
  for (const id of unfolding.toggled) {
    const node = model.nodeOf(id)
    if (node >= 0 && groups.head[node] === node) folded[node] = folded[node] === 1 ? 0 : 1
  }
  return folded
}

/** The state in which the group of a first member is folded, or not. */
export function withGroup(model: TraceModel, unfolding: Unfolding, head: number, fold: boolean): Unfolding {
  const id = model.spanId(head)
  const toggled = unfolding.toggled.filter((one) => one !== id)
  if (fold === unfolding.all) toggled.push(id)
  return { all: unfolding.all, toggled }
}

/** Whether the node is a member of the group or lies below one. */
export function isWithin(model: TraceModel, groups: Groups, head: number, node: number): boolean {
  for (let one = node; one >= 0; one = model.parent[one]!) if (groups.head[one] === head) return true
  return false
}

/** The state in which no folded group hides the node; the first member of its own group may stay its row. */
export function unfoldedFor(
  model: TraceModel,
  groups: Groups,
  folded: Uint8Array,
  unfolding: Unfolding,
  node: number,
): Unfolding {
  let result = unfolding
  for (let one = node; one >= 0; one = model.parent[one]!) {
    const head = groups.head[one]!
    if (head < 0 || folded[head] !== 1 || (one === node && head === node)) continue
    result = withGroup(model, result, head, false)
  }
  return result
}
