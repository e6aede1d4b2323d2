import { describe, expect, it } from 'vitest'
import { foldedHeads, Groups } from '../model/groups'
import { TraceModel } from '../model/trace'
import { skeletonOf, type DrawnSpan } from '../model/traces.fixture'
import {
  MAX_SCROLL_PX,
  columnsOf,
  geometryFor,
  hitTest,
  indentOf,
  indented,
  offsetOf,
  rowWindow,
  scrollFor,
  scrollHeight,
  timeAt,
  xOf,
  type Geometry,
} from './layout'

const wide = geometryFor(1100, 600, 1440)
const phone = geometryFor(390, 600, 390)

describe('row windows', () => {
  it('hold the partly visible rows', () => {
    expect(rowWindow(0, 1000, wide)).toEqual({ first: 0, last: 25 })
    expect(rowWindow(12, 1000, wide)).toEqual({ first: 0, last: 26 })
    expect(rowWindow(24 * 990, 1000, wide)).toEqual({ first: 990, last: 1000 })
    expect(rowWindow(0, 3, wide)).toEqual({ first: 0, last: 3 })
    expect(rowWindow(0, 0, wide)).toEqual({ first: 0, last: 0 })
  })

  it('reach every row although an element cannot be that tall', () => {
    const rows = 3_000_000
    expect(scrollHeight(rows, wide)).toBe(MAX_SCROLL_PX)
    const bottom = offsetOf(MAX_SCROLL_PX - wide.height, rows, wide)
    expect(rowWindow(bottom, rows, wide).last).toBe(rows)
    expect(offsetOf(0, rows, wide)).toBe(0)
  })

  it('are where scrolling to them ends', () => {
    for (const rows of [10, 1000, 2_000_000]) {
      for (const row of [0, 1, Math.floor(rows / 2), rows - 1]) {
        const most = Math.max(0, rows * wide.rowHeight - wide.height)
        const offset = Math.min(most, row * wide.rowHeight)
        expect(offsetOf(scrollFor(offset, rows, wide), rows, wide)).toBeCloseTo(offset, 3)
      }
    }
  })
})

describe('indent', () => {
  const chainOf = (length: number) => {
    let chain: DrawnSpan = { service: 'a', name: 'leaf', start: 0, duration: 1 }
    for (let level = 1; level < length; level++)
      chain = { service: 'a', name: `level ${level}`, start: 0, duration: level, children: [chain] }
    return new TraceModel(skeletonOf([chain]))
  }
  const rowsOf = (model: TraceModel) => Int32Array.from({ length: model.count }, (_, row) => row)
  const nameRoom = (geometry: Geometry, depth: number) =>
    columnsOf(geometry).badges - indentOf(geometry, depth) - 54

  it('is the usual one while every level fits', () => {
    const model = chainOf(8)
    expect(indented(wide, model, rowsOf(model), { first: 0, last: 8 })).toBe(wide)
  })

  it.each([12, 13, 25, 100, 5000])('leaves names room at level %d', (level) => {
    const model = chainOf(level)
    for (const geometry of [wide, phone]) {
      const first = Math.max(0, level - 25)
      const shown = indented(geometry, model, rowsOf(model), { first, last: level })
      for (let row = first; row < level; row++) expect(nameRoom(shown, row)).toBeGreaterThanOrEqual(110)
      // A child is never left of its parent, and the outermost and the innermost row are apart.
      for (let row = first + 1; row < level; row++)
        expect(indentOf(shown, row)).toBeGreaterThanOrEqual(indentOf(shown, row - 1))
      expect(indentOf(shown, level - 1) - indentOf(shown, first)).toBeGreaterThan(30)
    }
  })
})

describe('hit test', () => {
  const model = new TraceModel(
    skeletonOf([
      {
        service: 'a',
        name: 'root',
        start: 0,
        duration: 1000,
        children: [{ service: 'b', name: 'child', start: 500, duration: 100, flags: 3 }],
      },
    ]),
  )
  const window = { from: 0, to: 1000 }
  const open = new Uint8Array(2)
  const groups = new Groups(model)
  const folded = new Uint8Array(2)
  const rows = Int32Array.from([0, 1])
  const at = (x: number, y: number, geometry = wide, closed = open, shown = rows) =>
    hitTest(x, y, 0, { model, rows: shown, closed, groups, folded, window }, geometry)

  it('knows the expand mark, the name, the bar and the empty chart', () => {
    expect(at(indentOf(wide, 0) + 4, 12)).toEqual({ row: 0, node: 0, part: 'toggle' })
    expect(at(200, 12)).toEqual({ row: 0, node: 0, part: 'name' })
    expect(at(xOf(550, window, wide), 36)).toEqual({ row: 1, node: 1, part: 'bar' })
    expect(at(xOf(100, window, wide), 36)).toEqual({ row: 1, node: 1, part: 'chart' })
    expect(at(200, 60)).toBeNull()
    expect(at(-1, 12)).toBeNull()
  })

  it('has no expand mark on a leaf', () => {
    expect(at(indentOf(wide, 1) + 4, 36)?.part).toBe('name')
  })

  it('finds the flag of hidden failures on a closed row', () => {
    const x = columnsOf(wide).badges - 10
    expect(at(x, 12, wide, Uint8Array.from([1, 0]), Int32Array.from([0]))?.part).toBe('flag')
    expect(at(x, 12)?.part).toBe('name')
  })

  it('has the bar below the name on a phone', () => {
    expect(at(200, 10, phone)?.part).toBe('name')
    expect(at(xOf(550, window, phone), 48 + 36, phone)).toEqual({ row: 1, node: 1, part: 'bar' })
  })

  it('is exact to the pixel in time', () => {
    expect(timeAt(xOf(333, window, wide), window, wide)).toBeCloseTo(333)
  })

  it('finds the count of a folded group, its mark and its teeth', () => {
    const children = Array.from({ length: 5 }, (_, index) => ({
      service: 'db',
      name: 'SELECT',
      start: index * 200,
      duration: 50,
    }))
    const many = new TraceModel(
      skeletonOf([{ service: 'a', name: 'root', start: 0, duration: 1000, children }]),
    )
    const together = new Groups(many)
    const scene = {
      model: many,
      rows: Int32Array.from([0, 1]),
      closed: new Uint8Array(many.count),
      groups: together,
      folded: foldedHeads(many, together, { all: false, toggled: [] }),
      window,
    }
    const partAt = (x: number) => hitTest(x, 36, 0, scene, wide)?.part
    expect(partAt(indentOf(wide, 1) + 4)).toBe('toggle')
    expect(partAt(columnsOf(wide).badges - 4)).toBe('group')
    expect(partAt(xOf(625, window, wide))).toBe('bar')
    expect(partAt(xOf(700, window, wide))).toBe('chart')
  })

  it('finds the close mark of an open group at its first member, and the mark of unusual times', () => {
    const children = Array.from({ length: 5 }, (_, index) => ({
      service: 'db',
      name: 'SELECT',
      start: index * 200,
      duration: 50,
    }))
    const late = { service: 'b', name: 'late', start: 5_000_000, duration: 5, flags: 16 }
    const many = new TraceModel(
      skeletonOf([{ service: 'a', name: 'root', start: 0, duration: 1000, children: [...children, late] }]),
    )
    const scene = {
      model: many,
      rows: Int32Array.from([0, 1, 2, 3, 4, 5, 6]),
      closed: new Uint8Array(many.count),
      groups: new Groups(many),
      folded: new Uint8Array(many.count),
      window,
    }
    const partAt = (x: number, row: number) => hitTest(x, row * 24 + 12, 0, scene, wide)?.part
    expect(partAt(indentOf(wide, 1) + 4, 1)).toBe('toggle')
    expect(partAt(columnsOf(wide).badges - 4, 1)).toBe('group')
    expect(partAt(indentOf(wide, 1) + 4, 2)).toBe('name')
    expect(partAt(columnsOf(wide).badges - 4, 6)).toBe('note')
  })
})
