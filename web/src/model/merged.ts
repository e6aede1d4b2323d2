/** Spans of a trace put together: by their place in the tree (for the flame graph), by operation, by calls between services. */
import type { TraceModel } from './trace'

/** A tree in which siblings with equal service and name are one. Entries are depth-first, parents before children. */
export interface MergedTree {
  count: number
  parent: Int32Array
  depth: Int32Array
  /** The first span of each. */
  first: Int32Array
  spans: Int32Array
  failed: Int32Array
  /** Self time of all its spans and of everything below them, in nanoseconds. */
  total: Float64Array
  self: Float64Array
}

export function mergedTree(model: TraceModel): MergedTree {
  const of = new Int32Array(model.count)
  const known = new Map<string, number>()
  const parent: number[] = []
  const depth: number[] = []
  const first: number[] = []
  const spans: number[] = []
  const failed: number[] = []
  const self: number[] = []
  for (let node = 0; node < model.count; node++) {
    const above = model.parent[node]! < 0 ? -1 : of[model.parent[node]!]!
    const key = `${above} ${model.isPlaceholder(node) ? `?${node}` : `${model.service[node]} ${model.name[node]}`}`
    let entry = known.get(key)
    if (entry === undefined) {
      entry = parent.length
      known.set(key, entry)
      parent.push(above)
      depth.push(above < 0 ? 0 : depth[above]! + 1)
      first.push(node)
      spans.push(0)
      failed.push(0)
      self.push(0)
    }
    of[node] = entry
    spans[entry]!++
    if (model.isFailed(node)) failed[entry]!++
    self[entry]! += model.selfTime[node]!
  }
  const total = Float64Array.from(self)
  for (let entry = parent.length - 1; entry >= 0; entry--) {
    if (parent[entry]! >= 0) total[parent[entry]!]! += total[entry]!
  }
  return {
    count: parent.length,
    parent: Int32Array.from(parent),
    depth: Int32Array.from(depth),
    first: Int32Array.from(first),
    spans: Int32Array.from(spans),
    failed: Int32Array.from(failed),
    total,
    self: Float64Array.from(self),
  }
}

export interface OperationRow {
  service: number
  name: number
  first: number
  spans: number
  failed: number
  total: number
  self: number
  longest: number
}

/** One row a service and operation, most self time first. */
export function operationRows(model: TraceModel): OperationRow[] {
  const rows = new Map<string, OperationRow>()
  for (let node = 0; node < model.count; node++) {
    if (model.isPlaceholder(node)) continue
    const service = model.service[node]!
    const name = model.name[node]!
    const key = `${service} ${name}`
    let row = rows.get(key)
    if (row === undefined) {
      row = { service, name, first: node, spans: 0, failed: 0, total: 0, self: 0, longest: 0 }
      rows.set(key, row)
    }
    row.spans++
    if (model.isFailed(node)) row.failed++
    row.total += model.duration[node]!
    row.self += model.selfTime[node]!
    row.longest = Math.max(row.longest, model.duration[node]!)
  }
  return [...rows.values()].toSorted((a, b) => b.self - a.self)
}

export interface ServiceNode {
  service: number
  spans: number
  failed: number
  self: number
  /** Steps from where the trace begins. */
  level: number
}

export interface ServiceCall {
  from: number
  to: number
  calls: number
  failed: number
  /** Nanoseconds of the called spans together. */
  total: number
  /** The first called span. */
  first: number
}

/** The services of a trace and the calls between them. */
export function serviceCalls(model: TraceModel): { services: ServiceNode[]; calls: ServiceCall[] } {
  const services = new Map<number, ServiceNode>()
  const calls = new Map<string, ServiceCall>()
  const level = new Int32Array(model.count)
  for (let node = 0; node < model.count; node++) {
    if (model.isPlaceholder(node)) continue
    const service = model.service[node]!
    let above = model.parent[node]!
    if (above >= 0 && model.isPlaceholder(above)) above = -1
    const from = above < 0 ? -1 : model.service[above]!
    level[node] = above < 0 ? 0 : level[above]! + (from === service ? 0 : 1)
    const known = services.get(service) ?? { service, spans: 0, failed: 0, self: 0, level: level[node]! }
    known.spans++
    known.level = Math.min(known.level, level[node]!)
    if (model.isFailed(node)) known.failed++
    known.self += model.selfTime[node]!
    services.set(service, known)
    if (from < 0 || from === service) continue
    const key = `${from} ${service}`
    const call = calls.get(key) ?? { from, to: service, calls: 0, failed: 0, total: 0, first: node }
    call.calls++
    if (model.isFailed(node)) call.failed++
    call.total += model.duration[node]!
    calls.set(key, call)
  }
  return {
    services: [...services.values()],
    calls: [...calls.values()].toSorted((a, b) => b.total - a.total),
  }
}
