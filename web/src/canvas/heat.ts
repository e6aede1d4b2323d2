/** The heatmap of a search on a canvas: cells over time and length, failures per column below, a box that is drawn by mouse or keys. */
import type { Zone } from '../model/format'
import {
  boxBetween,
  columnSum,
  densest,
  heatStep,
  heightOf,
  HEAT_STEPS,
  type Box,
  type Heat,
} from '../model/heat'
import { nearestPoint, pointInWords, type PlacedPoints, type VersionMark } from '../model/points'
import { lengthTicks, timeTicks } from './axes'
import { readTheme, type CanvasTheme } from './theme'

const RIGHT_PX = 8
const TOP_PX = 8
const GAP_PX = 10
const FAILED_PX = 28
const TIMES_PX = 22
const LABEL_PX = 110
const DRAG_PX = 4
const HANDLE_PX = 8
const FOOT_PX = 2
const POINT_PX = 2
const NEAR_PX = 8
const MARK_ROWS = 3
const MARK_PX = 14
/** A letter of a label, which is made narrower where it is wider. */
const MARK_LETTER_PX = 6.5
const NS_PER_MS = 1_000_000n

export interface HeatScene {
  heat: Heat
  /** Single traces, in place of the cells; null: the cells. */
  points: PlacedPoints | null
  marks: readonly VersionMark[]
  box: Box | null
  zone: Zone
}

export interface HeatEvents {
  onBox(box: Box | null): void
  /** A click on a single trace. */
  onPoint(traceId: string): void
  /** The cell that the keys are on, and the box that they grow. */
  onCursor(cell: { x: number; y: number }, box: Box): void
}

/** Where the cells are, in pixels of the canvas. */
export interface Plot {
  left: number
  top: number
  width: number
  height: number
}

/** The labels of the marks stand above the cells, which they would hide. */
export function plotOf(width: number, height: number, marks: readonly VersionMark[]): Plot {
  const left = width < 720 ? 52 : 72
  const wide = Math.max(1, width - left - RIGHT_PX)
  const lanes = markLabels(left, wide, marks).reduce(
    (most, label) => Math.max(most, (label?.lane ?? -1) + 1),
    0,
  )
  const top = TOP_PX + lanes * MARK_PX
  return { left, top, width: wide, height: Math.max(1, height - top - GAP_PX - FAILED_PX - TIMES_PX) }
}

export interface MarkLabel {
  left: number
  width: number
  /** From the top. */
  lane: number
}

/** Where the label of each mark stands; null where there is no room for it. */
export function markLabels(left: number, width: number, marks: readonly VersionMark[]): (MarkLabel | null)[] {
  const free = Array.from({ length: MARK_ROWS }, () => -Infinity)
  return marks.map(({ at, label }) => {
    const x = markX(left, width, at)
    const wide = Math.ceil(label.length * MARK_LETTER_PX) + 8
    // On the left of the line where the right edge is too near.
    const start = x + wide > left + width ? x - wide : x + 1
    const lane = free.findIndex((end) => end <= start)
    if (lane < 0 || start < left) return null
    free[lane] = start + wide
    return { left: start, width: wide, lane }
  })
}

function markX(left: number, width: number, at: number): number {
  return Math.round(left + at * width) + 0.5
}

/** The cell at a point, the nearest one where the point is beside the plot. */
export function cellAt(plot: Plot, heat: Heat, x: number, y: number): { x: number; y: number } {
  const column = Math.floor(((x - plot.left) / plot.width) * heat.columns)
  const row = Math.floor((1 - (y - plot.top) / plot.height) * heat.rows)
  return {
    x: Math.min(heat.columns - 1, Math.max(0, column)),
    y: Math.min(heat.rows - 1, Math.max(0, row)),
  }
}

/** The rectangle of cells in pixels. */
export function pixelsOf(plot: Plot, heat: Heat, { x0, x1, y0, y1 }: Box): Plot {
  const column = plot.width / heat.columns
  const row = plot.height / heat.rows
  return {
    left: plot.left + x0 * column,
    top: plot.top + plot.height - (y1 + 1) * row,
    width: (x1 - x0 + 1) * column,
    height: (y1 - y0 + 1) * row,
  }
}

export class HeatCanvas {
  private readonly canvas = document.createElement('canvas')
  private readonly resize = new ResizeObserver(() => this.paint())
  private scene: HeatScene | null = null
  private theme: CanvasTheme | null = null
  private drag: { from: { x: number; y: number }; box: Box; x: number; y: number; moved: boolean } | null =
    null
  private cursor: { x: number; y: number } | null = null
  private anchor: { x: number; y: number } | null = null
  private host: HTMLElement | null = null

  constructor(private events: HeatEvents) {
    this.canvas.setAttribute('aria-hidden', 'true')
    this.canvas.addEventListener('pointerdown', this.onDown)
    this.canvas.addEventListener('pointermove', this.onMove)
    this.canvas.addEventListener('pointerup', this.onUp)
    this.canvas.addEventListener('pointercancel', this.onCancel)
  }

  /** `host` has a height of its own and takes the focus. */
  mount(host: HTMLElement): void {
    this.host = host
    host.append(this.canvas)
    host.addEventListener('keydown', this.onKey)
    host.addEventListener('focus', this.onFocus)
    host.addEventListener('blur', this.onFocus)
    this.resize.observe(host)
  }

  destroy(): void {
    this.resize.disconnect()
    this.host?.removeEventListener('keydown', this.onKey)
    this.host?.removeEventListener('focus', this.onFocus)
    this.host?.removeEventListener('blur', this.onFocus)
    this.canvas.remove()
  }

  update(scene: HeatScene, events: HeatEvents): void {
    // Another heatmap has other cells.
    const isSame = this.scene?.heat.columns === scene.heat.columns && this.scene.heat.rows === scene.heat.rows
    if (!isSame) this.cursor = this.anchor = null
    this.scene = scene
    this.events = events
    this.paint()
  }

  /** Reads the colours again. */
  restyle(): void {
    this.theme = null
    this.paint()
  }

  private plot(): Plot {
    return plotOf(this.host?.clientWidth ?? 0, this.host?.clientHeight ?? 0, this.scene?.marks ?? [])
  }

  private paint(): void {
    const { scene, canvas, host } = this
    const context = canvas.getContext('2d')
    if (scene === null || host === null || context === null || host.clientWidth === 0) return
    const theme = (this.theme ??= readTheme())
    const scale = devicePixelRatio || 1
    const [width, height] = [host.clientWidth, host.clientHeight]
    canvas.width = Math.round(width * scale)
    canvas.height = Math.round(height * scale)
    canvas.style.width = `${width}px`
    canvas.style.height = `${height}px`
    context.scale(scale, scale)
    const plot = this.plot()
    this.paintAxes(context, scene, theme, plot)
    if (scene.points === null) this.paintCells(context, scene.heat, theme, plot)
    else this.paintPoints(context, scene.points, theme, plot)
    this.paintFailed(context, scene.heat, theme, plot)
    this.paintMarks(context, scene.marks, theme, plot)
    const drawn = this.drag?.moved ? this.drag.box : scene.box
    if (drawn !== null) this.paintBox(context, theme, pixelsOf(plot, scene.heat, drawn))
    if (this.cursor !== null && host.matches(':focus-visible')) {
      const growing = boxBetween(this.anchor ?? this.cursor, this.cursor)
      const { left, top, width: wide, height: high } = pixelsOf(plot, scene.heat, growing)
      context.lineWidth = 2
      context.strokeStyle = theme.text
      context.strokeRect(left - 1, top - 1, wide + 2, high + 2)
    }
  }

  private paintCells(context: CanvasRenderingContext2D, heat: Heat, theme: CanvasTheme, plot: Plot): void {
    const column = plot.width / heat.columns
    const row = plot.height / heat.rows
    // Lines between cells where there is room for them.
    const gapX = column >= 4 ? 1 : 0
    const gapY = row >= 4 ? 1 : 0
    for (let x = 0; x < heat.columns; x++) {
      for (let y = 0; y < heat.rows; y++) {
        const at = x * heat.rows + y
        const count = heat.count[at]!
        if (count === 0) continue
        const failed = heat.failed[at]!
        const left = plot.left + x * column
        const top = plot.top + plot.height - (y + 1) * row
        const [wide, high] = [Math.max(1, column - gapX), Math.max(1, row - gapY)]
        const step = heatStep(count, heat.most)
        if (failed * 2 >= count) {
          context.globalAlpha = 0.62 + (0.38 * step) / (HEAT_STEPS - 1)
          context.fillStyle = theme.error
          context.fillRect(left, top, wide, high)
          context.globalAlpha = 1
          continue
        }
        context.fillStyle = theme.heat[step]!
        context.fillRect(left, top, wide, high)
        if (failed === 0) continue
        context.fillStyle = theme.surface
        context.fillRect(left, top + high - FOOT_PX - 1, wide, 1)
        context.fillStyle = theme.error
        context.fillRect(left, top + high - FOOT_PX, wide, FOOT_PX)
      }
    }
  }

  private paintPoints(
    context: CanvasRenderingContext2D,
    points: PlacedPoints,
    theme: CanvasTheme,
    plot: Plot,
  ): void {
    // Failed ones above the others, however many there are.
    for (const failed of [0, 1]) {
      context.fillStyle = failed ? theme.error : theme.heat[HEAT_STEPS - 2]!
      context.globalAlpha = failed ? 0.9 : 0.55
      const radius = failed ? POINT_PX + 1 : POINT_PX
      for (let at = 0; at < points.ids.length; at++) {
        if (points.failed[at] !== failed) continue
        const x = plot.left + points.x[at]! * plot.width
        // Wholly within the plot, on whose edge the longest one lies.
        const within = (1 - points.y[at]!) * plot.height
        const y = plot.top + Math.min(plot.height - radius, Math.max(radius, within))
        context.fillRect(x - radius, y - radius, radius * 2, radius * 2)
      }
    }
    context.globalAlpha = 1
  }

  /** Dotted lines where versions came up, named where there is room for it. */
  private paintMarks(
    context: CanvasRenderingContext2D,
    marks: readonly VersionMark[],
    theme: CanvasTheme,
    plot: Plot,
  ): void {
    context.font = `400 11px ${theme.sans}`
    context.textAlign = 'left'
    context.textBaseline = 'middle'
    const labels = markLabels(plot.left, plot.width, marks)
    marks.forEach(({ at, label: text }, number) => {
      const label = labels[number]
      const top = TOP_PX + (label?.lane ?? 0) * MARK_PX
      const x = markX(plot.left, plot.width, at)
      context.strokeStyle = theme.text
      context.lineWidth = 1
      context.setLineDash([1, 3])
      context.beginPath()
      context.moveTo(x, label ? top : plot.top)
      context.lineTo(x, plot.top + plot.height + GAP_PX + FAILED_PX)
      context.stroke()
      context.setLineDash([])
      if (!label) return
      context.fillStyle = theme.text
      context.fillText(text, label.left + 3, top + MARK_PX / 2 - 1, label.width - 6)
    })
  }

  private paintFailed(context: CanvasRenderingContext2D, heat: Heat, theme: CanvasTheme, plot: Plot): void {
    const base = plot.top + plot.height + GAP_PX + FAILED_PX
    const column = plot.width / heat.columns
    const failed = Array.from({ length: heat.columns }, (_, x) => columnSum(heat, x).failed)
    const most = Math.max(...failed)
    context.fillStyle = theme.line
    context.fillRect(plot.left, base, plot.width, 1)
    context.fillStyle = theme.error
    failed.forEach((count, x) => {
      if (count === 0) return
      const high = Math.max(2, (count / most) * (FAILED_PX - 2))
      context.fillRect(plot.left + x * column, base - high, Math.max(1, column - (column >= 4 ? 1 : 0)), high)
    })
  }

  private paintAxes(
    context: CanvasRenderingContext2D,
    { heat, zone }: HeatScene,
    theme: CanvasTheme,
    plot: Plot,
  ): void {
    context.font = `400 11px ${theme.sans}`
    context.fillStyle = theme.muted
    context.textBaseline = 'middle'
    context.textAlign = 'right'
    const bottom = plot.top + plot.height
    const [shortest, longest] = [Number(heat.lengths[0]), Number(heat.lengths.at(-1))]
    for (const { ns, label } of lengthTicks(shortest, longest, plot.height / 32)) {
      const at = ns >= longest ? 1 : heightOf(heat, BigInt(Math.round(ns)))
      context.fillText(label, plot.left - 8, bottom - at * plot.height)
    }
    context.fillText('failed', plot.left - 8, bottom + GAP_PX + FAILED_PX - 8)
    context.fillStyle = theme.line
    context.fillRect(plot.left, bottom + 1, plot.width, 1)
    context.fillStyle = theme.muted
    context.textAlign = 'center'
    const [from, to] = [heat.times[0]!, heat.times.at(-1)!].map((ns) => Number(ns / NS_PER_MS))
    for (const { at, label } of timeTicks(from!, to!, plot.width / LABEL_PX, zone)) {
      const half = context.measureText(label).width / 2
      const x = Math.min(
        plot.left + plot.width - half,
        Math.max(plot.left + half, plot.left + at * plot.width),
      )
      context.fillText(label, x, bottom + GAP_PX + FAILED_PX + 12)
    }
  }

  private paintBox(context: CanvasRenderingContext2D, theme: CanvasTheme, at: Plot): void {
    const { left, top, width, height } = at
    context.strokeStyle = theme.surface
    context.lineWidth = 5
    context.strokeRect(left, top, width, height)
    context.strokeStyle = theme.link
    context.lineWidth = 2
    context.strokeRect(left, top, width, height)
    for (const x of [left, left + width]) {
      for (const y of [top, top + height]) {
        context.fillStyle = theme.surface
        context.fillRect(x - HANDLE_PX / 2, y - HANDLE_PX / 2, HANDLE_PX, HANDLE_PX)
        context.strokeRect(x - HANDLE_PX / 2, y - HANDLE_PX / 2, HANDLE_PX, HANDLE_PX)
      }
    }
  }

  private pointOf(event: MouseEvent): { x: number; y: number } {
    const box = this.canvas.getBoundingClientRect()
    return { x: event.clientX - box.left, y: event.clientY - box.top }
  }

  private readonly onDown = (event: PointerEvent) => {
    if (event.button !== 0 || this.scene === null) return
    const { x, y } = this.pointOf(event)
    const from = cellAt(this.plot(), this.scene.heat, x, y)
    this.canvas.setPointerCapture(event.pointerId)
    this.drag = { from, box: boxBetween(from, from), x, y, moved: false }
  }

  /** The single trace at a place of the canvas; -1 where there is none. */
  private pointAt({ x, y }: { x: number; y: number }): number {
    const points = this.scene?.points
    if (!points) return -1
    const { left, top, width, height } = this.plot()
    return nearestPoint(points, width, height, x - left, y - top, NEAR_PX)
  }

  private readonly onMove = (event: PointerEvent) => {
    if (this.scene === null) return
    const { x, y } = this.pointOf(event)
    if (this.drag === null) {
      const at = this.pointAt({ x, y })
      this.canvas.style.cursor = at < 0 ? '' : 'pointer'
      this.canvas.title = at < 0 ? '' : pointInWords(this.scene.points!, at)
      return
    }
    const { drag } = this
    const moved = drag.moved || Math.hypot(x - drag.x, y - drag.y) >= DRAG_PX
    this.drag = { ...drag, moved, box: boxBetween(drag.from, cellAt(this.plot(), this.scene.heat, x, y)) }
    this.paint()
  }

  private readonly onUp = () => {
    const { drag } = this
    this.drag = null
    if (drag?.moved) this.events.onBox(drag.box)
    else if (drag !== null) {
      const at = this.pointAt(drag)
      if (at >= 0) this.events.onPoint(this.scene!.points!.ids[at]!)
    }
    this.paint()
  }

  private readonly onCancel = () => {
    this.drag = null
    this.paint()
  }

  private readonly onFocus = () => {
    if (this.scene !== null) this.cursor ??= densest(this.scene.heat)
    this.paint()
  }

  private readonly onKey = (event: KeyboardEvent) => {
    const { scene } = this
    if (scene === null || event.ctrlKey || event.metaKey || event.altKey) return
    const cursor = this.cursor ?? densest(scene.heat)
    if (cursor === null) return
    if (event.key === 'Escape') {
      if (this.anchor === null && scene.box === null) return
      this.anchor = null
      this.events.onBox(null)
    } else if (event.key === 'Enter') {
      this.events.onBox(boxBetween(this.anchor ?? cursor, cursor))
      this.anchor = null
    } else {
      const [dx, dy] = STEPS[event.key] ?? [0, 0]
      if (dx === 0 && dy === 0) return
      if (event.shiftKey) this.anchor ??= cursor
      else this.anchor = null
      this.cursor = {
        x: Math.min(scene.heat.columns - 1, Math.max(0, cursor.x + dx)),
        y: Math.min(scene.heat.rows - 1, Math.max(0, cursor.y + dy)),
      }
      this.events.onCursor(this.cursor, boxBetween(this.anchor ?? this.cursor, this.cursor))
    }
    event.preventDefault()
    event.stopPropagation()
    this.paint()
  }
}

const STEPS: Record<string, [number, number]> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, 1],
  ArrowDown: [0, -1],
  PageUp: [0, 10],
  PageDown: [0, -10],
  Home: [-1000, 0],
  End: [1000, 0],
}
