/** The transparent twin of the painted rows: a treegrid for screen readers, tests and text selection. */
import { formatCount, formatDuration } from '../model/format'
import { isCollapsed } from '../model/rows'
import { groupSentence, rowSentence } from '../model/sentence'
import { columnsOf, hasToggle, indentOf, indented, rowWindow, type Geometry } from './layout'
import type { Scene } from './painter'

const COLUMNS = ['Service and operation', 'Duration', 'Self time']

export class Mirror {
  readonly element: HTMLDivElement
  private readonly body: HTMLDivElement
  private offset = 0

  constructor() {
    this.element = document.createElement('div')
    this.element.className = 'mirror'
    this.element.tabIndex = 0
    this.element.setAttribute('role', 'treegrid')
    this.element.setAttribute('aria-label', 'Spans of the trace')
    this.element.setAttribute('aria-readonly', 'true')
    this.element.append(this.headings())
    this.body = document.createElement('div')
    this.body.setAttribute('role', 'rowgroup')
    this.element.append(this.body)
  }

  private headings(): HTMLDivElement {
    const row = document.createElement('div')
    row.className = 'unseen'
    row.setAttribute('role', 'row')
    row.setAttribute('aria-rowindex', '1')
    for (const title of COLUMNS) {
      const cell = document.createElement('span')
      cell.setAttribute('role', 'columnheader')
      cell.textContent = title
      row.append(cell)
    }
    return row
  }

  /** Writes the visible rows anew. */
  refresh(scene: Scene, plain: Geometry, offset: number): void {
    const { rows } = scene
    this.offset = offset
    const shown = rowWindow(offset, rows.length, plain)
    const { first, last } = shown
    const geometry = indented(plain, scene.model, rows, shown)
    const elements: HTMLDivElement[] = []
    let active = ''
    for (let row = first; row < last; row++) {
      const element = this.rowElement(scene, geometry, row, offset)
      if (rows[row] === scene.selected) active = element.id
      elements.push(element)
    }
    this.body.replaceChildren(...elements)
    this.body.style.transform = ''
    this.element.setAttribute('aria-rowcount', String(rows.length + 1))
    if (active === '') this.element.removeAttribute('aria-activedescendant')
    else this.element.setAttribute('aria-activedescendant', active)
  }

  /** Moves the rows along while scrolling goes on. */
  shift(offset: number): void {
    this.body.style.transform = `translateY(${this.offset - offset}px)`
  }

  private rowElement(scene: Scene, geometry: Geometry, row: number, offset: number): HTMLDivElement {
    const { model } = scene
    const node = scene.rows[row]!
    const closed = isCollapsed(model, node, scene.closed)
    const columns = columnsOf(geometry)
    const element = document.createElement('div')
    element.id = `span-row-${node}`
    element.className = 'mirror-row'
    element.setAttribute('role', 'row')
    element.setAttribute('aria-level', String(model.depth[node]! + 1))
    element.setAttribute('aria-rowindex', String(row + 2))
    element.setAttribute('aria-selected', String(node === scene.selected))
    const group = scene.folded[node] === 1 ? scene.groups.summaryOf(node) : null
    if (group !== null) element.setAttribute('aria-expanded', 'false')
    else if (hasToggle(scene, node)) element.setAttribute('aria-expanded', String(!closed))
    element.setAttribute(
      'aria-label',
      group !== null
        ? groupSentence(model, node, group)
        : [
            rowSentence(model, node, closed ? model.failuresBelow[node]! : 0, scene.roles.of(node)),
            scene.colourWords(node),
          ]
            .filter((part) => part !== null)
            .join(', '),
    )
    element.style.top = `${row * geometry.rowHeight - offset}px`
    element.style.height = `${geometry.rowHeight}px`

    const texts = model.isPlaceholder(node)
      ? [`parent not received ${model.spanId(node)}`, '', '']
      : [
          `${model.serviceLabel(node)} ${model.spanLabel(node)}${group ? ` ×${formatCount(group.count)}` : ''}`,
          formatDuration(group ? group.total : model.sentDuration(node)),
          formatDuration(group ? group.selfTime : model.selfTime[node]),
        ]
    const left = indentOf(geometry, model.depth[node]!) + (model.isFailed(node) ? 54 : 34)
    const boxes: [left: number, right: number][] = [
      [left, columns.badges],
      [columns.badges + 4, columns.duration],
      [columns.duration + 4, columns.self],
    ]
    texts.forEach((shown, index) => {
      const [from, to] = boxes[index]!
      const cell = document.createElement('span')
      cell.setAttribute('role', 'gridcell')
      cell.textContent = shown
      if (index > 0) cell.className = 'mirror-number'
      cell.style.left = `${from}px`
      cell.style.width = `${Math.max(0, to - from)}px`
      element.append(cell)
    })
    return element
  }
}
