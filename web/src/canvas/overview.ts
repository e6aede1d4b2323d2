/** Above the rows: the whole trace in small, the time axis, and the part that is shown. */
import type { TimeWindow } from '../app/url'
import { FAILED_TINT } from '../model/tints'
import type { TraceModel } from '../model/trace'
import { densityOf } from './density'
import { clampWindow, ticks } from './scale'
import { readTheme, type CanvasTheme } from './theme'

const MAP_PX = 40
const AXIS_PX = 24
const LANES = 10
const DRAG_PX = 4
/** More bars than this cannot be told apart in so few pixels; short ones are then painted as a density. */
const MOST_BARS = 20_000

export interface OverviewScene {
  model: TraceModel
  /** Colour number of each node; see `model/tints`. */
  tints: Uint8Array
  window: TimeWindow
  /** Where the axis lies within the element, in pixels. */
  left: number
  width: number
}

function colourOf({ tints }: OverviewScene, theme: CanvasTheme, node: number): string {
  const tint = tints[node] ?? 0
  return tint === FAILED_TINT ? theme.error : (theme.services[tint] ?? theme.edge)
}

export class Overview {
  private readonly canvas = document.createElement('canvas')
  private readonly resize = new ResizeObserver(() => this.paint())
  private scene: OverviewScene | null = null
  private theme: CanvasTheme | null = null
  private map: { canvas: HTMLCanvasElement; key: string } | null = null
  private drag: { from: number; to: number; onAxis: boolean } | null = null

  constructor(private onWindow: (window: TimeWindow | null) => void) {
    this.canvas.className = 'overview-canvas'
    this.canvas.setAttribute('aria-hidden', 'true')
    this.canvas.addEventListener('pointerdown', this.onDown)
    this.canvas.addEventListener('pointermove', this.onMove)
    this.canvas.addEventListener('pointerup', this.onUp)
    this.canvas.addEventListener('pointercancel', this.onCancel)
    this.canvas.addEventListener('dblclick', this.onDoubleClick)
  }

  mount(host: HTMLElement): void {
    host.append(this.canvas)
    this.resize.observe(host)
  }

  destroy(): void {
    this.resize.disconnect()
    this.canvas.remove()
  }

  update(scene: OverviewScene, onWindow: (window: TimeWindow | null) => void): void {
    if (this.scene?.model !== scene.model || this.scene.tints !== scene.tints) this.map = null
    this.scene = scene
    this.onWindow = onWindow
    this.paint()
  }

  /** Reads the colours again. */
  restyle(): void {
    this.theme = null
    this.map = null
    this.paint()
  }

  private paint(): void {
    const { scene, canvas } = this
    const host = canvas.parentElement
    const context = canvas.getContext('2d')
    if (scene === null || host === null || context === null) return
    const theme = (this.theme ??= readTheme())
    const scale = devicePixelRatio || 1
    const width = host.clientWidth
    const height = MAP_PX + AXIS_PX
    if (width === 0) return
    canvas.width = Math.round(width * scale)
    canvas.height = height * scale
    canvas.style.width = `${width}px`
    canvas.style.height = `${height}px`
    context.scale(scale, scale)
    context.fillStyle = theme.raised
    context.fillRect(0, 0, width, MAP_PX)
    context.drawImage(this.mapImage(scene, theme, width, scale), 0, 0, width, MAP_PX)
    this.paintWindow(context, scene, theme, width)
    this.paintAxis(context, scene, theme, width)
  }

  private mapImage(
    scene: OverviewScene,
    theme: CanvasTheme,
    width: number,
    scale: number,
  ): HTMLCanvasElement {
    const key = `${width}|${scale}|${scene.left}|${scene.width}`
    if (this.map?.key === key) return this.map.canvas
    const image = document.createElement('canvas')
    image.width = Math.round(width * scale)
    image.height = MAP_PX * scale
    const context = image.getContext('2d')
    const { model } = scene
    if (context !== null) {
      context.scale(scale, scale)
      const perPixel = scene.width / model.length
      const shortest = model.count > MOST_BARS ? 0.25 / perPixel : 0
      const lanes = Math.min(LANES, model.maxDepth + 1)
      const step = Math.min(5, (MAP_PX - 6) / lanes)
      if (shortest > 0) this.paintDensity(context, scene, theme, shortest, lanes, step)
      for (let node = 0; node < model.count; node++) {
        if (model.isPlaceholder(node) || model.duration[node]! < shortest) continue
        const lane = Math.min(LANES - 1, model.depth[node]!)
        context.fillStyle = model.isOrigin(node) ? theme.error : colourOf(scene, theme, node)
        context.fillRect(
          scene.left + model.start[node]! * perPixel,
          4 + lane * step,
          Math.max(1, model.duration[node]! * perPixel),
          2,
        )
      }
    }
    this.map = { canvas: image, key }
    return image
  }

  private paintDensity(
    context: CanvasRenderingContext2D,
    scene: OverviewScene,
    theme: CanvasTheme,
    shortest: number,
    lanes: number,
    step: number,
  ): void {
    const { model, left, width } = scene
    const pixels = Math.max(1, Math.ceil(width))
    const { covered, sample } = densityOf(model, shortest, width / model.length, pixels, lanes, (node) =>
      model.isPlaceholder(node),
    )
    for (let at = 0; at < sample.length; at++) {
      const node = sample[at]!
      if (node < 0) continue
      // Never fainter than this: a single short span among many pixels is still to be seen.
      context.globalAlpha = Math.min(1, 0.4 + covered[at]! * 0.6)
      context.fillStyle = colourOf(scene, theme, node)
      context.fillRect(left + (at % pixels), 4 + Math.floor(at / pixels) * step, 1, 2)
    }
    context.globalAlpha = 1
  }

  private paintWindow(
    context: CanvasRenderingContext2D,
    scene: OverviewScene,
    theme: CanvasTheme,
    width: number,
  ): void {
    const perPixel = scene.width / scene.model.length
    const drag = this.drag
    const isWhole = scene.window.from <= 0 && scene.window.to >= scene.model.length
    const fromX = scene.left + scene.window.from * perPixel
    const toX = scene.left + scene.window.to * perPixel
    if (!isWhole) {
      context.globalAlpha = 0.7
      context.fillStyle = theme.raised
      context.fillRect(0, 0, fromX, MAP_PX)
      context.fillRect(toX, 0, width - toX, MAP_PX)
      context.globalAlpha = 1
      context.strokeStyle = theme.link
      context.strokeRect(fromX + 0.5, 0.5, Math.max(2, toX - fromX - 1), MAP_PX - 1)
    }
    if (drag !== null) {
      context.globalAlpha = 0.2
      context.fillStyle = theme.link
      const top = drag.onAxis ? MAP_PX : 0
      context.fillRect(
        Math.min(drag.from, drag.to),
        top,
        Math.abs(drag.to - drag.from),
        drag.onAxis ? AXIS_PX : MAP_PX,
      )
      context.globalAlpha = 1
    }
  }

  private paintAxis(
    context: CanvasRenderingContext2D,
    scene: OverviewScene,
    theme: CanvasTheme,
    width: number,
  ): void {
    context.fillStyle = theme.line
    context.fillRect(0, MAP_PX, width, 1)
    context.fillRect(0, MAP_PX + AXIS_PX - 1, width, 1)
    context.font = `400 11px ${theme.sans}`
    context.textBaseline = 'middle'
    for (const tick of ticks(scene.window, scene.width / 110)) {
      const x =
        scene.left + ((tick.at - scene.window.from) / (scene.window.to - scene.window.from)) * scene.width
      const room = context.measureText(tick.label).width + 5
      context.fillStyle = theme.line
      context.fillRect(Math.round(x), MAP_PX + 17, 1, 6)
      context.fillStyle = theme.muted
      if (x + room <= width) context.fillText(tick.label, x + 4, MAP_PX + 12)
    }
  }

  private pointOf(event: MouseEvent): { x: number; y: number } {
    const box = this.canvas.getBoundingClientRect()
    return { x: event.clientX - box.left, y: event.clientY - box.top }
  }

  private readonly onDown = (event: PointerEvent) => {
    if (event.button !== 0) return
    const { x, y } = this.pointOf(event)
    this.canvas.setPointerCapture(event.pointerId)
    this.drag = { from: x, to: x, onAxis: y >= MAP_PX }
  }

  private readonly onMove = (event: PointerEvent) => {
    if (this.drag === null) return
    this.drag = { ...this.drag, to: this.pointOf(event).x }
    this.paint()
  }

  private readonly onUp = () => {
    const { drag, scene } = this
    this.drag = null
    if (drag === null || scene === null) return
    if (Math.abs(drag.to - drag.from) >= DRAG_PX) {
      // The axis shows the window, the map the whole trace: the same pixels are different times.
      const base = drag.onAxis ? scene.window : { from: 0, to: scene.model.length }
      const time = (x: number) => base.from + ((x - scene.left) / scene.width) * (base.to - base.from)
      const [from, to] = [time(Math.min(drag.from, drag.to)), time(Math.max(drag.from, drag.to))]
      this.onWindow(
        clampWindow({ from: Math.max(0, from), to: Math.min(scene.model.length, to) }, scene.model.length),
      )
    }
    this.paint()
  }

  private readonly onCancel = () => {
    this.drag = null
    this.paint()
  }

  private readonly onDoubleClick = () => this.onWindow(null)
}
