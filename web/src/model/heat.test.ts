import { expect, it } from 'vitest'
import {
  boxBetween,
  boxOf,
  densest,
  heatOf,
  heatStep,
  placeIn,
  selectionOf,
  sumOf,
  withLengths,
  withRoom,
} from './heat'

const T0 = 1795349071207000001n
const heat = heatOf({
  x_unix_nano: [0n, 10n, 20n, 30n].map((at) => String(T0 + at)),
  y_ns: ['100', '1000', '10000'],
  estimated: [],
  cells: [
    [0, 0, 5, 0],
    [1, 0, 9, 2],
    [2, 1, 4, 4],
  ],
})

it('counts the traces of any rectangle of cells', () => {
  const all = { x0: 0, x1: 2, y0: 0, y1: 1 }
  expect(sumOf(heat, all)).toEqual({ count: 18, failed: 6 })
  expect(sumOf(heat, { x0: 1, x1: 2, y0: 1, y1: 1 })).toEqual({ count: 4, failed: 4 })
  expect(densest(heat)).toEqual({ x: 1, y: 0 })
  expect(densest(heatOf({ x_unix_nano: ['1', '2'], y_ns: ['1', '2'], cells: [], estimated: [] }))).toBeNull()
})

it('finds the cells of every selection again, to the nanosecond', () => {
  for (let x0 = 0; x0 < 3; x0++)
    for (let x1 = x0; x1 < 3; x1++)
      for (const [y0, y1] of [
        [0, 0],
        [0, 1],
        [1, 1],
      ] as const) {
        const box = { x0, x1, y0, y1 }
        expect(boxOf(heat, selectionOf(heat, box))).toEqual(box)
      }
  expect(selectionOf(heat, { x0: 1, x1: 1, y0: 0, y1: 0 })).toEqual({
    t0: String(T0 + 10n),
    t1: String(T0 + 20n),
    d0: '100',
    d1: '1000',
  })
})

it('covers what a selection of other cells touches, and says when it touches none', () => {
  const selection = { t0: String(T0 + 15n), t1: String(T0 + 16n), d0: '1', d1: '101' }
  expect(boxOf(heat, selection)).toEqual({ x0: 1, x1: 1, y0: 0, y1: 0 })
  expect(boxOf(heat, { ...selection, t1: String(T0 + 15n) })).not.toBeNull()
  expect(boxOf(heat, { ...selection, t0: '1', t1: '2' })).toBeNull()
})

it('has the strongest colour for the most traces, and the same for a single one where there is no more', () => {
  expect(heatStep(1, 600)).toBe(0)
  expect(heatStep(600, 600)).toBe(7)
  expect(heatStep(1, 1)).toBe(7)
  expect(boxBetween({ x: 3, y: 1 }, { x: 1, y: 2 })).toEqual({ x0: 1, x1: 3, y0: 1, y1: 2 })
})

it('asks for the lengths of a selection in place of the wider ones that were asked for', () => {
  const of = (d0: string, d1: string) => ({ t0: '0', t1: '1', d0, d1 })
  const once = withLengths('service=cart', of('10', '900'))
  expect(once).toBe('service=cart trace.duration>=10ns trace.duration<900ns')
  expect(withLengths(once, of('20', '900'))).toBe('service=cart trace.duration>=20ns trace.duration<900ns')
  expect(withLengths(withLengths('{a=1} > {b=1}', of('1', '9')), of('2', '3'))).toBe(
    '{a=1} > {b=1} trace.duration>=2ns trace.duration<3ns',
  )
  expect(withLengths(withLengths('a=1 or b=1', of('1', '9')), of('2', '3'))).toBe(
    '(a=1 or b=1) trace.duration>=2ns trace.duration<3ns',
  )
  // Narrower ones, and what is another question, stay.
  for (const q of [
    'trace.duration>=30ns',
    'trace.duration<800ns',
    'trace.duration!=5ns',
    'trace.duration>1ms',
    'dur>=1ns',
    'not trace.duration>=1ns',
    '"trace.duration">=1ns',
    'trace.duration>20ns',
  ])
    expect(withLengths(q, of('20', '900'))).toContain(q)
})

it('has rows beside those of traces that are all equally long, which count nothing', () => {
  const one = {
    x_unix_nano: ['0', '10'],
    y_ns: ['2300000000', '2300000001'],
    cells: [[0, 0, 7, 1]],
    estimated: [],
  }
  const roomy = heatOf(withRoom(one))
  expect(roomy.rows).toBeGreaterThan(8)
  expect(sumOf(roomy, { x0: 0, x1: 0, y0: 0, y1: roomy.rows - 1 })).toEqual({ count: 7, failed: 1 })
  const place = placeIn(roomy, 5n, 2300000000n)!
  expect(roomy.count[Math.floor(place.y * roomy.rows)]).toBe(7)
  expect(roomy.lengths).toEqual([...new Set(roomy.lengths)].toSorted((a, b) => (a < b ? -1 : 1)))
  // Lengths of zero have nothing below them.
  const none = heatOf(withRoom({ ...one, y_ns: ['0', '1'] }))
  expect(none.lengths[0]).toBe(0n)
  expect(none.count[0]).toBe(7)
  const many = { ...one, y_ns: Array.from({ length: 41 }, (_, at) => String(at + 1)) }
  expect(withRoom(many)).toBe(many)
})
