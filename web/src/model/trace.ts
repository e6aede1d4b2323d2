/** A trace as typed arrays: the skeleton's rows plus a placeholder for each parent that was not received. */
import { FLAG } from '../api/flags'
import type { Skeleton } from '../api/types'
import { visibleName } from './format'

const ROOT = -1
const NOT_RECEIVED = -2
const ID_DIGITS = 16
/** So many ids are looked for one by one; an index of all is made for more: of a large trace it takes as long as its rows. */
const SEARCHED = 8

/**
 * Nodes are in depth-first order: the subtree of node `i` is `i` to `i + subtreeSize[i]`. Every pass is linear.
 * Times are nanoseconds from the first start.
 */
export class TraceModel {
  readonly count: number
  /** Row of the skeleton, -1 for a placeholder. */
  readonly row: Int32Array
  readonly parent: Int32Array
  readonly start: Float64Array
  readonly duration: Float64Array
  readonly depth: Int32Array
  readonly childCount: Int32Array
  readonly subtreeSize: Int32Array
  /** Failed spans below the node, itself not counted. */
  readonly failuresBelow: Int32Array
  /** As the server says: time in which no child of the span ran, clocks aligned. */
  readonly selfTime: Float64Array
  /** From the first start of a child to the last end of one, where that is beyond the node; else its own start and end. */
  readonly reachFrom: Float64Array
  readonly reachTo: Float64Array
  readonly flags: Uint8Array
  readonly service: Int32Array
  readonly name: Int32Array
  /** Nodes of the first failures, in row order, without those that were handled. */
  readonly origins: Int32Array
  readonly failedCount: number
  readonly missingCount: number
  /** Nanoseconds from the first start to the last end. */
  readonly length: number
  /** The first start, relative to the skeleton's `t0`; usually 0. */
  readonly earliest: number
  readonly maxDepth: number
  private readonly negative: ReadonlyMap<number, number>
  private readonly missingIds: ReadonlyMap<number, string>
  private readonly nodeByRow: Int32Array
  /** Nodes of the ids that were asked for, and of all once `isIndexed`. */
  private nodeById = new Map<string, number>()
  private isIndexed = false

  /** By row, how far the server would move a span so that all clocks agree. */
  private readonly shifts: ReadonlyMap<number, number>

  /** With `aligned`, spans stand where they are when all clocks agree; without, as they were sent. */
  constructor(
    readonly skeleton: Skeleton,
    private readonly aligned = false,
  ) {
    this.shifts = new Map(skeleton.shifted as [number, number][])
    const order = orderWithPlaceholders(skeleton)
    const count = order.row.length
    const rows = skeleton.parent.length
    this.count = count
    this.row = order.row
    this.parent = order.parent
    this.missingIds = order.missingIds
    this.negative = new Map(skeleton.negative as [number, number][])
    this.missingCount = order.missingIds.size
    this.start = new Float64Array(count)
    this.duration = new Float64Array(count)
    this.depth = new Int32Array(count)
    this.childCount = new Int32Array(count)
    this.subtreeSize = new Int32Array(count).fill(1)
    this.failuresBelow = new Int32Array(count)
    this.selfTime = new Float64Array(count)
    this.flags = new Uint8Array(count)
    this.service = new Int32Array(count).fill(-1)
    this.name = new Int32Array(count).fill(-1)

    let failed = 0
    let earliest = Infinity
    let latest = -Infinity
    let maxDepth = 0
    const origins: number[] = []
    for (let node = 0; node < count; node++) {
      const row = this.row[node]!
      const parent = this.parent[node]!
      if (parent >= 0) {
        this.depth[node] = this.depth[parent]! + 1
        this.childCount[parent]!++
        maxDepth = Math.max(maxDepth, this.depth[node]!)
      }
      if (row < 0) continue
      const start = (skeleton.start[row] ?? 0) + (aligned ? (this.shifts.get(row) ?? 0) : 0)
      const duration = Math.max(0, skeleton.dur[row] ?? 0)
      const flags = skeleton.flags[row] ?? 0
      this.start[node] = start
      this.duration[node] = duration
      this.flags[node] = flags
      this.service[node] = skeleton.svc[row] ?? -1
      this.name[node] = skeleton.name[row] ?? -1
      earliest = Math.min(earliest, start)
      latest = Math.max(latest, start + duration)
      if (flags & FLAG.failed) failed++
      if (isCause(flags)) origins.push(node)
    }
    this.failedCount = failed
    this.origins = Int32Array.from(origins)
    this.earliest = rows > 0 ? earliest : 0
    this.length = rows > 0 ? Math.max(1, latest - earliest) : 1
    this.maxDepth = maxDepth
    for (let node = 0; node < count; node++) {
      if (this.row[node]! >= 0) this.start[node]! -= this.earliest
    }
    this.sumSubtrees()
    this.placePlaceholders()
    this.reachFrom = Float64Array.from(this.start)
    this.reachTo = this.start.map((start, node) => start + this.duration[node]!)
    for (let node = 0; node < count; node++) {
      const parent = this.parent[node]!
      if (parent < 0 || this.isPlaceholder(parent)) continue
      this.reachFrom[parent] = Math.min(this.reachFrom[parent]!, this.start[node]!)
      this.reachTo[parent] = Math.max(this.reachTo[parent]!, this.start[node]! + this.duration[node]!)
    }
    this.nodeByRow = new Int32Array(rows)
    for (let node = 0; node < count; node++) if (this.row[node]! >= 0) this.nodeByRow[this.row[node]!] = node
    this.readSelfTimes()
  }

  private sumSubtrees(): void {
    for (let node = this.count - 1; node >= 0; node--) {
      const parent = this.parent[node]!
      if (parent < 0) continue
      this.subtreeSize[parent]! += this.subtreeSize[node]!
      this.failuresBelow[parent]! += this.failuresBelow[node]! + (this.flags[node]! & FLAG.failed ? 1 : 0)
    }
  }

  /** A placeholder is drawn over the time of the spans that name it as their parent. */
  private placePlaceholders(): void {
    for (const node of this.missingIds.keys()) {
      let from = Infinity
      let to = -Infinity
      for (let child = node + 1; child < node + this.subtreeSize[node]!; child += this.subtreeSize[child]!) {
        from = Math.min(from, this.start[child]!)
        to = Math.max(to, this.start[child]! + this.duration[child]!)
      }
      this.start[node] = from
      this.duration[node] = to - from
    }
  }

  /** The server's self times; it sends none for rows without children, whose self time is all of their time. */
  private readSelfTimes(): void {
    let at = 0
    for (const node of this.nodeByRow) {
      this.selfTime[node] =
        this.childCount[node] === 0 ? this.duration[node]! : (this.skeleton.self[at++] ?? 0)
    }
  }

  /** The first node with the id, by looking through all ids. */
  private search(spanId: string): number {
    if (spanId.length !== ID_DIGITS) return -1
    let first = Infinity
    for (const [node, missing] of this.missingIds) if (missing === spanId) first = Math.min(first, node)
    const ids = this.skeleton.span_id
    for (let at = ids.indexOf(spanId); at >= 0; at = ids.indexOf(spanId, at + 1)) {
      if (at % ID_DIGITS === 0) first = Math.min(first, this.nodeByRow[at / ID_DIGITS]!)
    }
    return first === Infinity ? -1 : first
  }

  isPlaceholder(node: number): boolean {
    return this.row[node]! < 0
  }

  isFailed(node: number): boolean {
    return (this.flags[node]! & FLAG.failed) !== 0
  }

  /** Whether a failure began here that was not handled. */
  isOrigin(node: number): boolean {
    return isCause(this.flags[node]!)
  }

  hasFlag(node: number, flag: number): boolean {
    return (this.flags[node]! & flag) !== 0
  }

  /** The span's id; for a placeholder the id of the span that was not received. */
  spanId(node: number): string {
    const row = this.row[node]!
    if (row < 0) return this.missingIds.get(node) ?? ''
    return this.skeleton.span_id.slice(row * ID_DIGITS, (row + 1) * ID_DIGITS)
  }

  /** The node of a row of the skeleton. */
  nodeOfRow(row: number): number {
    return this.nodeByRow[row]!
  }

  /** The node of a span id (the first, where several spans share it), or -1. */
  nodeOf(spanId: string): number {
    const known = this.nodeById.get(spanId)
    if (known !== undefined || this.isIndexed) return known ?? -1
    if (this.nodeById.size < SEARCHED) {
      const found = this.search(spanId)
      this.nodeById.set(spanId, found)
      return found
    }
    this.nodeById = new Map()
    for (let node = this.count - 1; node >= 0; node--) this.nodeById.set(this.spanId(node), node)
    this.isIndexed = true
    return this.nodeById.get(spanId) ?? -1
  }

  serviceName(node: number): string {
    return this.skeleton.services[this.service[node]!] ?? ''
  }

  spanName(node: number): string {
    return this.skeleton.names[this.name[node]!] ?? ''
  }

  /** The length as it was sent: negative for a span that ends before it begins, whose `duration` is 0. */
  sentDuration(node: number): number {
    return this.negative.get(this.row[node]!) ?? this.duration[node]!
  }

  /** Whether some clocks disagree, so that aligning them moves spans. */
  get isSkewed(): boolean {
    return this.shifts.size > 0
  }

  /** How far the span was moved to where it stands, 0 for one that stands as it was sent. */
  appliedShift(node: number): number {
    return this.aligned ? (this.shifts.get(this.row[node]!) ?? 0) : 0
  }

  /** From aligned clocks to where the span stands: what is to be added to a time of its. */
  shownShift(node: number): number {
    return this.aligned ? 0 : -(this.shifts.get(this.row[node]!) ?? 0)
  }

  /** The service as it is shown: never empty, never only blanks. */
  serviceLabel(node: number): string {
    return visibleName(this.serviceName(node), 'no service')
  }

  /** The span's name as it is shown: never empty, never only blanks. */
  spanLabel(node: number): string {
    return visibleName(this.spanName(node), 'no name')
  }

  /** Whether the row leaves its service out, because the row above it in the tree says the same. */
  repeatsService(node: number): boolean {
    const parent = this.parent[node]!
    return parent >= 0 && !this.isPlaceholder(parent) && this.service[parent] === this.service[node]
  }

  /** The parts of a node's bar that no bar of a child covers, where both stand now: pairs of from and to. Only for drawing. */
  selfIntervals(node: number): number[] {
    const intervals: number[] = []
    const end = this.start[node]! + this.duration[node]!
    let reached = this.start[node]!
    const last = node + this.subtreeSize[node]!
    const children: number[] = []
    let isSorted = true
    for (let child = node + 1; child < last; child += this.subtreeSize[child]!) {
      // Clocks that were aligned may have changed the order.
      if (children.length > 0 && this.start[child]! < this.start[children.at(-1)!]!) isSorted = false
      children.push(child)
    }
    if (!isSorted) children.sort((a, b) => this.start[a]! - this.start[b]!)
    for (const child of children) {
      if (reached >= end) break
      const from = this.start[child]!
      if (from > reached) intervals.push(reached, Math.min(from, end))
      reached = Math.max(reached, from + this.duration[child]!)
    }
    if (reached < end) intervals.push(reached, end)
    return intervals
  }
}

function isCause(flags: number): boolean {
  return (flags & FLAG.origin) !== 0 && (flags & FLAG.handled) === 0
}

interface Order {
  row: Int32Array
  parent: Int32Array
  missingIds: Map<number, string>
}

/** Rows in the skeleton's order, but spans with the same missing parent stand together under its placeholder. */
function orderWithPlaceholders(skeleton: Skeleton): Order {
  const rows = skeleton.parent.length
  const parentIdOf = new Map(skeleton.missing)
  const groups: { parentId: string | null; starts: number[] }[] = []
  const groupOf = new Map<string, number>()
  for (let row = 0; row < rows; row++) {
    const parent = skeleton.parent[row]!
    if (parent >= 0 && parent < row) continue
    const parentId = parent === NOT_RECEIVED ? (parentIdOf.get(row) ?? '') : null
    const known = parentId === null ? undefined : groupOf.get(parentId)
    if (known !== undefined) groups[known]!.starts.push(row)
    else {
      if (parentId !== null) groupOf.set(parentId, groups.length)
      groups.push({ parentId, starts: [row] })
    }
  }

  const count = rows + groupOf.size
  const order: Order = { row: new Int32Array(count), parent: new Int32Array(count), missingIds: new Map() }
  const nodeOfRow = new Int32Array(rows)
  let node = 0
  for (const group of groups) {
    let above = ROOT
    if (group.parentId !== null) {
      above = node
      order.row[node] = -1
      order.parent[node] = ROOT
      order.missingIds.set(node, group.parentId)
      node++
    }
    for (const top of group.starts) {
      for (let row = top; row < rows; row++) {
        const parent = skeleton.parent[row]!
        const isTop = parent < 0 || parent >= row
        if (isTop && row !== top) break
        nodeOfRow[row] = node
        order.row[node] = row
        order.parent[node] = isTop ? above : nodeOfRow[parent]!
        node++
      }
    }
  }
  return order
}
