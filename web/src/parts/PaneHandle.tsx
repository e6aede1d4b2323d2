/** The edge of the details. */
import { choosePaneWidth, paneStore } from '../app/preferences'
import { useStore } from '../app/store'
import { Splitter } from './Splitter'

export const PANE_PX = 336
export const LEAST_PANE_PX = 280
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

export function PaneHandle() {
  return (
    <Splitter
      label="Width of the details"
      className="pane-handle"
      width={usePaneWidth()}
      least={LEAST_PANE_PX}
      most={mostWidth()}
      from="right"
      stepPx={24}
      onChoose={choosePaneWidth}
    />
  )
}
