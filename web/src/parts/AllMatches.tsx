/** All matches at a glance, above the list: what stands out, how many there are, when and how long, as a heatmap or as a table. */
import { useMemo } from 'react'
import type { Points, Summary, Version } from '../api/types'
import type { Ahead } from '../app/matches'
import { zoneStore } from '../app/preferences'
import { useStore } from '../app/store'
import type { SearchState } from '../app/url'
import { formatCount, formatDuration, formatPercent, formatTime, plural } from '../model/format'
import { boxOf, columnSum, heatOf, selectionOf, withRoom, type Heat, type Selection } from '../model/heat'
import { reasonIn } from '../model/moments'
import { placed, versionMarks } from '../model/points'
import { AheadNotice } from './AheadNotice'
import { Findings } from './Findings'
import { HeatView } from './HeatView'
import { FailedMark, Icon } from './icons'
import { Segments } from './Segments'
import { Counting } from './SlowNotice'

interface Props {
  /** Undefined while it is being counted. */
  summary: Summary | undefined
  ahead: Ahead | null
  /** Why there is none; null while there is no reason. */
  problem: Error | null
  /** Whether it belongs to the query before this one. */
  isOld: boolean
  isCounting: boolean
  /** Whether the reader did not wait for it. */
  isStopped: boolean
  /** Whether it says how many of the selection there are. */
  isSelectionCounted: boolean
  state: SearchState
  /** Undefined while they are fetched, or where they are not asked for: then cells are shown. */
  points: Points | undefined
  /** Why there are no points; null while there is no reason. */
  pointsProblem: Error | null
  versions: readonly Version[]
  onSelect: (selection: Selection | null) => void
  onZoom: () => void
  onView: (view: SearchState['view']) => void
  onRetry: () => void
  onFacets: () => void
  onTrace: (traceId: string) => void
  onQuery: (q: string) => void
}

export function AllMatches({
  summary,
  ahead,
  problem,
  isOld,
  isCounting,
  isStopped,
  isSelectionCounted,
  state,
  points,
  pointsProblem,
  versions,
  ...on
}: Props) {
  const { onView, onFacets } = on
  const heat = useMemo(() => (summary ? heatOf(withRoom(summary.heatmap)) : null), [summary])
  const isTable = state.view === 'table'
  const single = useMemo(
    () => (state.view === 'points' && points && heat ? placed(points, heat) : null),
    [state.view, points, heat],
  )
  const marks = useMemo(
    () => (heat ? versionMarks(versions, heat, servicesOf(summary, state.q)) : []),
    [versions, heat, summary, state.q],
  )
  return (
    <section
      className={isOld ? 'all-matches dimmed' : 'all-matches'}
      aria-label="All matches"
      aria-busy={isCounting || (summary === undefined && problem === null && !isStopped)}
    >
      <Findings findings={summary?.findings ?? []} onShow={on.onQuery} />
      <div className="counts">
        {summary === undefined ? null : <Counts summary={summary} />}
        {isCounting ? <Counting queryKey={['summary']} /> : null}
        {isStopped ? (
          <span className="counts-waiting">
            {summary === undefined ? 'Not counted' : 'Not counted for this query'}
            <button type="button" className="button button-small" onClick={on.onRetry}>
              Count again
            </button>
          </span>
        ) : null}
        <span className="counts-end">
          {state.view === 'points' && pointsProblem !== null ? (
            <span className="points-legend">No single traces: {pointsProblem.message}</span>
          ) : isTable ? null : single === null ? (
            <HeatLegend heat={heat} />
          ) : (
            <PointsLegend points={points!} summary={summary} />
          )}
          {isTable ? null : (
            <Segments
              label="Matches as"
              value={state.view === 'points' ? 'points' : 'heat'}
              options={[
                { value: 'heat', label: 'Heat' },
                { value: 'points', label: 'Points' },
              ]}
              onChange={onView}
            />
          )}
          <button type="button" className="button facets-button" onClick={onFacets}>
            Facets
          </button>
          <button
            type="button"
            className="link-button"
            disabled={summary === undefined}
            onClick={() => onView(isTable ? 'heat' : 'table')}
          >
            {isTable ? 'Show as heatmap' : 'Show as table'}
          </button>
        </span>
      </div>
      {problem === null && ahead !== null && !isOld ? <AheadNotice ahead={ahead} state={state} /> : null}
      {problem === null ? null : (
        <div className="heat heat-problem">
          <p>The matches could not be counted: {problem.message}</p>
          <button type="button" className="button" onClick={on.onRetry}>
            Count again
          </button>
        </div>
      )}
      {problem !== null || (heat !== null && heat.columns > 0) ? null : (
        <div className="heat" aria-hidden="true" />
      )}
      {problem === null && summary && heat && heat.columns > 0 ? (
        isTable ? (
          <HeatTable heat={heat} selection={state.sel} onSelect={on.onSelect} />
        ) : (
          <HeatView
            heat={heat}
            points={single}
            marks={marks}
            selection={state.sel}
            selected={isSelectionCounted ? summary.selected : null}
            summary={[inWords(summary), ...marks.map(({ label }) => `new version: ${label}`)].join('; ')}
            onSelect={on.onSelect}
            onZoom={on.onZoom}
            onPoint={on.onTrace}
          />
        )
      ) : null}
    </section>
  )
}

function Counts({ summary }: { summary: Summary }) {
  const { matched, failed, estimated, p50_ns, p95_ns, p99_ns, complete, reason } = summary
  const zone = useStore(zoneStore)
  return (
    <p className="counts-line">
      <strong>{plural(matched, 'trace')}</strong>
      {failed === 0 ? (
        <span className="muted">none failed</span>
      ) : (
        <span className="failed">
          <FailedMark />
          {formatCount(failed)} failed · {formatPercent(failed / matched)}
        </span>
      )}
      {estimated === null ? null : (
        <span className="muted" title="The traces say with which probability they were sampled">
          estimated {plural(estimated.matched, 'trace')}, {formatCount(estimated.failed)} failed
        </span>
      )}
      <span className="counts-lengths">
        {[
          ['p50', p50_ns],
          ['p95', p95_ns],
          ['p99', p99_ns],
        ].map(([name, value]) =>
          value === null || value === undefined ? null : (
            <span key={name}>
              {name} {formatDuration(Number(value))}
            </span>
          ),
        )}
      </span>
      {complete ? null : (
        <span className="counts-partial">
          <Icon name="warning" size={14} />
          {reason === null ? 'Not all were counted' : reasonIn(zone, reason)}
        </span>
      )}
    </p>
  )
}

function inWords({ matched, failed, p50_ns, p99_ns }: Summary): string {
  const lengths =
    p50_ns === null || p99_ns === null
      ? ''
      : `; half of them under ${formatDuration(Number(p50_ns))}, 99 percent under ${formatDuration(Number(p99_ns))}`
  return `Traces by start and duration: ${plural(matched, 'trace')}, ${formatCount(failed)} failed${lengths}`
}

/** Services that the matches have, where they are few; null: all of them. */
function servicesOf(summary: Summary | undefined, q: string): readonly string[] | null {
  const facet = summary?.facets.find(({ key }) => key === 'service')
  return q === '' || facet === undefined || facet.other > 0 ? null : facet.values.map(({ value }) => value)
}

function PointsLegend({ points, summary }: { points: Points; summary: Summary | undefined }) {
  const shown = points.trace_id.length
  return (
    <span className="points-legend muted">
      {points.complete || summary === undefined
        ? `${plural(shown, 'trace')}, a point each`
        : `${formatCount(shown)} of ${plural(summary.matched, 'trace')}, failed ones first`}
    </span>
  )
}

function HeatLegend({ heat }: { heat: Heat | null }) {
  if (heat === null || heat.most === 0) return null
  return (
    <span className="heat-legend muted" aria-hidden="true">
      1
      <span className="heat-ramp">
        {[1, 2, 3, 4, 5, 6, 7, 8].map((step) => (
          <span key={step} style={{ background: `var(--heat-${step})` }} />
        ))}
      </span>
      {formatCount(heat.most)} a cell
      <span className="heat-failed" />
      mostly failed
    </span>
  )
}

/** The same by time, for those who do not see the heatmap. */
function HeatTable({
  heat,
  selection,
  onSelect,
}: {
  heat: Heat
  selection: Selection | null
  onSelect: (selection: Selection) => void
}) {
  const zone = useStore(zoneStore)
  const box = selection && boxOf(heat, selection)
  const columns = Array.from({ length: heat.columns }, (_, x) => x).filter(
    (x) => columnSum(heat, x).count > 0,
  )
  return (
    // It scrolls, so the keys must reach it.
    // oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex
    <div className="heat heat-table" role="region" aria-label="All matches by time" tabIndex={0}>
      <table>
        <thead>
          <tr>
            <th scope="col">From</th>
            <th scope="col">Traces</th>
            <th scope="col">Failed</th>
            <th scope="col">Shortest</th>
            <th scope="col">Longest under</th>
            <th scope="col">
              <span className="unseen">Selection</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {columns.map((x) => {
            const { count, failed } = columnSum(heat, x)
            const rows = Array.from({ length: heat.rows }, (_, y) => y).filter(
              (y) => heat.count[x * heat.rows + y]! > 0,
            )
            const whole = selectionOf(heat, { x0: x, x1: x, y0: rows[0]!, y1: rows.at(-1)! })
            const start = formatTime(whole.t0, zone).replace(/\.000$/, '')
            const isSelected = box !== null && x >= box.x0 && x <= box.x1
            return (
              <tr key={x} className={isSelected ? 'selected' : undefined}>
                <th scope="row" className="mono">
                  {start}
                </th>
                <td>{formatCount(count)}</td>
                <td className={failed > 0 ? 'failed' : undefined}>{formatCount(failed)}</td>
                <td>{formatDuration(Number(whole.d0))}</td>
                <td>{formatDuration(Number(whole.d1))}</td>
                <td>
                  <button
                    type="button"
                    className="link-button"
                    aria-pressed={isSelected}
                    onClick={() => onSelect(whole)}
                  >
                    Select<span className="unseen"> {start}</span>
                  </button>
                </td>
              </tr>
            )
          })}
        </tbody>
      </table>
    </div>
  )
}
