/** What is shown of the trace, in one line: the tabs, which rows, their colours, levels and groups, zoom, and the legend. */
import type { ColourBy, Only, TraceTab } from '../app/url'
import { formatCount } from '../model/format'
import type { TraceModel } from '../model/trace'
import { ColourChoice } from './ColourChoice'
import { IconButton } from './IconButton'
import { FailedMark } from './icons'
import { Menu } from './Menu'
import { OriginStepper } from './OriginStepper'
import { Segments } from './Segments'
import { Select } from './Select'

interface Props {
  model: TraceModel
  only: Only
  onOnly: (only: Only) => void
  /** Spans on the critical path; null where the server does not say. */
  criticalCount: number | null
  tab: TraceTab
  onTab: (tab: TraceTab) => void
  /** Whether clocks are aligned; null where they agree. */
  clock: '' | 'aligned' | null
  onClock: () => void
  /** How many first failures there are, and which is selected (-1 for none); null where the panels say it. */
  origins: { at: number; count: number } | null
  onOrigin: (by: 1 | -1) => void
  onZoom: (factor: number) => void
  onFit: () => void
  isZoomed: boolean
  onPan: (share: number) => void
  /** Null while no span is selected. */
  onZoomToSpan: (() => void) | null
  onFocusBelow: (() => void) | null
  isBelow: boolean
  /** The deepest level that is shown, infinite for all, 0 where rows were opened and closed one by one. */
  level: number
  onLevel: (level: number | null) => void
  onExpand: () => void
  onCollapse: () => void
  /** Whether equal siblings are one row; null where there are none. */
  groups: boolean | null
  onGroups: () => void
  /** Percent of the trace below which spans are no rows. */
  min: number
  onMin: (percent: number) => void
  colour: ColourBy
  onColour: (by: ColourBy) => void
}

const SHARES = [0, 0.1, 1, 5, 10]
export function TraceToolbar(props: Props) {
  const { tab, onTab } = props
  return (
    <div className="toolbar trace-toolbar">
      <Segments
        label="Shown as"
        value={tab}
        options={[
          { value: '', label: 'Waterfall' },
          { value: 'flame', label: 'Flame' },
          { value: 'stats', label: 'Statistics' },
          { value: 'events', label: 'Events' },
          { value: 'services', label: 'Services' },
        ]}
        onChange={onTab}
      />
      {tab === '' ? <RowTools {...props} /> : null}
    </div>
  )
}

/** What changes the rows of the waterfall: what is chosen often at once, the rest below *View*. */
function RowTools(props: Props) {
  const { model, only, onOnly, criticalCount, origins, onOrigin, clock, onClock, min, onMin } = props
  const { colour, onColour, onZoom, onFit, isZoomed } = props
  return (
    <>
      <Segments
        label="Spans shown"
        value={only}
        options={[
          { value: '', label: `All ${formatCount(model.skeleton.total)}` },
          ...(criticalCount === null
            ? []
            : [{ value: 'crit' as const, label: `Critical ${formatCount(criticalCount)}` }]),
          { value: 'err', label: `Failed ${formatCount(model.failedCount)}` },
        ]}
        onChange={onOnly}
      />
      <span className="row-choices">
        <Select
          label="Hide short spans"
          value={String(min)}
          options={(SHARES.includes(min) ? SHARES : [...SHARES, min].toSorted((a, b) => a - b)).map(
            (share) => ({
              value: String(share),
              label: share === 0 ? 'All lengths' : `Hide < ${share} %`,
            }),
          )}
          onChange={(value) => onMin(Number(value))}
        />
        <ColourChoice colour={colour} onColour={onColour} />
      </span>
      {clock !== null ? (
        <button
          type="button"
          className="button"
          aria-pressed={clock === 'aligned'}
          title="Clocks of some hosts disagree. Move their spans so that each lies within its caller; every moved row says by how much."
          onClick={onClock}
        >
          Align clocks
        </button>
      ) : null}
      <Menu label="View" title="Levels, groups and time">
        <ViewMenu {...props} />
      </Menu>
      {origins !== null && origins.count > 0 ? (
        <OriginStepper onStep={onOrigin}>
          <FailedMark />
          <span>
            {origins.at >= 0 ? `${origins.at + 1} of ${origins.count}` : `${origins.count} failed first`}
          </span>
        </OriginStepper>
      ) : null}
      <div role="group" aria-label="Zoom" className="stepper zoom">
        <IconButton
          icon="minus"
          label="Zoom out"
          title="Zoom out (-)"
          onClick={() => onZoom(2)}
          disabled={!isZoomed}
        />
        <IconButton icon="plus" label="Zoom in" title="Zoom in (+)" onClick={() => onZoom(0.5)} />
        {isZoomed ? (
          <button type="button" className="button button-small" title="Whole trace (0)" onClick={onFit}>
            Whole trace
          </button>
        ) : null}
      </div>
      <Legend hasThread={criticalCount !== null} hasFailed={model.failedCount > 0} />
    </>
  )
}

/** What is changed now and then: how deep the tree is shown, groups, the part of it and of its time. */
function ViewMenu(props: Props) {
  const { model, level, onLevel, onExpand, onCollapse, groups, onGroups } = props
  const { isZoomed, onPan, onZoomToSpan, onFocusBelow, isBelow } = props
  return (
    <>
      <div role="group" aria-label="Levels" className="menu-row">
        <button type="button" className="button button-small" title="Expand all (*)" onClick={onExpand}>
          Expand all
        </button>
        <button type="button" className="button button-small" title="Collapse all (1)" onClick={onCollapse}>
          Collapse all
        </button>
        {model.maxDepth > 0 ? (
          <select
            aria-label="Levels shown"
            title="Expand to a level (1 to 9)"
            className="level-select"
            value={Number.isFinite(level) ? level : ''}
            onChange={(event) => onLevel(event.target.value === '' ? null : Number(event.target.value))}
          >
            {level === 0 ? <option value={0}>some levels</option> : null}
            <option value="">all levels</option>
            {Array.from({ length: Math.min(9, model.maxDepth) }, (_, at) => (
              <option key={at} value={at + 1}>
                {at === 0 ? '1 level' : `${at + 1} levels`}
              </option>
            ))}
          </select>
        ) : null}
      </div>
      <div role="group" aria-label="Rows" className="menu-row">
        {groups !== null ? (
          <button
            type="button"
            className="button button-small"
            aria-pressed={groups}
            title="Equal siblings as one row (g)"
            onClick={onGroups}
          >
            Group equal
          </button>
        ) : null}
        <button
          type="button"
          className="button button-small"
          aria-pressed={isBelow}
          title="Only the selected span and those below it (Shift+Z)"
          disabled={onFocusBelow === null}
          onClick={() => onFocusBelow?.()}
        >
          Only below
        </button>
      </div>
      <div role="group" aria-label="Time" className="menu-row">
        <button
          type="button"
          className="button button-small"
          title="Zoom to the selected span (z)"
          disabled={onZoomToSpan === null}
          onClick={() => onZoomToSpan?.()}
        >
          To span
        </button>
        <button
          type="button"
          className="button button-small"
          title="Earlier part (a)"
          disabled={!isZoomed}
          onClick={() => onPan(-0.25)}
        >
          Earlier
        </button>
        <button
          type="button"
          className="button button-small"
          title="Later part (d)"
          disabled={!isZoomed}
          onClick={() => onPan(0.25)}
        >
          Later
        </button>
      </div>
    </>
  )
}

/** How bars are drawn; what does not fit into the line is left out. */
function Legend({ hasThread, hasFailed }: { hasThread: boolean; hasFailed: boolean }) {
  return (
    <ul className="legend legend-bars" aria-label="Legend">
      <li>
        <span className="sample sample-self" />
        self
      </li>
      <li title="The span waits for spans below it">
        <span className="sample sample-waiting" />
        waiting
      </li>
      {hasThread ? (
        <li>
          <span className="sample sample-thread" />
          critical path
        </li>
      ) : null}
      {hasFailed ? (
        <li>
          <span className="sample sample-failed" />
          failed here
        </li>
      ) : null}
    </ul>
  )
}
