import { describe, expect, it } from 'vitest'
import { geometryFor } from '../canvas/layout'
import { stitchesOf } from '../canvas/thread'
import { Groups } from './groups'
import { keptSpans } from './filters'
import { closedNodes, visibleRows } from './rows'
import { sectionsOf, threadOf, type Section } from './thread'
import { TraceModel } from './trace'
import { idOfRow, skeletonOf } from './traces.fixture'

/** A root that calls one service, which asks a database twice. */
function skeleton() {
  return skeletonOf([
    {
      service: 'gateway',
      name: 'POST /pay',
      start: 0,
      duration: 1000,
      children: [
        {
          service: 'payment',
          name: 'POST /charge',
          start: 100,
          duration: 800,
          children: [
            { service: 'db', name: 'SELECT', start: 200, duration: 300 },
            { service: 'db', name: 'UPDATE', start: 500, duration: 300 },
          ],
        },
        { service: 'audit', name: 'publish', start: 300, duration: 100 },
      ],
    },
  ])
}

const CRITICAL = [
  [0, 0, 100],
  [1, 100, 200],
  [2, 200, 500],
  [3, 500, 800],
  [1, 800, 900],
  [0, 900, 1000],
]

const columns = { ...skeleton(), critical: CRITICAL }
const model = new TraceModel(columns)
const groups = new Groups(model)
const unfolded = new Uint8Array(model.count)
const rowsAt = (level: number | null) =>
  visibleRows(model, closedNodes(model, { level, toggled: [] }), null, groups, unfolded)
const pieces = (sections: readonly Section[], rows: Int32Array) => {
  const thread = threadOf(model, sections, rows, () => -1)
  return [...thread.row].map((row, at) => [row, thread.from[at], thread.to[at]])
}

describe('the thread', () => {
  it('goes through the rows of the critical path in time order', () => {
    expect(pieces(sectionsOf(model, null), rowsAt(null))).toEqual(CRITICAL)
  })

  it('stays in the row that stands for what is closed', () => {
    expect(pieces(sectionsOf(model, null), rowsAt(2))).toEqual([
      [0, 0, 100],
      [1, 100, 900],
      [0, 900, 1000],
    ])
    expect(pieces(sectionsOf(model, null), rowsAt(1))).toEqual([[0, 0, 1000]])
  })

  it('is read from the explanation where the columns have none', () => {
    const plain = new TraceModel(skeleton())
    const t0 = BigInt(plain.skeleton.t0)
    const critical_path = CRITICAL.map(([row, from, to]) => ({
      span_id: idOfRow(row!),
      start_unix_nano: String(t0 + BigInt(from!)),
      end_unix_nano: String(t0 + BigInt(to!)),
    }))
    expect(sectionsOf(plain, { critical_path })).toEqual(sectionsOf(model, null))
    expect(sectionsOf(plain, null)).toEqual([])
  })

  it('keeps the rows of the path and those above them when only they are asked for', () => {
    const kept = keptSpans(
      model,
      groups,
      sectionsOf(model, null).map(({ node }) => model.spanId(node)),
    )
    expect([...visibleRows(model, new Uint8Array(5), kept, groups, unfolded)]).toEqual([0, 1, 2, 3])
  })

  it('does not leave a row for less than two pixels', () => {
    const geometry = geometryFor(1100, 600, 1440)
    const window = { from: 0, to: 1_000_000 }
    const thread = {
      row: Int32Array.from([0, 1, 0, 2, 0]),
      from: Float64Array.from([0, 400_000, 401_000, 500_000, 700_000]),
      to: Float64Array.from([400_000, 401_000, 500_000, 700_000, 1_000_000]),
    }
    expect(stitchesOf(thread, window, geometry).map(({ row }) => row)).toEqual([0, 2, 0])
    const close = { from: 399_000, to: 403_000 }
    expect(stitchesOf(thread, close, geometry).map(({ row }) => row)).toEqual([0, 1, 0])
  })

  it('is drawn in the row with most of the time where visits too short to see follow each other', () => {
    const geometry = geometryFor(1100, 600, 1440)
    // A span that works for 100 ns before and after a thousand calls of 600 ns with 300 ns of its own between them.
    const ends = [100]
    const row = [0]
    for (let call = 0; call < 1000; call++) {
      ends.push(ends.at(-1)! + 600, ends.at(-1)! + 900)
      row.push(1, 0)
    }
    ends[ends.length - 1]! += 100_000
    const thread = {
      row: Int32Array.from(row),
      from: Float64Array.from([0, ...ends.slice(0, -1)]),
      to: Float64Array.from(ends),
    }
    const stitches = stitchesOf(thread, { from: 0, to: 1_000_000 }, geometry)
    expect(stitches.map((stitch) => stitch.row)).toEqual([1, 0])
    expect(stitches[0]!.right).toBeCloseTo(stitches[1]!.left)
  })
})

describe('aligned clocks', () => {
  const early = () => {
    const made = skeletonOf([
      {
        service: 'a',
        name: 'root',
        start: 3000,
        duration: 1000,
        children: [
          { service: 'b', name: 'early', start: 0, duration: 500, flags: 16 },
          { service: 'a', name: 'own', start: 3100, duration: 100 },
        ],
      },
    ])
    return { ...made, shifted: [[1, 3250]], critical: [[1, 3250, 3750]] }
  }

  it('move each span by what the server says, and the row says so', () => {
    const sent = new TraceModel(early())
    expect(sent.isSkewed).toBe(true)
    expect([...sent.start]).toEqual([3000, 0, 3100])
    expect(sent.appliedShift(1)).toBe(0)
    const aligned = new TraceModel(early(), true)
    expect([...aligned.start]).toEqual([0, 250, 100])
    expect(aligned.length).toBe(1000)
    expect(aligned.appliedShift(1)).toBe(3250)
    // Children are no longer in order of their starts, and yet every instant counts once.
    expect(aligned.selfIntervals(0)).toEqual([0, 100, 200, 250, 750, 1000])
  })

  it('the thread stands where its spans stand', () => {
    expect(sectionsOf(new TraceModel(early()), null)).toEqual([{ node: 1, from: 0, to: 500 }])
    expect(sectionsOf(new TraceModel(early(), true), null)).toEqual([{ node: 1, from: 250, to: 750 }])
  })
})
