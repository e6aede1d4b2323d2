/** The traces of a search, one a row. */
import { useLocation, Link } from 'wouter'
import type { TraceSummary } from '../api/types'
import { zoneStore } from '../app/preferences'
import { useStore } from '../app/store'
import {
  exactDuration,
  formatCount,
  formatDuration,
  formatTime,
  isoTime,
  plural,
  zoneName,
} from '../model/format'
import { FailedMark, Icon } from './icons'

export function ResultTable({ traces }: { traces: readonly TraceSummary[] }) {
  const zone = useStore(zoneStore)
  const longest = traces.reduce((most, trace) => Math.max(most, Number(trace.duration_ns)), 1)
  return (
    <table className="results" aria-label="Traces">
      <thead>
        <tr>
          <th scope="col" className="col-started" aria-sort="descending">
            Started
            <Icon name="down" size={12} />
            <span className="unseen">, newest first, {zoneName(zone)}</span>
          </th>
          <th scope="col" className="col-root">
            Root operation
          </th>
          <th scope="col" className="col-duration">
            Duration
          </th>
          <th scope="col" className="col-failed">
            Failed
          </th>
          <th scope="col" className="col-number">
            Spans
          </th>
          <th scope="col" className="col-services">
            Services
          </th>
        </tr>
      </thead>
      <tbody>
        {traces.map((trace) => (
          <ResultRow key={trace.trace_id} trace={trace} longest={longest} />
        ))}
      </tbody>
    </table>
  )
}

function ResultRow({ trace, longest }: { trace: TraceSummary; longest: number }) {
  const zone = useStore(zoneStore)
  const [, navigate] = useLocation()
  const path = `/trace/${trace.trace_id}`
  const duration = Number(trace.duration_ns)
  return (
    // The link inside the row is what keys and screen readers use; a click anywhere is a convenience of the mouse.
    // oxlint-disable-next-line jsx-a11y/click-events-have-key-events
    <tr
      onClick={(event) => {
        if (event.target instanceof Element && event.target.closest('a')) return
        if (getSelection()?.isCollapsed === false) return
        if (event.ctrlKey || event.metaKey) window.open(new URL(path.slice(1), document.baseURI), '_blank')
        else navigate(path)
      }}
    >
      <td className="col-started mono" title={isoTime(trace.start_unix_nano)}>
        {formatTime(trace.start_unix_nano, zone)}
      </td>
      <td className="col-root">
        <Link href={path}>
          <b>{trace.root_name || 'no name'}</b>{' '}
          <span className="muted">{trace.root_service || 'no service'}</span>
        </Link>
        {trace.has_root ? null : (
          <span className="badge" title="The root span was not received; this is the earliest span">
            no root
          </span>
        )}
      </td>
      <td className="col-duration" title={exactDuration(duration)}>
        <span className="duration">
          <span>{formatDuration(duration)}</span>
          <svg className="bar" aria-hidden="true" preserveAspectRatio="none" viewBox="0 0 100 8">
            <rect width={Math.max(1, (duration / longest) * 100)} height="8" />
          </svg>
        </span>
      </td>
      <td className="col-failed">
        {trace.errors > 0 ? (
          <span className="failed">
            <FailedMark />
            {plural(trace.errors, 'span')} failed
          </span>
        ) : (
          <span className="muted ok">
            <Icon name="check" size={14} />
            no span failed
          </span>
        )}
      </td>
      <td className="col-number">{formatCount(trace.spans)}</td>
      <td className="col-services" title={trace.services.join(', ')}>
        {formatCount(trace.services.length)}
      </td>
    </tr>
  )
}
