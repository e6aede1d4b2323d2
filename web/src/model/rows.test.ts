import { describe, expect, it } from 'vitest'
import type { Collapse } from '../app/url'
import { keptFailed, keptSpans } from './filters'
import { closedNodes, findNodes, isCollapsed, opened, rowOf, toggled, visibleRows } from './rows'
import { Groups } from './groups'
import { TraceModel } from './trace'
import { idOfRow, randomNumbers, randomSkeleton, skeletonOf } from './traces.fixture'

const OPEN: Collapse = { level: null, toggled: [] }

const model = new TraceModel(
  skeletonOf([
    {
      service: 'gateway',
      name: 'GET /',
      start: 0,
      duration: 100,
      flags: 1,
      children: [
        { service: 'auth', name: 'check', start: 1, duration: 5 },
        {
          service: 'cart',
          name: 'GET /cart',
          start: 10,
          duration: 50,
          flags: 1,
          children: [{ service: 'db', name: 'SELECT', start: 11, duration: 9, flags: 3 }],
        },
      ],
    },
  ]),
)

const groups = new Groups(model)
const unfolded = new Uint8Array(model.count)

describe('visible rows', () => {
  it.each([11, 12, 13, 14])('are those without a closed ancestor, seed %d', (seed) => {
    const random = randomNumbers(seed)
    const tree = new TraceModel(randomSkeleton(seed, 200))
    const closed = new Uint8Array(tree.count).map(() => (random() < 0.3 ? 1 : 0))
    for (const onlyFailed of [false, true]) {
      const expected: number[] = []
      for (let node = 0; node < tree.count; node++) {
        let shown = !onlyFailed || tree.isFailed(node) || tree.failuresBelow[node]! > 0
        for (let above = tree.parent[node]!; above >= 0; above = tree.parent[above]!) {
          if (isCollapsed(tree, above, closed)) shown = false
        }
        if (shown) expected.push(node)
      }
      const rows = visibleRows(
        tree,
        closed,
        onlyFailed ? keptFailed(tree) : null,
        new Groups(tree),
        new Uint8Array(tree.count),
      )
      expect([...rows]).toEqual(expected)
      for (let node = 0; node < tree.count; node++) expect(rowOf(rows, node)).toBe(expected.indexOf(node))
    }
  })

  it('with the filter are failed spans and the way to them', () => {
    expect([...visibleRows(model, closedNodes(model, OPEN), keptFailed(model), groups, unfolded)]).toEqual([
      0, 2, 3,
    ])
  })
})

describe('collapse', () => {
  it('to level 1 shows the roots, to level 2 their children', () => {
    expect([
      ...visibleRows(model, closedNodes(model, { level: 1, toggled: [] }), null, groups, unfolded),
    ]).toEqual([0])
    expect([
      ...visibleRows(model, closedNodes(model, { level: 2, toggled: [] }), null, groups, unfolded),
    ]).toEqual([0, 1, 2])
  })

  it('toggles a span there and back', () => {
    const once = toggled(model, OPEN, [2])
    expect(once.toggled).toEqual([idOfRow(2)])
    expect([...visibleRows(model, closedNodes(model, once), null, groups, unfolded)]).toEqual([0, 1, 2])
    expect(toggled(model, once, [2])).toEqual(OPEN)
  })

  it('opens the way to a hidden span and leaves the rest', () => {
    const level: Collapse = { level: 1, toggled: [] }
    const way = opened(model, level, [3])
    expect([...visibleRows(model, closedNodes(model, way), null, groups, unfolded)]).toEqual([0, 1, 2, 3])
    expect(opened(model, OPEN, [3])).toBe(OPEN)
  })

  it('ignores spans that are not in the trace', () => {
    expect(closedNodes(model, { level: null, toggled: ['ffffffffffffffff'] }).includes(1)).toBe(false)
  })
})

it('finds by service, name and span id, whatever the case', () => {
  expect([...findNodes(model, 'CART')]).toEqual([2])
  expect([...findNodes(model, 'get')]).toEqual([0, 2])
  expect([...findNodes(model, idOfRow(3))]).toEqual([3])
  expect([...findNodes(model, '  ')]).toEqual([])
})

it('keeps the spans of a filter and the way to them, whatever order they are named in', () => {
  const tree = new TraceModel(randomSkeleton(7, 200))
  const wanted = [150, 3, 77].map((node) => tree.spanId(node))
  const together = new Groups(tree)
  const kept = keptSpans(tree, together, wanted)
  const expected = new Set<number>()
  for (const id of wanted)
    for (let node = tree.nodeOf(id); node >= 0; node = tree.parent[node]!) {
      expected.add(node)
      if (together.head[node]! >= 0) expected.add(together.head[node]!)
    }
  const rows = visibleRows(tree, new Uint8Array(tree.count), kept, together, new Uint8Array(tree.count))
  expect([...rows]).toEqual([...expected].sort((a, b) => a - b))
})
