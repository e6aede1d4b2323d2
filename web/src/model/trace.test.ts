import { describe, expect, it, vi } from 'vitest'
import { FLAG } from '../api/flags'
import type { Skeleton } from '../api/types'
import { TraceModel } from './trace'
import { idOfRow, randomSkeleton, skeletonOf } from './traces.fixture'

/** Nodes below, by looking at every node's ancestors. */
function descendants(model: TraceModel, node: number): number[] {
  const found: number[] = []
  for (let other = 0; other < model.count; other++) {
    for (let above = model.parent[other]!; above >= 0; above = model.parent[above]!) {
      if (above === node) found.push(other)
    }
  }
  return found
}

describe('the linear passes agree with a brute-force version on random trees', () => {
  it.each([1, 2, 3, 4, 5, 6, 7, 8])('seed %d', (seed) => {
    const skeleton = randomSkeleton(seed, 120)
    const model = new TraceModel(skeleton)
    expect(model.count).toBe(skeleton.parent.length + model.missingCount)
    for (let node = 0; node < model.count; node++) {
      const below = descendants(model, node)
      expect(model.subtreeSize[node]).toBe(below.length + 1)
      expect(below.every((other) => other > node && other < node + model.subtreeSize[node]!)).toBe(true)
      expect(model.childCount[node]).toBe(below.filter((other) => model.parent[other] === node).length)
      expect(model.failuresBelow[node]).toBe(below.filter((other) => model.isFailed(other)).length)
      const parent = model.parent[node]!
      expect(model.depth[node]).toBe(parent < 0 ? 0 : model.depth[parent]! + 1)
      if (model.isPlaceholder(node)) continue
      const intervals = model.selfIntervals(node)
      let sum = 0
      for (let index = 0; index < intervals.length; index += 2)
        sum += intervals[index + 1]! - intervals[index]!
      expect(sum).toBeCloseTo(model.selfTime[node]!, 3)
      expect(model.start[node]! + model.earliest).toBe(skeleton.start[model.row[node]!])
      expect(model.nodeOf(model.spanId(node))).toBe(node)
    }
    expect(Math.min(...model.start)).toBe(0)
    expect(Math.max(...model.start.map((start, node) => start + model.duration[node]!))).toBe(model.length)
  })
})

it('takes self times from the server: one for each row with children, of the others all of their time', () => {
  const skeleton = skeletonOf([
    {
      service: 'a',
      name: 'orphan',
      start: 0,
      duration: 30,
      missingParent: '00000000000000aa',
      children: [{ service: 'b', name: 'call', start: 5, duration: 10 }],
    },
    { service: 'a', name: 'root', start: 6, duration: 10 },
    {
      service: 'a',
      name: 'second orphan',
      start: 30,
      duration: 20,
      missingParent: '00000000000000aa',
      children: [{ service: 'b', name: 'call', start: 30, duration: 5 }],
    },
  ])
  // Not what the rows would give: the server knows better, as where clocks disagree.
  skeleton.self = [7, 8]
  const model = new TraceModel(skeleton)
  expect([...model.row]).toEqual([-1, 0, 1, 3, 4, 2])
  expect([...model.selfTime]).toEqual([0, 7, 10, 8, 5, 10])
})

it('knows how far children lie outside of a span', () => {
  const model = new TraceModel(
    skeletonOf([
      {
        service: 'a',
        name: 'root',
        start: 100,
        duration: 50,
        children: [
          { service: 'b', name: 'early', start: 80, duration: 30 },
          {
            service: 'b',
            name: 'late',
            start: 140,
            duration: 100,
            children: [{ service: 'c', name: 'later', start: 200, duration: 90 }],
          },
        ],
      },
    ]),
  )
  expect([...model.reachFrom]).toEqual([0, 0, 60, 120])
  expect([...model.reachTo]).toEqual([160, 30, 210, 210])
})

it('puts spans with the same missing parent under one placeholder', () => {
  const model = new TraceModel(
    skeletonOf([
      { service: 'a', name: 'first', start: 5, duration: 10, missingParent: '00000000000000aa' },
      { service: 'a', name: 'root', start: 6, duration: 10 },
      { service: 'a', name: 'second', start: 30, duration: 10, missingParent: '00000000000000aa' },
    ]),
  )
  expect([...model.row]).toEqual([-1, 0, 2, 1])
  expect([...model.depth]).toEqual([0, 1, 1, 0])
  expect(model.spanId(0)).toBe('00000000000000aa')
  expect(model.start[0]! + model.earliest).toBe(5)
  expect(model.duration[0]).toBe(35)
  expect(model.selfTime[0]).toBe(0)
})

it('lists first failures in row order and counts all failures', () => {
  const model = new TraceModel(
    skeletonOf([
      {
        service: 'a',
        name: 'root',
        start: 0,
        duration: 10,
        flags: FLAG.failed,
        children: [{ service: 'b', name: 'call', start: 1, duration: 2, flags: FLAG.failed | FLAG.origin }],
      },
    ]),
  )
  expect([...model.origins]).toEqual([1])
  expect(model.failedCount).toBe(2)
})

it('finds the first of two spans with one id', () => {
  const skeleton = skeletonOf([
    { service: 'a', name: 'one', start: 0, duration: 1 },
    { service: 'a', name: 'two', start: 2, duration: 1 },
  ])
  skeleton.span_id = idOfRow(0) + idOfRow(0)
  expect(new TraceModel(skeleton).nodeOf(idOfRow(0))).toBe(0)
})

it('finds nodes by their ids, few of them and then all, and none by an id that is not there', () => {
  const skeleton = randomSkeleton(3, 200)
  // Ids of which one continues in the next are not found where none begins.
  const across = skeleton.span_id.slice(8, 24)
  const first = new Map<string, number>()
  const model = new TraceModel(skeleton)
  for (let node = model.count - 1; node >= 0; node--) first.set(model.spanId(node), node)
  expect(first.size).toBeGreaterThan(100)
  const asked = ['', '0', skeleton.span_id, across, ...first.keys(), '0', across]
  expect(asked.map((id) => model.nodeOf(id))).toEqual(asked.map((id) => first.get(id) ?? -1))
})

it('bears an empty trace', () => {
  const model = new TraceModel(skeletonOf([]))
  expect([model.count, model.length, model.earliest]).toEqual([0, 1, 0])
})

/** How many elements of arrays building a model reads: of the skeleton's columns and of its own. */
function readsToBuild(skeleton: Skeleton): number {
  let reads = 0
  const counted = <T extends object>(array: T): T =>
    new Proxy(array, {
      get(target, key) {
        if (typeof key === 'string' && /^\d/.test(key)) reads++
        const value: unknown = Reflect.get(target, key, target)
        if (typeof value !== 'function') return value
        return (...given: unknown[]) => {
          const answer: unknown = value.apply(target, given)
          // `fill` answers with the array, `map` with another one, `keys` and the like with something to go through.
          return ArrayBuffer.isView(answer) ? counted(answer) : answer
        }
      },
      set: (target, key, value) => Reflect.set(target, key, value, target),
    })
  for (const name of ['Int32Array', 'Float64Array', 'Uint8Array'] as const) {
    const Plain = globalThis[name]
    const Counted = function (...given: [number]) {
      return counted(new Plain(...given))
    }
    Counted.from = (given: ArrayLike<number>) => counted(Plain.from(given))
    vi.stubGlobal(name, Counted)
  }
  try {
    const columns = Object.entries(skeleton).map(([name, column]) => [
      name,
      Array.isArray(column) ? counted(column) : column,
    ])
    const model = new TraceModel(Object.fromEntries(columns) as Skeleton)
    expect(model.count).toBeGreaterThanOrEqual(skeleton.parent.length)
  } finally {
    vi.unstubAllGlobals()
  }
  return reads
}

it('reads as many elements as there are spans, times a number that does not grow with them', () => {
  const [few, many] = [1_000, 10_000].map((rows) => readsToBuild(randomSkeleton(9, rows)) / rows)
  expect(few).toBeGreaterThan(20)
  expect(many!).toBeLessThan(1.1 * few!)
})

it('bears a chain 5,000 deep and 50,000 siblings', () => {
  const chain = skeletonOf([])
  for (let row = 0; row < 5000; row++) {
    chain.parent.push(row - 1)
    chain.start.push(row)
    chain.dur.push(10_000 - 2 * row)
    chain.flags.push(row === 4999 ? 3 : 1)
    chain.svc.push(0)
    chain.name.push(0)
    chain.span_id += idOfRow(row)
  }
  const deep = new TraceModel(chain)
  expect(deep.maxDepth).toBe(4999)
  expect(deep.failuresBelow[0]).toBe(4999)

  const wide = skeletonOf([])
  for (let row = 0; row <= 50_000; row++) {
    wide.parent.push(row === 0 ? -1 : 0)
    wide.start.push(row === 0 ? 0 : row - 1)
    wide.dur.push(row === 0 ? 50_001 : 1)
    wide.flags.push(0)
    wide.svc.push(0)
    wide.name.push(0)
    wide.span_id += idOfRow(row)
  }
  wide.self.push(1)
  const broad = new TraceModel(wide)
  expect(broad.childCount[0]).toBe(50_000)
  expect(broad.selfTime[0]).toBe(1)
})
