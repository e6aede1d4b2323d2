/** The right edge of the names: drag it, or move it with the arrow keys. A double click takes it back. */
import type { KeyboardEvent, PointerEvent } from 'react'
import { createStore } from '../app/store'
import { LEAST_CHART_PX, LEAST_NAMES_PX } from '../canvas/layout'

const KEY = 'clew.names'
const STEP_PX = 16

/** Width of the names in pixels as the reader chose it, null for the usual one. */
export const namesStore = createStore<number | null>(Number(localStorage.getItem(KEY)) || null)

function chooseNamesWidth(width: number | null): void {
  if (width === null) localStorage.removeItem(KEY)
  else localStorage.setItem(KEY, String(Math.round(width)))
  namesStore.set(width === null ? null : Math.round(width))
}

function onDown(event: PointerEvent<HTMLDivElement>): void {
  event.preventDefault()
  event.currentTarget.setPointerCapture(event.pointerId)
}

interface Props {
  /** The width now, and the width that names and bars share. */
  width: number
  whole: number
}

export function NamesHandle({ width, whole }: Props) {
  const most = Math.max(LEAST_NAMES_PX, whole - LEAST_CHART_PX)
  const choose = (wanted: number) => chooseNamesWidth(Math.min(most, Math.max(LEAST_NAMES_PX, wanted)))
  const onKey = (event: KeyboardEvent) => {
    if (event.key === 'ArrowLeft') choose(width - STEP_PX)
    else if (event.key === 'ArrowRight') choose(width + STEP_PX)
    else if (event.key === 'Home') choose(LEAST_NAMES_PX)
    else if (event.key === 'End') choose(most)
    else return
    event.preventDefault()
    event.stopPropagation()
  }
  const onMove = (event: PointerEvent<HTMLDivElement>) => {
    if (!event.currentTarget.hasPointerCapture(event.pointerId)) return
    const left = event.currentTarget.parentElement?.getBoundingClientRect().left ?? 0
    choose(event.clientX - left)
  }
  return (
    // A window splitter is a separator that takes the focus.
    // oxlint-disable-next-line jsx-a11y/no-noninteractive-element-interactions
    <div
      role="separator"
      aria-orientation="vertical"
      aria-label="Width of the names"
      aria-valuenow={width}
      aria-valuemin={LEAST_NAMES_PX}
      aria-valuemax={most}
      title="Drag to widen; double click for the usual width"
      className="names-handle"
      style={{ left: width - 4 }}
      // oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex
      tabIndex={0}
      onKeyDown={onKey}
      onPointerDown={onDown}
      onPointerMove={onMove}
      onDoubleClick={() => chooseNamesWidth(null)}
    />
  )
}
