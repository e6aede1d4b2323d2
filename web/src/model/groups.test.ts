import { describe, expect, it } from 'vitest'
import type { Unfolding } from '../app/url'
import { foldedHeads, Groups, isWithin, unfoldedFor, withGroup } from './groups'
import { keptFailed } from './filters'
import { rowOf, visibleRows } from './rows'
import { groupSentence } from './sentence'
import { TraceModel } from './trace'
import { idOfRow, randomNumbers, skeletonOf, type DrawnSpan } from './traces.fixture'

const FOLDED: Unfolding = { all: false, toggled: [] }

/** A root that asks the database in turns with other calls; one of the selects fails, each has a child. */
function turns(): TraceModel {
  const children: DrawnSpan[] = []
  for (let turn = 0; turn < 8; turn++) {
    children.push({
      service: 'db',
      name: 'SELECT rates',
      start: turn * 100,
      duration: 10 + turn,
      flags: turn === 3 ? 3 : 0,
      children: [{ service: 'disk', name: 'read', start: turn * 100 + 1, duration: 2 }],
    })
    if (turn < 4) children.push({ service: 'cache', name: 'GET', start: turn * 100 + 50, duration: 5 })
  }
  return new TraceModel(
    skeletonOf([{ service: 'shop', name: 'POST /pay', start: 0, duration: 900, children }]),
  )
}

describe('groups of equal siblings', () => {
  const model = turns()
  const groups = new Groups(model)
  const members = groups.membersOf(1)

  it('hold five and more of one parent, service and name, and nothing that failed', () => {
    expect([...groups.heads()]).toEqual([1])
    expect([...members].every((node) => model.spanName(node) === 'SELECT rates')).toBe(true)
    expect(members).toHaveLength(7)
    expect([...members].some((node) => model.isFailed(node))).toBe(false)
  })

  it('sum up what their members took', () => {
    const { count, total, min, median, max, selfTime } = groups.summaryOf(1)
    expect([count, total, min, median, max, selfTime]).toEqual([7, 95, 10, 14, 17, 81])
    expect(groupSentence(model, 1, groups.summaryOf(1))).toBe(
      'db, SELECT rates, 7 equal calls, 95 nanoseconds in total, shortest 10 nanoseconds, median 14 nanoseconds, longest 17 nanoseconds',
    )
  })

  it('are one row, and leave the others where they were', () => {
    const closed = new Uint8Array(model.count)
    const folded = foldedHeads(model, groups, FOLDED)
    const names = [...visibleRows(model, closed, null, groups, folded)].map((node) => model.spanName(node))
    expect(names).toEqual(['POST /pay', 'SELECT rates', 'GET', 'GET', 'GET', 'SELECT rates', 'read', 'GET'])
    const open = foldedHeads(model, groups, withGroup(model, FOLDED, 1, false))
    expect(visibleRows(model, closed, null, groups, open)).toHaveLength(model.count)
    expect(
      [...visibleRows(model, closed, keptFailed(model), groups, folded)].map((node) => model.isFailed(node)),
    ).toEqual([false, true])
  })

  it('open and fold by what the address says', () => {
    const open = withGroup(model, FOLDED, 1, false)
    expect(open).toEqual({ all: false, toggled: [idOfRow(1)] })
    expect(withGroup(model, open, 1, true)).toEqual(FOLDED)
    expect(withGroup(model, open, 1, false)).toEqual(open)
    const all: Unfolding = { all: true, toggled: [] }
    expect(foldedHeads(model, groups, all)[1]).toBe(0)
    expect(foldedHeads(model, groups, withGroup(model, all, 1, true))[1]).toBe(1)
    expect(foldedHeads(model, groups, { all: false, toggled: ['ffffffffffffffff'] })[1]).toBe(1)
  })

  it('open for what lies in them, and stay for their first member', () => {
    const folded = foldedHeads(model, groups, FOLDED)
    const last = members.at(-1)!
    expect(unfoldedFor(model, groups, folded, FOLDED, 1)).toBe(FOLDED)
    expect(unfoldedFor(model, groups, folded, FOLDED, 0)).toBe(FOLDED)
    for (const node of [last, last + 1, 2]) {
      const unfolding = unfoldedFor(model, groups, folded, FOLDED, node)
      const rows = visibleRows(
        model,
        new Uint8Array(model.count),
        null,
        groups,
        foldedHeads(model, groups, unfolding),
      )
      expect(rowOf(rows, node)).toBeGreaterThan(0)
      expect(isWithin(model, groups, 1, node)).toBe(true)
    }
    expect(isWithin(model, groups, 1, 0)).toBe(false)
    expect(isWithin(model, groups, 1, -1)).toBe(false)
  })
})

it('fifty thousand siblings are one row', () => {
  const random = randomNumbers(7)
  const children = Array.from({ length: 50_000 }, (_, index) => ({
    service: 'db',
    name: 'SELECT',
    start: index * 10,
    duration: Math.floor(random() * 100),
  }))
  const model = new TraceModel(
    skeletonOf([{ service: 'a', name: 'b', start: 0, duration: 500_000, children }]),
  )
  const groups = new Groups(model)
  const rows = visibleRows(
    model,
    new Uint8Array(model.count),
    null,
    groups,
    foldedHeads(model, groups, FOLDED),
  )
  expect([...rows]).toEqual([0, 1])
  expect(groups.summaryOf(1).count).toBe(50_000)
})
