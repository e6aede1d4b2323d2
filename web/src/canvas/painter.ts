/** Paints the visible rows of a trace: names and numbers at the left, bars over time at the right. */
import { formatCount, formatDuration } from '../model/format'
import type { Roles } from '../model/roles'
import { isCollapsed } from '../model/rows'
import type { Thread } from '../model/thread'
import { FAILED_TINT } from '../model/tints'
import type { TraceModel } from '../model/trace'
import {
  BAR_PX,
  MIN_BAR_PX,
  badgesOf,
  columnsOf,
  hasToggle,
  indentOf,
  indented,
  rowWindow,
  xOf,
  type Geometry,
  type Rows,
} from './layout'
import { ticks } from './scale'
import { TextPainter } from './text'
import type { CanvasTheme } from './theme'
import { stitchesOf, type Stitch } from './thread'

export interface Scene extends Rows {
  /** Colour number of each node; see `model/tints`. */
  tints: Uint8Array
  /** What a node's colour stands for, in words; null where its row says it. */
  colourWords: (node: number) => string | null
  /** Selected node, -1 for none. */
  selected: number
  /** One byte a node, 1 where the find text matches; null when nothing is sought. */
  matches: Uint8Array | null
  /** What each failed span has to do with the failure. */
  roles: Roles
  /** The critical path over the rows. */
  thread: Thread
  /** Times of the selected span's events. */
  events: readonly number[]
  /** Why a parent is missing, in words. */
  missingReason: string
}

const TICK_PX = 110
const THREAD_PX = 3
/** From the top of a bar to the top of the thread below it. */
const THREAD_TOP_PX = 12
const STEP_ALPHA = 0.55
const TAIL_PX = 2

export class RowPainter {
  private readonly text: TextPainter
  private hatch: CanvasPattern | null = null
  private stitches: { of: readonly unknown[]; found: Stitch[] } | null = null

  constructor(
    private readonly context: CanvasRenderingContext2D,
    private readonly theme: CanvasTheme,
    private readonly scale: number,
  ) {
    this.text = new TextPainter(context)
  }

  /** Paints all rows that are visible at `offset`; `hovered` is a row index or -1. */
  paint(scene: Scene, plain: Geometry, offset: number, hovered: number): void {
    const { context, theme } = this
    const shown = rowWindow(offset, scene.rows.length, plain)
    const { first, last } = shown
    const geometry = indented(plain, scene.model, scene.rows, shown)
    context.setTransform(this.scale, 0, 0, this.scale, 0, 0)
    context.fillStyle = theme.surface
    context.fillRect(0, 0, geometry.width, geometry.height)
    context.textBaseline = 'middle'
    for (let row = first; row < last; row++)
      this.paintGround(scene, geometry, row, row * geometry.rowHeight - offset, hovered)
    if (!geometry.stacked)
      this.paintGrid(
        scene,
        geometry,
        Math.min(geometry.height, scene.rows.length * geometry.rowHeight - offset),
      )
    for (let row = first; row < last; row++) {
      const node = scene.rows[row]!
      const y = row * geometry.rowHeight - offset
      this.paintName(scene, geometry, node, y)
      this.paintBar(scene, geometry, node, y)
    }
    this.paintThread(scene, geometry, offset)
  }

  private paintGround(scene: Scene, geometry: Geometry, row: number, y: number, hovered: number): void {
    const { context, theme } = this
    const node = scene.rows[row]!
    const selected = node === scene.selected
    if (row === hovered && !selected) {
      context.fillStyle = theme.hover
      context.fillRect(0, y, geometry.width, geometry.rowHeight)
    }
    if (geometry.stacked) {
      context.fillStyle = theme.line
      context.fillRect(0, y + geometry.rowHeight - 1, geometry.width, 1)
    }
    if (!selected) return
    context.fillStyle = theme.select
    context.fillRect(0, y, geometry.namesWidth, geometry.rowHeight)
    context.fillStyle = theme.link
    context.fillRect(0, y, 3, geometry.rowHeight)
    if (!geometry.stacked) {
      context.fillRect(geometry.namesWidth, y, geometry.width - geometry.namesWidth, 1)
      context.fillRect(
        geometry.namesWidth,
        y + geometry.rowHeight - 1,
        geometry.width - geometry.namesWidth,
        1,
      )
    }
  }

  private paintGrid(scene: Scene, geometry: Geometry, bottom: number): void {
    const { context, theme } = this
    context.fillStyle = theme.line
    for (const tick of ticks(scene.window, geometry.chartWidth / TICK_PX)) {
      context.fillRect(Math.round(xOf(tick.at, scene.window, geometry)), 0, 1, bottom)
    }
    context.fillRect(geometry.namesWidth - 1, 0, 1, geometry.height)
  }

  private paintName(scene: Scene, geometry: Geometry, node: number, y: number): void {
    const { context, theme, text } = this
    const { model } = scene
    const middle = y + (geometry.stacked ? 15 : 12)
    const depth = model.depth[node]!
    const left = indentOf(geometry, depth)
    const columns = columnsOf(geometry)

    context.fillStyle = theme.line
    if (!geometry.stacked) {
      for (let level = geometry.indentBase; level < depth; level++) {
        const x = indentOf(geometry, level) + 6
        if (x >= left) break
        context.fillRect(x, y, 1, geometry.rowHeight)
      }
    }
    const closed = isCollapsed(model, node, scene.closed)
    const group = scene.folded[node] === 1 ? scene.groups.summaryOf(node) : null
    if (hasToggle(scene, node)) this.paintChevron(left + 6, middle, group !== null || closed)
    let x = left + 18

    if (model.isPlaceholder(node)) {
      context.strokeStyle = theme.edge
      context.setLineDash([2, 2])
      context.strokeRect(x + 0.5, middle - 4.5, 9, 9)
      context.setLineDash([])
      context.font = `400 13px ${theme.sans}`
      context.fillStyle = theme.warning
      const most = columns.badges + 120
      x = text.draw('parent not received ', x + 16, middle, most - x)
      context.font = `400 11.5px ${theme.mono}`
      context.fillStyle = theme.muted
      x = text.draw(`${model.spanId(node).slice(0, 6)}… `, x, middle, most - x)
      context.font = `400 12px ${theme.sans}`
      text.draw(`· ${scene.missingReason}`, x, middle, geometry.namesWidth - 8 - x)
      return
    }

    context.fillStyle = this.colour(scene, node)
    context.beginPath()
    context.roundRect(x, middle - 5, 10, 10, 2)
    context.fill()
    x += 16
    const origin = scene.roles.of(node) === 'origin'
    if (model.isFailed(node)) {
      this.paintFailure(x + 7, middle, origin)
      x += 20
    }

    context.textAlign = 'right'
    context.font = geometry.stacked ? `600 13px ${theme.sans}` : `400 13px ${theme.sans}`
    const length = group ? group.total : model.sentDuration(node)
    context.fillStyle = length < 0 ? theme.warning : theme.text
    context.fillText(formatDuration(length), columns.duration, middle)
    if (columns.self > 0) {
      context.fillStyle = theme.muted
      context.fillText(formatDuration(group ? group.selfTime : model.selfTime[node]), columns.self, middle)
    }
    context.textAlign = 'left'

    const right = this.paintBadges(scene, geometry, node, middle)
    const most = right - 8
    if (scene.matches?.[node] === 1) {
      // A line below, so that a match shows without any colour of its own.
      context.fillStyle = theme.link
      context.fillRect(x, middle + 8, Math.max(12, Math.min(most - x, 120)), 2)
    }
    context.fillStyle = origin ? theme.errorText : theme.text
    const name = model.spanLabel(node)
    const nameFont = `${origin ? 600 : 400} 13px ${theme.sans}`
    if (!model.repeatsService(node)) {
      // A long service leaves half of the room to the name.
      context.font = nameFont
      const room = Math.min(text.width(name), (most - x) / 2)
      context.font = `600 13px ${theme.sans}`
      const service = model.serviceLabel(node)
      x = text.drawName(service, x, middle, most - x - room - text.width(' ')) + text.width(' ')
    }
    context.font = nameFont
    text.drawName(name, x, middle, most - x)
  }

  /** Badges right of the name; returns where the leftmost begins. */
  private paintBadges(scene: Scene, geometry: Geometry, node: number, middle: number): number {
    const { context, theme } = this
    const badges = badgesOf(scene, geometry, node)
    for (const { part, label, left, right } of badges) {
      if (part === 'note' && label === '') {
        this.paintNote((left + right) / 2, middle)
        continue
      }
      context.fillStyle = part === 'flag' ? theme.errorGround : theme.hover
      context.beginPath()
      context.roundRect(left, middle - 8, right - left, 16, 4)
      context.fill()
      context.fillStyle = part === 'flag' ? theme.errorText : part === 'note' ? theme.warning : theme.text
      context.font = `600 11px ${theme.sans}`
      context.textAlign = 'center'
      context.fillText(label, (left + right) / 2, middle + 0.5)
      context.textAlign = 'left'
    }
    return badges.length === 0 ? columnsOf(geometry).badges + 6 : badges.at(-1)!.left
  }

  /** A triangle: something about the row's times is unusual, and the tooltip says what. */
  private paintNote(x: number, y: number): void {
    const { context, theme } = this
    context.strokeStyle = theme.warning
    context.lineWidth = 1.4
    context.lineJoin = 'round'
    context.beginPath()
    context.moveTo(x, y - 6)
    context.lineTo(x + 6.5, y + 5)
    context.lineTo(x - 6.5, y + 5)
    context.closePath()
    context.stroke()
    context.lineWidth = 1
    context.fillStyle = theme.warning
    context.fillRect(x - 0.75, y - 2.5, 1.5, 3.5)
    context.fillRect(x - 0.75, y + 2, 1.5, 1.5)
  }

  private paintChevron(x: number, y: number, closed: boolean): void {
    const { context, theme } = this
    context.strokeStyle = theme.muted
    context.lineWidth = 1.5
    context.beginPath()
    if (closed) {
      context.moveTo(x - 2, y - 4)
      context.lineTo(x + 2, y)
      context.lineTo(x - 2, y + 4)
    } else {
      context.moveTo(x - 4, y - 2)
      context.lineTo(x, y + 2)
      context.lineTo(x + 4, y - 2)
    }
    context.stroke()
    context.lineWidth = 1
  }

  private paintFailure(x: number, y: number, origin: boolean): void {
    const { context, theme } = this
    context.beginPath()
    context.arc(x, y, origin ? 6.5 : 6, 0, Math.PI * 2)
    context.lineWidth = 1.4
    if (origin) {
      context.fillStyle = theme.error
      context.fill()
      context.strokeStyle = theme.surface
    } else {
      context.strokeStyle = theme.error
      context.stroke()
    }
    const arm = origin ? 2.4 : 2.1
    context.beginPath()
    context.moveTo(x - arm, y - arm)
    context.lineTo(x + arm, y + arm)
    context.moveTo(x + arm, y - arm)
    context.lineTo(x - arm, y + arm)
    context.stroke()
    context.lineWidth = 1
  }

  private paintBar(scene: Scene, geometry: Geometry, node: number, rowTop: number): void {
    const { context, theme } = this
    const { model, window } = scene
    const top = rowTop + geometry.barTop
    if (geometry.stacked) {
      context.fillStyle = theme.hover
      context.fillRect(geometry.chartLeft, top, geometry.chartWidth, BAR_PX)
    }
    const chartRight = geometry.chartLeft + geometry.chartWidth
    if (scene.folded[node] === 1) {
      this.paintComb(scene, geometry, node, top)
      return
    }
    const from = xOf(model.start[node]!, window, geometry)
    const to = Math.max(from + MIN_BAR_PX, xOf(model.start[node]! + model.duration[node]!, window, geometry))
    const reachFrom = Math.min(from, xOf(model.reachFrom[node]!, window, geometry))
    const reachTo = Math.max(to, xOf(model.reachTo[node]!, window, geometry))
    if (reachTo < geometry.chartLeft || reachFrom > chartRight) return

    context.save()
    context.beginPath()
    context.rect(geometry.chartLeft - 2, rowTop, geometry.chartWidth + 8, geometry.rowHeight)
    context.clip()
    // Bars beyond the window are cut here: canvas loses precision on very wide shapes.
    const left = Math.max(from, geometry.chartLeft - 20)
    const right = Math.min(to, chartRight + 20)
    context.fillStyle = this.colour(scene, node)
    this.paintTail(Math.max(reachFrom, geometry.chartLeft - 20), Math.min(from, chartRight + 20), top)
    this.paintTail(Math.max(to, geometry.chartLeft - 20), Math.min(reachTo, chartRight + 20), top)
    if (to >= geometry.chartLeft && from <= chartRight) {
      this.paintShape(scene, geometry, node, left, right, top)
    }
    context.restore()

    if (!geometry.stacked && !model.isPlaceholder(node)) {
      this.paintLength(
        geometry,
        model,
        node,
        Math.max(reachFrom, geometry.chartLeft),
        Math.min(reachTo, chartRight),
        top,
      )
    }
  }

  /** A thin line in the middle of the bar's height: children run there, outside of the span. */
  private paintTail(from: number, to: number, top: number): void {
    if (to - from >= 1) this.context.fillRect(from, top + BAR_PX / 2 - TAIL_PX / 2, to - from, TAIL_PX)
  }

  /** One tooth a member on a common back; teeth that would fall on the same pixels are painted once. */
  private paintComb(scene: Scene, geometry: Geometry, head: number, top: number): void {
    const { context, theme, text } = this
    const { model, window, groups } = scene
    const chartRight = geometry.chartLeft + geometry.chartWidth
    context.fillStyle = this.colour(scene, head)
    let first = Infinity
    let last = -Infinity
    let painted = -Infinity
    for (const node of groups.membersOf(head)) {
      const from = xOf(model.start[node]!, window, geometry)
      const to = Math.max(from + 1, xOf(model.start[node]! + model.duration[node]!, window, geometry))
      first = Math.min(first, from)
      last = Math.max(last, to)
      const left = Math.max(from, geometry.chartLeft, painted)
      const right = Math.min(to, chartRight)
      if (right - left < 0.5) continue
      context.fillRect(left, top, right - left, BAR_PX)
      // A pixel of ground between two teeth, as long as they are not one block anyway.
      painted = right + 1
    }
    const left = Math.max(first, geometry.chartLeft)
    const right = Math.min(last, chartRight)
    if (right <= left) return
    context.fillRect(left, top + BAR_PX, right - left, 1)
    if (geometry.stacked) return
    const { count, median } = groups.summaryOf(head)
    const label = `${formatCount(count)} × ${formatDuration(median)}`
    context.font = `400 11px ${theme.sans}`
    context.fillStyle = theme.muted
    const width = text.width(label)
    const middle = top + BAR_PX / 2 + 0.5
    if (right + 6 + width <= chartRight) context.fillText(label, right + 6, middle)
    else if (left - 6 - width >= geometry.chartLeft) context.fillText(label, left - 6 - width, middle)
  }

  /** One line under the bars: along each row while its span decides, one pixel wide from row to row. */
  private paintThread(scene: Scene, geometry: Geometry, offset: number): void {
    const { context, theme } = this
    const stitches = this.stitchesIn(scene, geometry)
    const topOf = (row: number) => row * geometry.rowHeight - offset + geometry.barTop + THREAD_TOP_PX
    context.fillStyle = theme.text
    for (let at = 0; at < stitches.length; at++) {
      const { row, left, right } = stitches[at]!
      const top = topOf(row)
      if (top > -THREAD_PX && top < geometry.height) {
        context.fillRect(left, top, Math.max(1, right - left), THREAD_PX)
      }
      const next = stitches[at + 1]
      // On a narrow screen the names lie between the bars, so the steps are left out.
      if (next === undefined || geometry.stacked) continue
      const nextTop = topOf(next.row)
      const from = Math.max(-1, Math.min(top, nextTop))
      const to = Math.min(geometry.height + 1, Math.max(top, nextTop) + THREAD_PX)
      if (to <= from) continue
      context.globalAlpha = STEP_ALPHA
      context.fillRect(
        Math.round(Math.min(right, geometry.chartLeft + geometry.chartWidth)) - 1,
        from,
        1,
        to - from,
      )
      context.globalAlpha = 1
    }
  }

  /** The pieces of the thread; they change with the zoom and the rows, not with scrolling. */
  private stitchesIn({ thread, window }: Scene, geometry: Geometry): Stitch[] {
    const of = [thread, window.from, window.to, geometry.chartLeft, geometry.chartWidth]
    if (this.stitches === null || of.some((value, index) => value !== this.stitches!.of[index])) {
      this.stitches = { of, found: stitchesOf(thread, window, geometry) }
    }
    return this.stitches.found
  }

  private paintShape(
    scene: Scene,
    geometry: Geometry,
    node: number,
    left: number,
    right: number,
    top: number,
  ): void {
    const { context, theme } = this
    const { model, window } = scene
    const width = right - left
    if (model.isPlaceholder(node)) {
      context.strokeStyle = theme.edge
      context.setLineDash([3, 2])
      context.strokeRect(left + 0.5, top + 0.5, Math.max(4, width - 1), BAR_PX - 1)
      context.setLineDash([])
      return
    }
    if (scene.roles.of(node) === 'origin') {
      context.fillStyle = theme.errorGround
      context.fillRect(left, top, width, BAR_PX)
      context.fillStyle = this.hatching()
      context.fillRect(left, top, width, BAR_PX)
      this.outline(left, top, width, theme.error)
    } else {
      const colour = this.colour(scene, node)
      context.fillStyle = colour
      if (model.childCount[node] === 0) {
        context.fillRect(left, top, width, BAR_PX)
      } else {
        context.globalAlpha = 0.22
        context.fillRect(left, top, width, BAR_PX)
        context.globalAlpha = 1
        const parts = model.selfIntervals(node)
        for (let index = 0; index < parts.length; index += 2) {
          const partFrom = Math.max(left, xOf(parts[index]!, window, geometry))
          const partTo = Math.min(right, xOf(parts[index + 1]!, window, geometry))
          if (partTo > partFrom) context.fillRect(partFrom, top, Math.max(0.5, partTo - partFrom), BAR_PX)
        }
      }
      if (model.isFailed(node) || model.childCount[node]! > 0) {
        this.outline(left, top, width, model.isFailed(node) ? theme.error : colour)
      }
    }
    if (node === scene.selected) {
      context.fillStyle = theme.text
      for (const time of scene.events) {
        context.fillRect(Math.round(xOf(time, window, geometry)) - 1, top - 3, 2, BAR_PX + 6)
      }
    }
  }

  private outline(left: number, top: number, width: number, colour: string): void {
    const { context } = this
    context.strokeStyle = colour
    context.lineWidth = 1
    if (width > 2) context.strokeRect(left + 0.5, top + 0.5, width - 1, BAR_PX - 1)
    else {
      context.fillStyle = colour
      context.fillRect(left, top, width, BAR_PX)
    }
  }

  /** The length beside the bar: at its right, else at its left, else not. */
  private paintLength(
    geometry: Geometry,
    model: TraceModel,
    node: number,
    left: number,
    right: number,
    top: number,
  ): void {
    const { context, theme, text } = this
    context.font = `400 11px ${theme.sans}`
    context.fillStyle = model.isFailed(node) ? theme.errorText : theme.muted
    const label = formatDuration(model.sentDuration(node))
    const width = text.width(label)
    const middle = top + BAR_PX / 2 + 0.5
    if (right + 6 + width <= geometry.chartLeft + geometry.chartWidth)
      context.fillText(label, right + 6, middle)
    else if (left - 6 - width >= geometry.chartLeft) context.fillText(label, left - 6 - width, middle)
  }

  private colour(scene: Scene, node: number): string {
    const tint = scene.tints[node] ?? 0
    return tint === FAILED_TINT ? this.theme.error : (this.theme.services[tint] ?? this.theme.edge)
  }

  /** Stripes at 45 degrees in the error colour. */
  private hatching(): CanvasPattern | string {
    if (this.hatch === null) {
      const size = 6
      const tile = document.createElement('canvas')
      tile.width = size * this.scale
      tile.height = size * this.scale
      const brush = tile.getContext('2d')
      if (brush === null) return this.theme.error
      brush.scale(this.scale, this.scale)
      brush.strokeStyle = this.theme.error
      brush.lineWidth = 1.8
      for (const shift of [-size, 0, size]) {
        brush.beginPath()
        brush.moveTo(shift - 1, size + 1)
        brush.lineTo(shift + size + 1, -1)
        brush.stroke()
      }
      this.hatch = this.context.createPattern(tile, 'repeat')
      this.hatch?.setTransform(new DOMMatrix().scale(1 / this.scale))
    }
    return this.hatch ?? this.theme.error
  }
}
