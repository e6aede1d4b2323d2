/** The critical path in pixels: pieces of the thread that can be told apart at the present zoom. */
import type { TimeWindow } from '../app/url'
import type { Thread } from '../model/thread'
import { xOf, type Geometry } from './layout'

/** A visit of another row that is shorter than this is not drawn: the thread goes on in the row it came from. */
const STEP_PX = 2

export interface Stitch {
  row: number
  left: number
  right: number
}

/** The pieces within the time window, clipped to the chart. */
export function stitchesOf(thread: Thread, window: TimeWindow, geometry: Geometry): Stitch[] {
  const stitches: Stitch[] = []
  const chartRight = geometry.chartLeft + geometry.chartWidth
  for (let at = firstAfter(thread.to, window.from); at < thread.row.length; at++) {
    if (thread.from[at]! > window.to) break
    const left = Math.max(geometry.chartLeft, xOf(thread.from[at]!, window, geometry))
    const right = Math.min(chartRight, xOf(thread.to[at]!, window, geometry))
    const last = stitches.at(-1)
    if (last !== undefined && (last.row === thread.row[at] || right - left < STEP_PX)) {
      last.right = Math.max(last.right, right)
    } else stitches.push({ row: thread.row[at]!, left, right })
  }
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
