/** The heatmap of a search: its cells, and which of them a selection covers. */
import type { Heatmap } from '../api/types'
import { withoutParts, withPart } from './query'
import type { Part } from './scanner'

/** Traces that start within a time and take within a length; from each first end on, before the second. Nanoseconds in decimal. */
export interface Selection {
  t0: string
  t1: string
  d0: string
  d1: string
}

/** Cells of a rectangle, both ends included; row 0 is the shortest. */
export interface Box {
  x0: number
  x1: number
  y0: number
  y1: number
}

export interface Heat {
  columns: number
  rows: number
  /** Edges of the columns, one more than there are; likewise of the rows. */
  times: bigint[]
  lengths: bigint[]
  /** By column and row: `column * rows + row`. */
  count: Uint32Array
  failed: Uint32Array
  /** Of one cell. */
  most: number
}

export function heatOf({ x_unix_nano, y_ns, cells }: Heatmap): Heat {
  const times = x_unix_nano.map(BigInt)
  const lengths = y_ns.map(BigInt)
  const columns = Math.max(0, times.length - 1)
  const rows = Math.max(0, lengths.length - 1)
  const count = new Uint32Array(columns * rows)
  const failed = new Uint32Array(columns * rows)
  let most = 0
  for (const [x = 0, y = 0, inCell = 0, failedInCell = 0] of cells) {
    const at = x * rows + y
    count[at] = inCell
    failed[at] = failedInCell
    most = Math.max(most, inCell)
  }
  return { columns, rows, times, lengths, count, failed, most }
}

export interface Sum {
  count: number
  failed: number
}

/** How many traces are in the cells. */
export function sumOf(heat: Heat, { x0, x1, y0, y1 }: Box): Sum {
  const sum = { count: 0, failed: 0 }
  for (let x = x0; x <= x1; x++) {
    for (let y = y0; y <= y1; y++) {
      sum.count += heat.count[x * heat.rows + y] ?? 0
      sum.failed += heat.failed[x * heat.rows + y] ?? 0
    }
  }
  return sum
}

/** The traces of one column. */
export function columnSum(heat: Heat, x: number): Sum {
  return sumOf(heat, { x0: x, x1: x, y0: 0, y1: heat.rows - 1 })
}

/** What is selected when these cells are. */
export function selectionOf(heat: Heat, { x0, x1, y0, y1 }: Box): Selection {
  const { times, lengths } = heat
  return {
    t0: String(times[x0]),
    t1: String(times[x1 + 1]),
    d0: String(lengths[y0]),
    d1: String(lengths[y1 + 1]),
  }
}

/** The cells that hold the selection; null where it lies beside all of them. */
export function boxOf(heat: Heat, { t0, t1, d0, d1 }: Selection): Box | null {
  const x = covered(heat.times, BigInt(t0), BigInt(t1))
  const y = covered(heat.lengths, BigInt(d0), BigInt(d1))
  return x && y && { x0: x[0], x1: x[1], y0: y[0], y1: y[1] }
}

function covered(edges: readonly bigint[], from: bigint, to: bigint): [number, number] | null {
  let [first, last] = [-1, -1]
  for (let at = 0; at < edges.length - 1; at++) {
    if (edges[at + 1]! <= from || edges[at]! >= to) continue
    if (first < 0) first = at
    last = at
  }
  return first < 0 ? null : [first, last]
}

/** Where a trace lies, each from 0 to 1: its start in the time, its length in the rows, which are equally high; null beside them. */
export function placeIn(heat: Heat, start: bigint, length: bigint): { x: number; y: number } | null {
  const { times, lengths } = heat
  const [from, to, shortest, longest] = [times[0], times.at(-1), lengths[0], lengths.at(-1)]
  if (from === undefined || to === undefined || shortest === undefined || longest === undefined) return null
  if (start < from || start >= to || length < shortest || length >= longest) return null
  return { x: Number(start - from) / Number(to - from), y: heightOf(heat, length) }
}

/** How high a length that is within the rows lies, from 0 to 1. */
export function heightOf({ lengths, rows }: Heat, length: bigint): number {
  let row = 0
  while (row < rows - 1 && lengths[row + 1]! <= length) row++
  const [low, high] = [lengths[row]!, lengths[row + 1]!].map((ns) => Math.log(Math.max(1, Number(ns))))
  const within = high! > low! ? (Math.log(Math.max(1, Number(length))) - low!) / (high! - low!) : 0
  return (row + within) / rows
}

/** So many rows there are at least: of traces that are all equally long one would be as high as the chart, and have no scale. */
const FEWEST_ROWS = 9

/** The heatmap with empty rows below and above, where it has few. */
export function withRoom(heatmap: Heatmap): Heatmap {
  const edges = heatmap.y_ns.map(BigInt)
  const rows = edges.length - 1
  if (rows < 1 || rows >= FEWEST_ROWS) return heatmap
  const more = Math.ceil((FEWEST_ROWS - rows) / 2)
  let below = 0
  // Down to a nanosecond, below which there is nothing.
  while (below < more && edges[0]! > 1n) {
    edges.unshift((edges[0]! * 2n) / 3n)
    below += 1
  }
  for (let above = 0; above < more; above++) edges.push((edges.at(-1)! * 3n) / 2n + 1n)
  return {
    ...heatmap,
    y_ns: edges.map(String),
    cells: heatmap.cells.map(([x = 0, y = 0, ...counts]) => [x, y + below, ...counts]),
  }
}

/** The rectangle between two cells, in whatever order. */
export function boxBetween(a: { x: number; y: number }, b: { x: number; y: number }): Box {
  return {
    x0: Math.min(a.x, b.x),
    x1: Math.max(a.x, b.x),
    y0: Math.min(a.y, b.y),
    y1: Math.max(a.y, b.y),
  }
}

/** Colours of the ramp. */
export const HEAT_STEPS = 8

/** Which colour of the ramp a cell has, from 0: by the logarithm of its count. */
export function heatStep(count: number, most: number): number {
  if (most <= 1) return HEAT_STEPS - 1
  return Math.min(HEAT_STEPS - 1, Math.floor((Math.log(count) / Math.log(most)) * HEAT_STEPS))
}

/** The cell with most traces, to begin with; null where there are none. */
export function densest(heat: Heat): { x: number; y: number } | null {
  const at = heat.count.indexOf(heat.most)
  return heat.most === 0 ? null : { x: Math.floor(at / heat.rows), y: at % heat.rows }
}

/**
 * The query for the lengths of a selection. Conditions on the length that it narrows are not kept beside it: who zooms in again
 * and again would end with a query of nothing else.
 */
export function withLengths(q: string, { d0, d1 }: Selection): string {
  const rest = withoutParts(q, (part) => isImplied(part, BigInt(d0), BigInt(d1)))
  return withPart(rest, `trace.duration>=${d0}ns trace.duration<${d1}ns`, true)
}

/** Whether the part asks for no more than that the length is in `d0 ≤ length < d1`. */
function isImplied({ term, isNegated }: Part, d0: bigint, d1: bigint): boolean {
  if (term === null || isNegated || term.key !== 'trace.duration' || term.isQuoted || term.isExact)
    return false
  const ns = /^(\d{1,19})ns$/.exec(term.values[0] ?? '')?.[1]
  if (ns === undefined) return false
  const length = BigInt(ns)
  if (term.operator === '>=') return length <= d0
  if (term.operator === '>') return length < d0
  return (term.operator === '<' || term.operator === '<=') && length >= d1
}

/** Clocks of senders, of the server and of the reader may differ by so much. */
export const AHEAD_MS = 300_000

/** A time after now at which traces start still; null where none starts later than clocks may differ. */
export function aheadOf({ times, columns }: Heat, nowMs = Date.now()): bigint | null {
  // The last column is that of the newest start.
  const last = columns > 0 ? times[columns - 1]! : 0n
  return last > BigInt(nowMs + AHEAD_MS) * 1_000_000n ? last : null
}
