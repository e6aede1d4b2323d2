/** Random and drawn traces for tests, as skeletons. */
import type { Skeleton } from '../api/types'

/** A repeatable source of numbers from 0 to 1. */
export function randomNumbers(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state * 1_664_525 + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

export interface DrawnSpan {
  service: string
  name: string
  start: number
  duration: number
  flags?: number
  /** Given for a span whose parent is not in the trace. */
  missingParent?: string
  children?: DrawnSpan[]
}

/** The id a drawn span gets: its row in hex. */
export function idOfRow(row: number): string {
  return (row + 1).toString(16).padStart(16, '0')
}

/** Self time as the server says it: the length less the time in which a child runs. */
function selfTimeOf({ start, duration, children = [] }: DrawnSpan): number {
  const end = start + Math.max(0, duration)
  let reached = start
  let covered = 0
  for (const child of children) {
    const from = Math.max(child.start, reached)
    const to = Math.min(child.start + child.duration, end)
    if (to <= from) continue
    covered += to - from
    reached = to
  }
  return end - start - covered
}

/** A skeleton from drawn trees; children must be by start. */
export function skeletonOf(roots: DrawnSpan[], t0 = '1795349071207000000'): Skeleton {
  const skeleton: Skeleton = {
    t0,
    services: [],
    names: [],
    span_id: '',
    parent: [],
    missing: [],
    start: [],
    dur: [],
    self: [],
    negative: [],
    svc: [],
    name: [],
    kind: [],
    flags: [],
    shifted: [],
    critical: [],
    total: 0,
    etag: '',
  }
  const index = (list: string[], text: string) => {
    if (!list.includes(text)) list.push(text)
    return list.indexOf(text)
  }
  const add = (span: DrawnSpan, parent: number) => {
    const row = skeleton.parent.length
    skeleton.parent.push(span.missingParent === undefined ? parent : -2)
    if (span.missingParent !== undefined) skeleton.missing.push([row, span.missingParent])
    skeleton.span_id += idOfRow(row)
    skeleton.start.push(span.start)
    skeleton.dur.push(Math.max(0, span.duration))
    if (span.duration < 0) skeleton.negative.push([row, span.duration])
    skeleton.svc.push(index(skeleton.services, span.service))
    skeleton.name.push(index(skeleton.names, span.name))
    skeleton.kind.push(1)
    skeleton.flags.push(span.flags ?? 0)
    if (span.children?.length) skeleton.self.push(selfTimeOf(span))
    for (const child of span.children ?? []) add(child, row)
  }
  for (const root of roots) add(root, -1)
  skeleton.total = skeleton.parent.length
  return skeleton
}

/** A random forest: overlapping and overhanging children, failures, orphans. */
export function randomSkeleton(seed: number, count: number): Skeleton {
  const random = randomNumbers(seed)
  let left = count
  const grow = (from: number, length: number, depth: number): DrawnSpan => {
    left--
    const children: DrawnSpan[] = []
    while (left > 0 && depth < 12 && random() < 0.65) {
      children.push(
        grow(from + Math.floor(random() * length), Math.floor(random() * length * 1.2), depth + 1),
      )
    }
    children.sort((a, b) => a.start - b.start)
    return {
      service: `service-${Math.floor(random() * 12)}`,
      name: `call ${Math.floor(random() * 30)}`,
      start: from,
      duration: length,
      flags: random() < 0.15 ? (random() < 0.5 ? 3 : 1) : 0,
      children,
    }
  }
  const roots: DrawnSpan[] = []
  while (left > 0) {
    const root = grow(Math.floor(random() * 1e6), Math.floor(random() * 1e6), 0)
    if (random() < 0.3) root.missingParent = `00000000000000f${Math.floor(random() * 3)}`
    roots.push(root)
  }
  return skeletonOf(roots.sort((a, b) => a.start - b.start))
}
