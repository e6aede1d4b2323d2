/** The edge of the details: drag it, or move it with the arrow keys. A double click takes it back. */
import type { KeyboardEvent, PointerEvent } from 'react'
import { choosePaneWidth, paneStore } from '../app/preferences'
import { useStore } from '../app/store'

export const PANE_PX = 336
export const LEAST_PANE_PX = 280
const KEY_STEP_PX = 24
/** What the rows keep. */
const LEAST_ROWS_PX = 360

function mostWidth(): number {
  return Math.max(LEAST_PANE_PX, innerWidth - LEAST_ROWS_PX)
}

function within(width: number): number {
  return Math.min(mostWidth(), Math.max(LEAST_PANE_PX, width))
}

/** Width of the details that fits into the page. */
export function usePaneWidth(): number {
  return within(useStore(paneStore) ?? PANE_PX)
}

function startDrag(event: PointerEvent<HTMLDivElement>): void {
  event.preventDefault()
  event.currentTarget.setPointerCapture(event.pointerId)
}

function drag(event: PointerEvent<HTMLDivElement>): void {
  if (!event.currentTarget.hasPointerCapture(event.pointerId)) return
  const right = event.currentTarget.parentElement?.getBoundingClientRect().right ?? innerWidth
  choosePaneWidth(within(right - event.clientX))
}

export function PaneHandle() {
  const width = usePaneWidth()
  const onKey = (event: KeyboardEvent) => {
    const by = event.key === 'ArrowLeft' ? KEY_STEP_PX : event.key === 'ArrowRight' ? -KEY_STEP_PX : 0
    if (by !== 0) choosePaneWidth(within(width + by))
    else if (event.key === 'Home') choosePaneWidth(LEAST_PANE_PX)
    else if (event.key === 'End') choosePaneWidth(mostWidth())
    else return
    event.preventDefault()
    event.stopPropagation()
  }
  return (
    // A window splitter is a separator that takes the focus.
    // oxlint-disable-next-line jsx-a11y/no-noninteractive-element-interactions
    <div
      role="separator"
      aria-orientation="vertical"
      aria-label="Width of the details"
      aria-valuenow={width}
      aria-valuemin={LEAST_PANE_PX}
      aria-valuemax={mostWidth()}
      title="Drag to widen; double click for the usual width"
      className="pane-handle"
      // oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex
      tabIndex={0}
      onKeyDown={onKey}
      onPointerDown={startDrag}
      onPointerMove={drag}
      onDoubleClick={() => choosePaneWidth(null)}
    />
  )
}
