/** The critical path in pixels: pieces of the thread that can be told apart at the present zoom. */
import type { TimeWindow } from '../app/url'
import type { Thread } from '../model/thread'
import { xOf, type Geometry } from './layout'

/** A visit of another row that is shorter than this is not drawn by itself. */
const STEP_PX = 2

export interface Stitch {
  row: number
  left: number
  right: number
}

/**
 * The pieces within the time window, clipped to the chart. A short visit is drawn in the row it came from; where many follow each
 * other, as between a span and a thousand calls below it, they are drawn in the row that has most of that time.
 */
export function stitchesOf(thread: Thread, window: TimeWindow, geometry: Geometry): Stitch[] {
  const stitches: Stitch[] = []
  const chartRight = geometry.chartLeft + geometry.chartWidth
  const draw = (row: number, left: number, right: number) => {
    const last = stitches.at(-1)
    if (last !== undefined && last.row === row) last.right = Math.max(last.right, right)
    else stitches.push({ row, left, right })
  }
  const visits = new Map<number, number>()
  let [left, right] = [Infinity, -Infinity]
  /** Draws the visits so far: in one row where they are long enough together, else where the thread was before them. */
  const drawVisits = () => {
    if (visits.size === 0) return
    const rowBefore = stitches.at(-1)?.row
    let [most, row] = [-1, rowBefore ?? -1]
    if (rowBefore === undefined || right - left >= STEP_PX) {
      for (const [at, width] of visits) if (width > most) [most, row] = [width, at]
    }
    draw(row, left, right)
    visits.clear()
    ;[left, right] = [Infinity, -Infinity]
  }
  for (let at = firstAfter(thread.to, window.from); at < thread.row.length; at++) {
    if (thread.from[at]! > window.to) break
    const row = thread.row[at]!
    const from = Math.max(geometry.chartLeft, xOf(thread.from[at]!, window, geometry))
    const to = Math.min(chartRight, xOf(thread.to[at]!, window, geometry))
    if (to - from >= STEP_PX) {
      drawVisits()
      draw(row, from, to)
      continue
    }
    visits.set(row, (visits.get(row) ?? 0) + to - from)
    left = Math.min(left, from)
    right = Math.max(right, to)
    if (right - left >= STEP_PX) drawVisits()
  }
  drawVisits()
  return stitches
}

/** Index of the first value above `least`; values ascend. */
function firstAfter(values: Float64Array, least: number): number {
  let low = 0
  let high = values.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (values[middle]! > least) high = middle
    else low = middle + 1
  }
  return low
}
