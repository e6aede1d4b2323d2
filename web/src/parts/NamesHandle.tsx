/** The right edge of the names of the rows. */
import { chooseNamesWidth } from '../app/preferences'
import { LEAST_CHART_PX, LEAST_NAMES_PX } from '../canvas/layout'
import { Splitter } from './Splitter'

interface Props {
  /** The width now, and the width that names and bars share. */
  width: number
  whole: number
}

export function NamesHandle({ width, whole }: Props) {
  return (
    <Splitter
      label="Width of the names"
      className="names-handle"
      style={{ left: width - 4 }}
      width={width}
      least={LEAST_NAMES_PX}
      most={Math.max(LEAST_NAMES_PX, whole - LEAST_CHART_PX)}
      from="left"
      stepPx={16}
      onChoose={chooseNamesWidth}
    />
  )
}
