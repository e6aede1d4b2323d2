/** The edge of a column: drag it, or move it with the arrow keys. A double click takes it back to the usual width. */
import type { CSSProperties, KeyboardEvent, PointerEvent } from 'react'

interface Props {
  label: string
  className: string
  style?: CSSProperties
  /** Of the column in pixels: now, and between which it may be chosen. */
  width: number
  least: number
  most: number
  /** The side of the edge's parent at which the column begins. */
  from: 'left' | 'right'
  stepPx: number
  /** Null is the usual width. */
  onChoose: (width: number | null) => void
}

function onDown(event: PointerEvent<HTMLDivElement>): void {
  event.preventDefault()
  event.currentTarget.setPointerCapture(event.pointerId)
}

export function Splitter({ label, className, style, width, least, most, from, stepPx, onChoose }: Props) {
  const choose = (wanted: number) => onChoose(Math.min(most, Math.max(least, wanted)))
  const onKey = (event: KeyboardEvent) => {
    const wider = from === 'left' ? 'ArrowRight' : 'ArrowLeft'
    if (event.key === wider) choose(width + stepPx)
    else if (event.key === 'ArrowLeft' || event.key === 'ArrowRight') choose(width - stepPx)
    else if (event.key === 'Home') choose(least)
    else if (event.key === 'End') choose(most)
    else return
    event.preventDefault()
    event.stopPropagation()
  }
  const onMove = (event: PointerEvent<HTMLDivElement>) => {
    if (!event.currentTarget.hasPointerCapture(event.pointerId)) return
    const box = event.currentTarget.parentElement?.getBoundingClientRect()
    if (box) choose(from === 'left' ? event.clientX - box.left : box.right - event.clientX)
  }
  return (
    // A window splitter is a separator that takes the focus.
    // oxlint-disable-next-line jsx-a11y/no-noninteractive-element-interactions
    <div
      role="separator"
      aria-orientation="vertical"
      aria-label={label}
      aria-valuenow={width}
      aria-valuemin={least}
      aria-valuemax={most}
      title="Drag to widen; double click for the usual width"
      className={className}
      style={style}
      // oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex
      tabIndex={0}
      onKeyDown={onKey}
      onPointerDown={onDown}
      onPointerMove={onMove}
      onDoubleClick={() => onChoose(null)}
    />
  )
}
