/** Where things are in the waterfall, as plain arithmetic: rows, columns, what lies under the pointer. */
import type { TimeWindow } from '../app/url'
import type { Groups } from '../model/groups'
import type { TraceModel } from '../model/trace'

/** Browsers limit how tall an element may be; above this the scroll bar is mapped to the rows. */
export const MAX_SCROLL_PX = 15_000_000
const PHONE_PX = 720
const NAMES_PX = 424

export interface Geometry {
  width: number
  height: number
  /** Names above bars, for narrow screens. */
  stacked: boolean
  rowHeight: number
  namesWidth: number
  indentStep: number
  maxIndent: number
  /** Where the time axis begins and how long it is, in pixels. */
  chartLeft: number
  chartWidth: number
  barTop: number
}

export const BAR_PX = 10
export const MIN_BAR_PX = 2

/** The arrangement for a surface of this size; `viewport` is the width of the page, which decides the form. */
export function geometryFor(width: number, height: number, viewport: number): Geometry {
  if (viewport < PHONE_PX) {
    return {
      width,
      height,
      stacked: true,
      rowHeight: 48,
      namesWidth: width,
      indentStep: 8,
      maxIndent: Math.max(0, Math.min(96, width - 260)),
      chartLeft: 16,
      chartWidth: Math.max(1, width - 32),
      barTop: 30,
    }
  }
  const namesWidth = Math.min(NAMES_PX, Math.round(width * 0.45))
  return {
    width,
    height,
    stacked: false,
    rowHeight: 24,
    namesWidth,
    indentStep: 14,
    maxIndent: Math.max(0, namesWidth - 250),
    chartLeft: namesWidth + 5,
    chartWidth: Math.max(1, width - namesWidth - 16),
    barTop: 5,
  }
}

/** Left edge of a row's expand mark. */
export function indentOf(geometry: Geometry, depth: number): number {
  return 12 + Math.min(depth * geometry.indentStep, geometry.maxIndent)
}

/** Height of the scrolled element and the first visible pixel of all rows, whatever the browser can hold. */
export function scrollHeight(rowCount: number, geometry: Geometry): number {
  return Math.max(geometry.height, Math.min(MAX_SCROLL_PX, rowCount * geometry.rowHeight))
}

/** First visible pixel of the rows for a scroll position. */
export function offsetOf(scrollTop: number, rowCount: number, geometry: Geometry): number {
  const total = rowCount * geometry.rowHeight
  const range = scrollHeight(rowCount, geometry) - geometry.height
  const most = Math.max(0, total - geometry.height)
  return range <= 0 ? 0 : Math.min(most, (scrollTop / range) * most)
}

/** The scroll position that shows a given first pixel; the reverse of `offsetOf`. */
export function scrollFor(offset: number, rowCount: number, geometry: Geometry): number {
  const most = Math.max(0, rowCount * geometry.rowHeight - geometry.height)
  const range = scrollHeight(rowCount, geometry) - geometry.height
  return most <= 0 ? 0 : (Math.min(most, Math.max(0, offset)) / most) * range
}

export interface RowWindow {
  first: number
  /** Exclusive. */
  last: number
}

/** Rows that are at least partly visible. */
export function rowWindow(offset: number, rowCount: number, geometry: Geometry): RowWindow {
  const first = Math.max(0, Math.floor(offset / geometry.rowHeight))
  const last = Math.min(rowCount, Math.ceil((offset + geometry.height) / geometry.rowHeight))
  return { first: Math.min(first, last), last }
}

/** Pixel of a time. */
export function xOf(time: number, window: TimeWindow, geometry: Geometry): number {
  return geometry.chartLeft + ((time - window.from) / (window.to - window.from)) * geometry.chartWidth
}

/** Time under a pixel. */
export function timeAt(x: number, window: TimeWindow, geometry: Geometry): number {
  return window.from + ((x - geometry.chartLeft) / geometry.chartWidth) * (window.to - window.from)
}

export type HitPart = 'toggle' | 'flag' | 'group' | 'name' | 'bar' | 'chart'

export interface Hit {
  row: number
  node: number
  part: HitPart
}

/** Right edges of the number columns and of the badges left of them. */
export function columnsOf(geometry: Geometry): { self: number; duration: number; badges: number } {
  if (geometry.stacked) {
    return { self: 0, duration: geometry.width - 16, badges: geometry.width - 84 }
  }
  return {
    self: geometry.namesWidth - 9,
    duration: geometry.namesWidth - 72,
    badges: geometry.namesWidth - 134,
  }
}

/** Width of the badge `n below`, from its text; the hit test and the drawing agree on it. */
export function flagWidth(count: number): number {
  return 62 + String(count).length * 7
}

/** Width of the badge `×n` of a group. */
export function groupWidth(count: number): number {
  return 20 + String(count).length * 7
}

/** What the rows are made of. */
export interface Rows {
  model: TraceModel
  rows: Int32Array
  closed: Uint8Array
  groups: Groups
  folded: Uint8Array
  window: TimeWindow
}

/** What lies at a point of the surface, or null below the last row. */
export function hitTest(x: number, y: number, offset: number, scene: Rows, geometry: Geometry): Hit | null {
  const { model, rows, closed, groups, folded, window } = scene
  const row = Math.floor((y + offset) / geometry.rowHeight)
  const node = rows[row]
  if (node === undefined || y < 0 || x < 0 || x >= geometry.width) return null
  const within = y + offset - row * geometry.rowHeight
  const inNames = geometry.stacked ? within < 26 : x < geometry.namesWidth
  if (inNames) {
    const left = indentOf(geometry, model.depth[node]!)
    if ((model.childCount[node]! > 0 || folded[node] === 1) && x >= left - 6 && x < left + 18)
      return { row, node, part: 'toggle' }
    const hidden = closed[node] === 1 ? model.failuresBelow[node]! : 0
    const right = columnsOf(geometry).badges
    if (groups.head[node] === node) {
      const width = groupWidth(groups.membersOf(node).length)
      if (x <= right && x >= right - width) return { row, node, part: 'group' }
    }
    if (hidden > 0 && x <= right && x >= right - flagWidth(hidden)) return { row, node, part: 'flag' }
    return { row, node, part: 'name' }
  }
  if (folded[node] === 1) {
    const at = timeAt(x, window, geometry)
    const reach = ((MIN_BAR_PX + 1) / geometry.chartWidth) * (window.to - window.from)
    const onTooth = groups
      .membersOf(node)
      .some(
        (one) => at >= model.start[one]! - reach && at <= model.start[one]! + model.duration[one]! + reach,
      )
    return { row, node, part: onTooth ? 'bar' : 'chart' }
  }
  const from = xOf(model.start[node]!, window, geometry)
  const to = xOf(model.start[node]! + model.duration[node]!, window, geometry)
  const onBar = x >= from - 3 && x <= Math.max(to, from + MIN_BAR_PX) + 3
  return { row, node, part: onBar ? 'bar' : 'chart' }
}
