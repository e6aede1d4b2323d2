/** The flame graph of a trace: equal siblings as one box, as wide as the self time of it and all below it. */
import { formatCount, formatDuration, formatPercent, shortenedName } from '../model/format'
import { TextPainter } from './text'
import type { MergedTree } from '../model/merged'
import type { TraceModel } from '../model/trace'
import { readTheme, type CanvasTheme } from './theme'

const ROW_PX = 20
const LEAST_PX = 0.7
const TEXT_PX = 30

export interface FlameScene {
  model: TraceModel
  tree: MergedTree
  colours: Uint8Array
  selected: number
}

/** Left edge and width of each entry as shares of the whole, widest sibling first. */
export function flameBoxes(tree: MergedTree): { left: Float64Array; width: Float64Array } {
  const left = new Float64Array(tree.count)
  const width = new Float64Array(tree.count)
  const byParent = Int32Array.from({ length: tree.count }, (_, entry) => entry).toSorted(
    (a, b) => tree.depth[a]! - tree.depth[b]! || tree.total[b]! - tree.total[a]! || a - b,
  )
  let whole = 0
  for (let entry = 0; entry < tree.count; entry++) if (tree.parent[entry] === -1) whole += tree.total[entry]!
  const used = new Float64Array(tree.count)
  let usedByRoots = 0
  for (const entry of byParent) {
    const parent = tree.parent[entry]!
    width[entry] = whole === 0 ? 0 : tree.total[entry]! / whole
    if (parent < 0) {
      left[entry] = usedByRoots
      usedByRoots += width[entry]!
    } else {
      left[entry] = left[parent]! + used[parent]!
      used[parent]! += width[entry]!
    }
  }
  return { left, width }
}

export class Flame {
  private readonly scroller = document.createElement('div')
  private readonly canvas = document.createElement('canvas')
  private readonly tip = document.createElement('div')
  private readonly resize = new ResizeObserver(() => this.paint())
  private scene: FlameScene | null = null
  private boxes: { left: Float64Array; width: Float64Array } | null = null
  private theme: CanvasTheme | null = null
  private text: TextPainter | null = null

  /** `onSelect` is told the first span of the box that was clicked. */
  constructor(private onSelect: (node: number) => void) {
    this.scroller.className = 'flame'
    this.canvas.setAttribute('aria-hidden', 'true')
    this.tip.className = 'tip'
    this.tip.hidden = true
    this.tip.setAttribute('aria-hidden', 'true')
    this.scroller.append(this.canvas, this.tip)
    this.canvas.addEventListener('click', (event) => {
      const entry = this.entryAt(event)
      if (entry >= 0 && this.scene) this.onSelect(this.scene.tree.first[entry]!)
    })
    this.canvas.addEventListener('pointermove', (event) => this.showTip(event))
    this.canvas.addEventListener('pointerleave', () => {
      this.tip.hidden = true
    })
  }

  mount(host: HTMLElement): void {
    host.append(this.scroller)
    this.resize.observe(host)
  }

  update(scene: FlameScene, onSelect: (node: number) => void): void {
    if (this.scene?.tree !== scene.tree) this.boxes = null
    this.scene = scene
    this.onSelect = onSelect
    this.paint()
  }

  restyle(): void {
    this.theme = null
    this.paint()
  }

  destroy(): void {
    this.resize.disconnect()
    this.scroller.remove()
  }

  private paint(): void {
    const { scene, canvas } = this
    const context = canvas.getContext('2d')
    if (scene === null || context === null) return
    const { tree, model, colours } = scene
    const theme = (this.theme ??= readTheme())
    const { left, width } = (this.boxes ??= flameBoxes(tree))
    const scale = devicePixelRatio || 1
    const across = this.scroller.clientWidth
    let deepest = 0
    for (let entry = 0; entry < tree.count; entry++) {
      if (width[entry]! * across >= LEAST_PX) deepest = Math.max(deepest, tree.depth[entry]!)
    }
    // Browsers limit a canvas; what is deeper is in the statistics and the waterfall.
    const height = Math.min(16_000, (deepest + 1) * ROW_PX + 8)
    canvas.width = Math.max(1, Math.round(across * scale))
    canvas.height = Math.round(height * scale)
    canvas.style.width = `${across}px`
    canvas.style.height = `${height}px`
    context.scale(scale, scale)
    context.font = `400 12px ${theme.sans}`
    context.textBaseline = 'middle'
    const text = (this.text ??= new TextPainter(context))
    for (let entry = 0; entry < tree.count; entry++) {
      const wide = width[entry]! * across
      const top = tree.depth[entry]! * ROW_PX + 4
      if (wide < LEAST_PX || top > height) continue
      const x = left[entry]! * across
      const node = tree.first[entry]!
      const colour = theme.services[colours[model.service[node]!] ?? 0] ?? theme.edge
      context.globalAlpha = 0.22
      context.fillStyle = model.isPlaceholder(node) ? theme.hover : colour
      context.fillRect(x, top, Math.max(LEAST_PX, wide - 1), ROW_PX - 2)
      context.globalAlpha = 1
      context.fillStyle = colour
      context.fillRect(x, top, Math.max(LEAST_PX, Math.min(3, wide - 1)), ROW_PX - 2)
      if (tree.failed[entry]! > 0 || node === scene.selected) {
        context.strokeStyle = node === scene.selected ? theme.link : theme.error
        context.lineWidth = node === scene.selected ? 2 : 1
        context.strokeRect(x + 0.5, top + 0.5, Math.max(1, wide - 2), ROW_PX - 3)
      }
      if (wide < TEXT_PX) continue
      context.fillStyle = theme.text
      text.drawName(this.label(entry), x + 7, top + ROW_PX / 2 - 1, wide - 11)
    }
  }

  private label(entry: number): string {
    const { model, tree } = this.scene!
    const node = tree.first[entry]!
    if (model.isPlaceholder(node)) return 'parent not received'
    const service = model.repeatsService(node) ? '' : `${shortenedName(model.serviceLabel(node), 60)}  `
    const many = tree.spans[entry]! > 1 ? `  ×${formatCount(tree.spans[entry])}` : ''
    return `${service}${shortenedName(model.spanLabel(node), 120)}${many}`
  }

  private entryAt(event: MouseEvent): number {
    const { scene, boxes } = this
    if (scene === null || boxes === null) return -1
    const box = this.canvas.getBoundingClientRect()
    const at = (event.clientX - box.left) / box.width
    const depth = Math.floor((event.clientY - box.top - 4) / ROW_PX)
    const { tree } = scene
    for (let entry = 0; entry < tree.count; entry++) {
      const from = boxes.left[entry]!
      if (tree.depth[entry] === depth && at >= from && at < from + boxes.width[entry]!) return entry
    }
    return -1
  }

  private showTip(event: PointerEvent): void {
    const entry = this.entryAt(event)
    const { scene } = this
    this.canvas.style.cursor = entry < 0 ? '' : 'pointer'
    this.tip.hidden = entry < 0 || event.pointerType !== 'mouse'
    if (entry < 0 || scene === null) return
    const { tree } = scene
    const lines = [
      this.label(entry),
      `${formatDuration(tree.total[entry])}, ${formatPercent(this.boxes!.width[entry]!)} of all self time`,
      `self ${formatDuration(tree.self[entry])}${tree.failed[entry]! > 0 ? ` · ${formatCount(tree.failed[entry])} failed` : ''}`,
    ]
    this.tip.replaceChildren(
      ...lines.map((line) => {
        const element = document.createElement('p')
        element.textContent = line
        return element
      }),
    )
    const box = this.scroller.getBoundingClientRect()
    const x = Math.min(event.clientX - box.left + 12, box.width - this.tip.offsetWidth - 8)
    const y = event.clientY - box.top + this.scroller.scrollTop + 18
    this.tip.style.transform = `translate(${Math.max(0, x)}px, ${y}px)`
  }
}
