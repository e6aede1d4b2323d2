/** What every tab of the trace page is given. */
import type { UsualValues } from '../../model/explanation'
import type { TraceModel } from '../../model/trace'

export interface TabProps {
  traceId: string
  model: TraceModel
  colours: Uint8Array
  usual: UsualValues
  selected: number
  /** Selects a span and opens its details. */
  onSelect: (node: number) => void
}
