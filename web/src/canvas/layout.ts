/** Where things are in the waterfall, as plain arithmetic: rows, columns, what lies under the pointer. */
import type { TimeWindow } from '../app/url'
import { formatCount } from '../model/format'
import type { Groups } from '../model/groups'
import { hasNotes, signedDuration } from '../model/notes'
import type { TraceModel } from '../model/trace'

/** Browsers limit how tall an element may be; above this the scroll bar is mapped to the rows. */
export const MAX_SCROLL_PX = 15_000_000
const PHONE_PX = 720
const NAMES_PX = 424
/** The least that names and bars keep when the edge between them is dragged. */
export const LEAST_NAMES_PX = 180
export const LEAST_CHART_PX = 200

export interface Geometry {
  width: number
  height: number
  /** Names above bars, for narrow screens. */
  stacked: boolean
  rowHeight: number
  namesWidth: number
  /** Pixels a level. */
  indentStep: number
  /** Levels left out at the left, so that deep rows keep room for their names. */
  indentBase: number
  /** Most pixels that indent may take. */
  indentRoom: number
  /** Where the time axis begins and how long it is, in pixels. */
  chartLeft: number
  chartWidth: number
  barTop: number
}

/** Pixels that a name keeps, whatever its level. */
const NAME_PX = 120
/** Expand mark, colour chip and failure mark before a name, and the left margin. */
const BEFORE_NAME_PX = 66
/** Below this width of the names, the column of self times is left out. */
export const SELF_FROM_PX = 300
/** Pixels a level, from the usual to the least. */
const INDENT_STEPS = [14, 10, 7, 5, 3, 2] as const

export const BAR_PX = 10
export const MIN_BAR_PX = 2

/** The arrangement for a surface of this size; `viewport` is the width of the page, which decides the form, `wantedNames`
 * the width of the names where the reader chose one. */
export function geometryFor(
  width: number,
  height: number,
  viewport: number,
  wantedNames: number | null = null,
): Geometry {
  if (viewport < PHONE_PX) {
    return {
      width,
      height,
      stacked: true,
      rowHeight: 48,
      namesWidth: width,
      indentStep: 10,
      indentBase: 0,
      indentRoom: Math.max(20, Math.min(96, width - 260)),
      chartLeft: 16,
      chartWidth: Math.max(1, width - 32),
      barTop: 30,
    }
  }
  const usual = Math.min(NAMES_PX, Math.round(width * 0.45))
  const most = Math.max(usual, width - LEAST_CHART_PX)
  const namesWidth = Math.max(LEAST_NAMES_PX, Math.min(most, wantedNames ?? usual))
  return {
    width,
    height,
    stacked: false,
    rowHeight: 24,
    namesWidth,
    indentStep: INDENT_STEPS[0],
    indentBase: 0,
    indentRoom: Math.max(28, badgesRight(namesWidth) - BEFORE_NAME_PX - NAME_PX),
    chartLeft: namesWidth + 5,
    chartWidth: Math.max(1, width - namesWidth - 16),
    barTop: 5,
  }
}

/** Left edge of a row's expand mark. */
export function indentOf(geometry: Geometry, depth: number): number {
  const wanted = (depth - geometry.indentBase) * geometry.indentStep
  return 12 + Math.min(Math.max(0, wanted), geometry.indentRoom)
}

/**
 * The geometry with an indent that suits the visible rows: the usual steps while they fit, else levels that no visible
 * row needs are left out at the left, and the steps become smaller. Names keep their room at any depth.
 */
export function indented(
  geometry: Geometry,
  model: TraceModel,
  rows: Int32Array,
  { first, last }: RowWindow,
): Geometry {
  let least = Infinity
  let most = 0
  for (let row = first; row < last; row++) {
    const depth = model.depth[rows[row]!]!
    least = Math.min(least, depth)
    most = Math.max(most, depth)
  }
  if (most * geometry.indentStep <= geometry.indentRoom) return geometry
  // The parent of the outermost row keeps its level, so that the row is seen to be below something.
  const indentBase = Math.max(0, least - 1)
  const fits = (step: number) => (most - indentBase) * step <= geometry.indentRoom
  const steps = INDENT_STEPS.filter((step) => step <= geometry.indentStep)
  return { ...geometry, indentBase, indentStep: steps.find(fits) ?? INDENT_STEPS.at(-1)! }
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

export type HitPart = 'toggle' | 'flag' | 'group' | 'note' | 'name' | 'bar' | 'chart'

export interface Hit {
  row: number
  node: number
  part: HitPart
}

/** Right edges of the number columns and of the badges left of them; `self` is 0 where that column is left out. */
export function columnsOf(geometry: Geometry): { self: number; duration: number; badges: number } {
  if (geometry.stacked) {
    return { self: 0, duration: geometry.width - 16, badges: geometry.width - 84 }
  }
  const { namesWidth } = geometry
  const hasSelf = namesWidth >= SELF_FROM_PX
  return {
    self: hasSelf ? namesWidth - 9 : 0,
    duration: hasSelf ? namesWidth - 72 : namesWidth - 9,
    badges: badgesRight(namesWidth),
  }
}

function badgesRight(namesWidth: number): number {
  return namesWidth - (namesWidth >= SELF_FROM_PX ? 134 : 71)
}

export interface Badge {
  part: 'group' | 'flag' | 'note'
  label: string
  left: number
  right: number
}

const CHARACTER_PX = 7
const NOTE_PX = 16
const BADGE_GAP_PX = 6

/** Badges of a row from the right: size of its group, failures hidden below, mark of what is unusual about its times. */
export function badgesOf(scene: Rows, geometry: Geometry, node: number): Badge[] {
  const { model, closed, groups, folded } = scene
  const badges: Badge[] = []
  let right = columnsOf(geometry).badges
  const add = (part: Badge['part'], label: string, width: number) => {
    badges.push({ part, label, left: right - width, right })
    right -= width + BADGE_GAP_PX
  }
  if (groups.head[node] === node) {
    const label = `×${formatCount(groups.membersOf(node).length)}`
    add('group', label, 13 + label.length * CHARACTER_PX)
  }
  if (folded[node] === 1) return badges
  const hidden = closed[node] === 1 ? model.failuresBelow[node]! : 0
  if (hidden > 0) {
    const label = `⚑ ${formatCount(hidden)} below`
    add('flag', label, 13 + label.length * CHARACTER_PX)
  }
  const shift = model.appliedShift(node)
  if (shift !== 0) {
    const label = signedDuration(shift)
    add('note', label, 13 + label.length * CHARACTER_PX)
  } else if (hasNotes(model, node)) add('note', '', NOTE_PX)
  return badges
}

/** Whether the row has an expand mark: over its children, or over the equal siblings that it stands for or opens. */
export function hasToggle(scene: Rows, node: number): boolean {
  return scene.model.childCount[node]! > 0 || scene.groups.head[node] === node
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
  const { model, rows, groups, folded, window } = scene
  const row = Math.floor((y + offset) / geometry.rowHeight)
  const node = rows[row]
  if (node === undefined || y < 0 || x < 0 || x >= geometry.width) return null
  const within = y + offset - row * geometry.rowHeight
  const inNames = geometry.stacked ? within < 26 : x < geometry.namesWidth
  if (inNames) {
    const left = indentOf(geometry, model.depth[node]!)
    if (hasToggle(scene, node) && x >= left - 6 && x < left + 18) return { row, node, part: 'toggle' }
    const badge = badgesOf(scene, geometry, node).find((one) => x >= one.left && x <= one.right)
    return { row, node, part: badge?.part ?? 'name' }
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
