/** The waterfall: one canvas for the visible rows, its mirror over it, scrolling, hovering, zooming. */
import { exactDuration, formatCount, formatDuration, formatPercent } from '../model/format'
import { notesOf } from '../model/notes'
import { rowOf } from '../model/rows'
import type { TimeWindow } from '../app/url'
import {
  geometryFor,
  hitTest,
  indented,
  offsetOf,
  rowWindow,
  scrollFor,
  scrollHeight,
  timeAt,
  type Geometry,
  type Hit,
} from './layout'
import { Mirror } from './mirror'
import { RowPainter, type Scene } from './painter'
import { around, panned, zoomed } from './scale'
import { readTheme } from './theme'

const REST_MS = 100
const WHEEL_ZOOM = 1.0025

export interface WaterfallEvents {
  /** A row was clicked. */
  onSelect(node: number): void
  onToggle(node: number): void
  /** The count of a group was clicked, on its folded row or on its first member. */
  onToggleGroup(head: number): void
  /** The flag of hidden failures was clicked. */
  onShowBelow(node: number): void
  /** The reader moved or zoomed in time; null is the whole trace. */
  onWindow(window: TimeWindow | null): void
  /** The columns moved: where names end and where the time axis lies. */
  onGeometry(geometry: Geometry): void
}

export class Waterfall {
  private readonly scroller = document.createElement('div')
  private readonly space = document.createElement('div')
  private readonly sticky = document.createElement('div')
  private readonly canvas = document.createElement('canvas')
  private readonly tip = document.createElement('div')
  private readonly mirror = new Mirror()
  private readonly resize = new ResizeObserver(() => this.measure())
  private painter: RowPainter | null = null
  private geometry: Geometry = geometryFor(0, 0, innerWidth)
  private scene: Scene | null = null
  private wantedNames: number | null = null
  private hovered = -1
  private frame = 0
  private rest: ReturnType<typeof setTimeout> | undefined

  constructor(private events: WaterfallEvents) {
    this.scroller.className = 'waterfall'
    this.space.className = 'waterfall-space'
    this.sticky.className = 'waterfall-sticky'
    this.canvas.setAttribute('aria-hidden', 'true')
    this.tip.className = 'tip'
    this.tip.hidden = true
    this.tip.setAttribute('aria-hidden', 'true')
    this.sticky.append(this.canvas, this.mirror.element, this.tip)
    this.space.append(this.sticky)
    this.scroller.append(this.space)
    this.scroller.addEventListener('scroll', this.onScroll, { passive: true })
    this.scroller.addEventListener('wheel', this.onWheel, { passive: false })
    this.sticky.addEventListener('click', this.onClick)
    this.sticky.addEventListener('dblclick', this.onDoubleClick)
    this.sticky.addEventListener('pointermove', this.onMove)
    this.sticky.addEventListener('pointerleave', this.onLeave)
  }

  mount(host: HTMLElement): void {
    host.append(this.scroller)
    this.resize.observe(this.scroller)
    this.measure()
  }

  destroy(): void {
    this.resize.disconnect()
    cancelAnimationFrame(this.frame)
    clearTimeout(this.rest)
    this.scroller.remove()
  }

  /** Shows another state; rows are painted with the next frame, the mirror at once. */
  update(scene: Scene, events: WaterfallEvents): void {
    const changed = this.scene?.rows !== scene.rows
    this.scene = scene
    this.events = events
    if (changed) {
      this.space.style.height = `${scrollHeight(scene.rows.length, this.geometry)}px`
      this.hovered = -1
      this.tip.hidden = true
    }
    this.mirror.refresh(scene, this.geometry, this.offset())
    this.requestPaint()
  }

  /** Gives the names another width; null for the usual one. */
  setNamesWidth(width: number | null): void {
    if (width === this.wantedNames) return
    this.wantedNames = width
    this.measure()
  }

  /** Reads the colours again. */
  restyle(): void {
    this.painter = null
    this.requestPaint()
  }

  /** Gives the keys to the rows. `isQuiet`: the page did it by itself, so no ring is drawn until a key is used. */
  focus(isQuiet = false): void {
    const { element } = this.mirror
    if (isQuiet) {
      element.dataset['quiet'] = ''
      const loud = () => delete element.dataset['quiet']
      element.addEventListener('keydown', loud, { once: true })
      element.addEventListener('blur', loud, { once: true })
    }
    element.focus({ preventScroll: true })
  }

  /** Scrolls no further than needed until the node's row is visible. */
  reveal(node: number): void {
    const { scene, geometry } = this
    if (scene === null) return
    const row = rowOf(scene.rows, node)
    if (row < 0) return
    const top = row * geometry.rowHeight
    const offset = this.offset()
    const margin = Math.min(geometry.rowHeight * 2, geometry.height / 4)
    let wanted = offset
    if (top < offset) wanted = top - margin
    else if (top + geometry.rowHeight > offset + geometry.height) {
      wanted = top + geometry.rowHeight - geometry.height + margin
    }
    if (wanted === offset) return
    this.scroller.scrollTop = scrollFor(wanted, scene.rows.length, geometry)
    this.mirror.refresh(scene, geometry, this.offset())
    this.requestPaint()
  }

  /** How many rows are wholly visible, at least one. */
  pageRows(): number {
    return Math.max(1, Math.floor(this.geometry.height / this.geometry.rowHeight))
  }

  private offset(): number {
    return this.scene === null ? 0 : offsetOf(this.scroller.scrollTop, this.scene.rows.length, this.geometry)
  }

  private measure(): void {
    const width = this.scroller.clientWidth
    const height = this.scroller.clientHeight
    const kept = this.isVisible(this.scene?.selected ?? -1) ? this.scene!.selected : -1
    this.geometry = geometryFor(width, height, innerWidth, this.wantedNames)
    const scale = devicePixelRatio || 1
    this.canvas.width = Math.max(1, Math.round(width * scale))
    this.canvas.height = Math.max(1, Math.round(height * scale))
    this.canvas.style.width = `${width}px`
    this.canvas.style.height = `${height}px`
    this.sticky.style.height = `${height}px`
    this.painter = null
    this.events.onGeometry(this.geometry)
    if (this.scene === null) return
    this.space.style.height = `${scrollHeight(this.scene.rows.length, this.geometry)}px`
    this.mirror.refresh(this.scene, this.geometry, this.offset())
    // The panels above grow when the explanation comes: the row that is read stays in sight.
    if (kept >= 0) this.reveal(kept)
    this.paint()
  }

  private isVisible(node: number): boolean {
    const row = this.scene === null || node < 0 ? -1 : rowOf(this.scene.rows, node)
    const { rowHeight, height } = this.geometry
    const top = row * rowHeight - this.offset()
    return row >= 0 && top >= 0 && top + rowHeight <= height
  }

  private requestPaint(): void {
    cancelAnimationFrame(this.frame)
    this.frame = requestAnimationFrame(() => this.paint())
  }

  private paint(): void {
    if (this.scene === null) return
    if (this.painter === null) {
      const context = this.canvas.getContext('2d')
      if (context === null) return
      this.painter = new RowPainter(context, readTheme(), devicePixelRatio || 1)
    }
    this.painter.paint(this.scene, this.geometry, this.offset(), this.hovered)
  }

  private hitAt(event: MouseEvent): Hit | null {
    if (this.scene === null) return null
    const box = this.sticky.getBoundingClientRect()
    const offset = this.offset()
    const { model, rows } = this.scene
    const geometry = indented(this.geometry, model, rows, rowWindow(offset, rows.length, this.geometry))
    return hitTest(event.clientX - box.left, event.clientY - box.top, offset, this.scene, geometry)
  }

  private readonly onScroll = () => {
    this.mirror.shift(this.offset())
    this.tip.hidden = true
    this.hovered = -1
    this.requestPaint()
    clearTimeout(this.rest)
    this.rest = setTimeout(() => {
      if (this.scene) this.mirror.refresh(this.scene, this.geometry, this.offset())
    }, REST_MS)
  }

  private readonly onWheel = (event: WheelEvent) => {
    if (this.scene === null || !(event.ctrlKey || event.shiftKey)) return
    event.preventDefault()
    const { window, model } = this.scene
    const by = event.deltaY === 0 ? event.deltaX : event.deltaY
    if (event.ctrlKey) {
      const x = event.clientX - this.sticky.getBoundingClientRect().left
      const at = Math.min(window.to, Math.max(window.from, timeAt(x, window, this.geometry)))
      this.events.onWindow(zoomed(window, WHEEL_ZOOM ** by, at, model.length))
    } else {
      this.events.onWindow(panned(window, by / this.geometry.chartWidth, model.length))
    }
  }

  private readonly onClick = (event: MouseEvent) => {
    const hit = this.hitAt(event)
    if (hit === null || getSelection()?.isCollapsed === false) return
    if (hit.part === 'toggle') this.events.onToggle(hit.node)
    else if (hit.part === 'group') this.events.onToggleGroup(hit.node)
    else if (hit.part === 'flag') this.events.onShowBelow(hit.node)
    else this.events.onSelect(hit.node)
  }

  private readonly onDoubleClick = (event: MouseEvent) => {
    const hit = this.hitAt(event)
    if (hit?.part !== 'bar' || this.scene === null) return
    const { model } = this.scene
    this.events.onWindow(around(model.start[hit.node]!, model.duration[hit.node]!, model.length))
  }

  private readonly onMove = (event: PointerEvent) => {
    const hit = this.hitAt(event)
    const row = hit?.row ?? -1
    this.sticky.style.cursor = hit === null ? '' : 'default'
    this.showTip(hit, event)
    if (row === this.hovered) return
    this.hovered = row
    this.requestPaint()
  }

  private readonly onLeave = () => {
    this.hovered = -1
    this.tip.hidden = true
    this.requestPaint()
  }

  private showTip(hit: Hit | null, event: PointerEvent): void {
    const scene = this.scene
    const lines = hit !== null && scene !== null && event.pointerType === 'mouse' ? tipOf(scene, hit) : []
    this.tip.hidden = lines.length === 0
    if (lines.length === 0) return
    this.tip.replaceChildren(
      ...lines.map((line) => {
        const element = document.createElement('p')
        element.textContent = line
        return element
      }),
    )
    const box = this.sticky.getBoundingClientRect()
    const x = Math.min(event.clientX - box.left + 12, box.width - this.tip.offsetWidth - 8)
    const below = event.clientY - box.top + 18
    const fits = below + this.tip.offsetHeight < box.height
    const y = fits ? below : event.clientY - box.top - this.tip.offsetHeight - 10
    this.tip.style.transform = `translate(${Math.max(0, x)}px, ${y}px)`
  }
}

/** The lines of the tooltip at a place; none where there is nothing to say. */
export function tipOf(scene: Scene, { node, part }: Hit): string[] {
  const { model, groups } = scene
  if (part === 'note') return notesOf(model, node)
  if (part === 'group') {
    const count = formatCount(groups.membersOf(node).length)
    return scene.folded[node] === 1
      ? [`Show the ${count} equal calls one by one`]
      : [`Show the ${count} equal calls as one row`]
  }
  if (part !== 'bar') return []
  if (scene.folded[node] === 1) {
    const group = groups.summaryOf(node)
    return [
      `${model.serviceLabel(node)}  ${model.spanLabel(node)}  ×${formatCount(group.count)}`,
      `${formatDuration(group.total)} in total · self ${formatDuration(group.selfTime)}`,
      `shortest ${formatDuration(group.min)} · median ${formatDuration(group.median)} · longest ${formatDuration(group.max)}`,
    ]
  }
  if (model.isPlaceholder(node)) return ['parent not received', model.spanId(node), scene.missingReason]
  const duration = model.duration[node]!
  return [
    `${model.serviceLabel(node)}  ${model.spanLabel(node)}`,
    `${formatDuration(duration)}  ${exactDuration(duration)}  ${formatPercent(duration / model.length)} of the trace`,
    `starts at ${formatDuration(model.start[node])} · self ${formatDuration(model.selfTime[node])}`,
    ...[scene.colourWords(node)].filter((words) => words !== null),
    ...notesOf(model, node),
  ]
}
