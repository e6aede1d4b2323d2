import { expect, it } from 'vitest'
import { heatOf } from './heat'
import { nearestPoint, placed, pointInWords, versionMarks } from './points'

const T0 = 1795349071207000001n
const heat = heatOf({
  x_unix_nano: [0n, 100n, 200n].map((at) => String(T0 + at)),
  y_ns: ['100', '1000', '10000'],
  cells: [],
  estimated: [],
})
const points = placed(
  {
    trace_id: ['a'.repeat(32), 'b'.repeat(32), 'c'.repeat(32)],
    start_unix_nano: [String(T0 + 50n), String(T0 + 150n), String(T0 + 900n)],
    duration_ns: ['100', '3163', '500'],
    failed: [0, 1, 0],
    complete: true,
    reason: null,
  },
  heat,
)

it('places traces by start and length, and leaves out those beside the heatmap', () => {
  expect(points.ids).toEqual(['a'.repeat(32), 'b'.repeat(32)])
  expect([...points.x]).toEqual([0.25, 0.75])
  expect(points.y[0]).toBe(0)
  expect(points.y[1]).toBeCloseTo(0.75, 3)
  expect(pointInWords(points, 1)).toBe('3.16 µs, failed, bbbbbbbb…')
})

it('finds the nearest trace within some pixels', () => {
  expect(nearestPoint(points, 400, 100, 98, 99, 6)).toBe(0)
  expect(nearestPoint(points, 400, 100, 300, 27, 6)).toBe(1)
  expect(nearestPoint(points, 400, 100, 200, 50, 6)).toBe(-1)
})

it('marks new versions of the services that are shown', () => {
  const versions = [
    { service: 'cart', version: '2', first_unix_nano: String(T0 + 20n) },
    { service: 'bank', version: '7', first_unix_nano: String(T0 + 120n) },
    { service: 'cart', version: '3', first_unix_nano: String(T0 + 500n) },
  ]
  expect(versionMarks(versions, heat, null)).toEqual([
    { at: 0.1, label: 'cart 2' },
    { at: 0.6, label: 'bank 7' },
  ])
  expect(versionMarks(versions, heat, ['bank'])).toEqual([{ at: 0.6, label: 'bank 7' }])
})
