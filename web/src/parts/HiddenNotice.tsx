/** Says how many spans are hidden, by their length or by where they are, and shows them again. */
import { formatCount, formatDuration, plural, shortenedName } from '../model/format'
import type { TraceModel } from '../model/trace'
import { Icon } from './icons'

interface Props {
  model: TraceModel
  /** One byte a node, 0 for those that are hidden. */
  kept: Uint8Array
  percent: number
  onShow: () => void
}

export function HiddenNotice({ model, kept, percent, onShow }: Props) {
  let hidden = 0
  for (let node = 0; node < model.count; node++) if (kept[node] === 0 && !model.isPlaceholder(node)) hidden++
  return (
    <p className="hidden-rows" role="status">
      <Icon name="warning" size={14} />
      <span>
        Shorter than {percent} % ({formatDuration((percent / 100) * model.length)}):{' '}
        {hidden === 1 ? '1 span' : plural(hidden, 'span')} of {formatCount(model.skeleton.total)} hidden, none
        that failed
      </span>
      <button type="button" className="link-button" onClick={onShow}>
        show
      </button>
    </p>
  )
}

const MOST_NAME = 80

/** Says below which span the rows are. */
export function BelowNotice({
  model,
  node,
  onShow,
}: {
  model: TraceModel
  node: number
  onShow: () => void
}) {
  const below = model.subtreeSize[node]! - 1
  return (
    <p className="hidden-rows" role="status">
      <Icon name="warning" size={14} />
      <span>
        Only {shortenedName(model.serviceLabel(node), MOST_NAME)} ·{' '}
        {shortenedName(model.spanLabel(node), MOST_NAME)} and the {plural(below, 'span')} below it
      </span>
      <button type="button" className="link-button" onClick={onShow}>
        show all {formatCount(model.skeleton.total)}
      </button>
    </p>
  )
}
