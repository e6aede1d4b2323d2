import { afterEach, expect, it, vi } from 'vitest'

import { heatOf } from '../model/heat'
import { lengthTicks, timeTicks } from './axes'
import { cellAt, markLabels, pixelsOf, plotOf } from './heat'

afterEach(() => vi.restoreAllMocks())

const heat = heatOf({
  x_unix_nano: Array.from({ length: 121 }, (_, at) => String(at)),
  y_ns: Array.from({ length: 41 }, (_, at) => String(at + 1)),
  cells: [],
  estimated: [],
})

it('finds the cell under every point of its own rectangle', () => {
  const plot = plotOf(1200, 320, [])
  for (const [x, y] of [
    [0, 0],
    [119, 39],
    [60, 20],
  ] as const) {
    const { left, top, width, height } = pixelsOf(plot, heat, { x0: x, x1: x, y0: y, y1: y })
    expect(cellAt(plot, heat, left + width / 2, top + height / 2)).toEqual({ x, y })
  }
  expect(cellAt(plot, heat, -50, 9999)).toEqual({ x: 0, y: 0 })
  expect(cellAt(plot, heat, 9999, -50)).toEqual({ x: 119, y: 39 })
})

it('writes the versions above the cells, beside each other where there is room', () => {
  const plot = plotOf(1200, 320, [])
  const at = (...places: number[]) => places.map((place) => ({ at: place, label: 'payment 2.4.1' }))
  expect(plotOf(1200, 320, at(0.1, 0.5)).top).toBe(plot.top + 14)
  expect(plotOf(1200, 320, at(0.1, 0.11, 0.5))).toEqual({
    ...plot,
    top: plot.top + 28,
    height: plot.height - 28,
  })
  const labels = markLabels(plot.left, plot.width, at(0.1, 0.11, 0.12, 0.13, 0.99))
  expect(labels.map((label) => label?.lane)).toEqual([0, 1, 2, undefined, 0])
  expect(labels[4]!.left + labels[4]!.width).toBeLessThanOrEqual(plot.left + plot.width)
})

it('writes round times of the day', () => {
  const noon = Date.UTC(2026, 10, 22, 12, 3)
  const labels = timeTicks(noon, noon + 3_600_000, 8, 'utc').map(({ label }) => label)
  expect(labels).toEqual(['12:10', '12:20', '12:30', '12:40', '12:50', '13:00'])
  expect(timeTicks(noon, noon + 40_000, 8, 'utc')[0]?.label).toBe('12:03:00')
  const days = (length: number, nowMs: number) =>
    timeTicks(noon, noon + length * 86_400_000, 8, 'utc', nowMs).map(({ label }) => label)
  expect(days(30, noon)[0]).toBe('11-26')
  // The day at its midnight, and the year where it is not this one, or more than one.
  expect(days(1, noon)).toEqual(['15:00', '18:00', '21:00', '11-23', '03:00', '06:00', '09:00', '12:00'])
  expect(days(30, noon + 365 * 86_400_000)[0]).toBe('2026-11-26')
  expect(days(800, noon).slice(0, 2)).toEqual(['2026-12-18', '2027-12-18'])
  expect(timeTicks(noon, noon, 8, 'utc')).toEqual([])
})

it.each([
  // New York: an hour twice on 1 November 2026, and one left out on 8 March.
  [Date.UTC(2026, 10, 1, 6), [240, 300], 4, ['00:00', '06:00', '12:00', '18:00']],
  [Date.UTC(2026, 10, 1, 6), [240, 300], 13, ['00:00', '02:00', '04:00', '06:00', '08:00']],
  [Date.UTC(2026, 2, 8, 7), [300, 240], 4, ['00:00', '06:00', '12:00', '18:00']],
  [Date.UTC(2026, 2, 8, 7), [300, 240], 24, ['00:00', '01:00', '03:00', '04:00']],
])(
  'writes round times of the day behind a change of clocks too: %s %s',
  (change, [before, after], most, first) => {
    vi.spyOn(Date.prototype, 'getTimezoneOffset').mockImplementation(function (this: Date) {
      return this.getTime() < change ? before! : after!
    })
    const midnight = Math.floor(change / 86_400_000) * 86_400_000 + before! * 60_000
    const ticks = timeTicks(midnight, midnight + 23 * 3_600_000, most, 'local')
    expect(ticks.map(({ label }) => label).slice(0, first.length)).toEqual(first)
    for (const { at, label } of ticks) {
      const ms = midnight + at * 23 * 3_600_000
      const wall = new Date(Math.round(ms) - (ms < change ? before! : after!) * 60_000)
      expect(label).toBe(wall.toISOString().slice(11, 16))
    }
    const days = timeTicks(midnight - 86_400_000, midnight + 3 * 86_400_000, 5, 'local')
    expect(new Set(days.map(({ label }) => label)).size).toBe(days.length)
  },
)

it('writes round lengths, fewer where there is less room', () => {
  const labels = lengthTicks(3e6, 3e9, 8).map(({ label }) => label)
  expect(labels).toEqual(['3 ms', '10 ms', '30 ms', '100 ms', '300 ms', '1 s', '3 s'])
  expect(lengthTicks(1e9, 1e12, 5).map(({ label }) => label)).toEqual(['1 s', '10 s', '100 s', '1,000 s'])
  expect(lengthTicks(1e3, 1e12, 5).length).toBeLessThanOrEqual(5)
  // Between two round ones the ends are written.
  expect(lengthTicks(110e6, 250e6, 8).map(({ label }) => label)).toEqual(['110 ms', '250 ms'])
  expect(lengthTicks(110e6, 110e6 + 1, 8).map(({ label }) => label)).toEqual(['110 ms'])
})
