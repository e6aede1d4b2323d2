/** The services of the trace from left to right in the direction of calls, and the same calls as a table. */
import { useMemo } from 'react'
import { exactDuration, formatCount, formatDuration, plural, shortenedName } from '../../model/format'
import { serviceCalls, type ServiceCall, type ServiceNode } from '../../model/merged'
import { Breakable } from '../Names'
import { ServiceChip } from '../ServiceChip'
import type { TabProps } from './types'

const MOST_NODES = 60
const BOX = { width: 168, height: 44, gapX: 96, gapY: 16 } as const

interface Placed extends ServiceNode {
  x: number
  y: number
}

/** Columns by steps from where the trace begins; those with most self time on top. */
function place(services: readonly ServiceNode[]): Placed[] {
  const rows = new Map<number, number>()
  return services
    .toSorted((a, b) => b.self - a.self)
    .slice(0, MOST_NODES)
    .map((service) => {
      const row = rows.get(service.level) ?? 0
      rows.set(service.level, row + 1)
      return {
        ...service,
        x: 8 + service.level * (BOX.width + BOX.gapX),
        y: 8 + row * (BOX.height + BOX.gapY),
      }
    })
}

export default function ServicesTab({ model, colours, onSelect }: TabProps) {
  const { services, calls } = useMemo(() => serviceCalls(model), [model])
  const placed = useMemo(() => place(services), [services])
  const nameOf = (service: number) => shortenedName(model.skeleton.services[service] || 'no service', 80)
  return (
    <section className="tab-body" aria-label="Services">
      {placed.length < services.length ? (
        <p className="tab-note">
          The {MOST_NODES} of {plural(services.length, 'service')} with most self time are drawn.
        </p>
      ) : null}
      <Graph placed={placed} calls={calls} colours={colours} nameOf={nameOf} />
      {calls.length > 0 ? (
        <table className="facts" aria-label="Calls between services">
          <thead>
            <tr>
              <th scope="col">Caller</th>
              <th scope="col">Called</th>
              <th scope="col" className="number">
                Calls
              </th>
              <th scope="col" className="number">
                Failed
              </th>
              <th scope="col" className="number">
                Total
              </th>
            </tr>
          </thead>
          <tbody>
            {calls.map((call) => (
              <tr key={`${call.from} ${call.to}`}>
                <td>
                  <ServiceChip colour={colours[call.from] ?? 0} /> <Breakable text={nameOf(call.from)} />
                </td>
                <td>
                  <button type="button" className="panel-step" onClick={() => onSelect(call.first)}>
                    <ServiceChip colour={colours[call.to] ?? 0} />
                    <Breakable text={nameOf(call.to)} />
                  </button>
                </td>
                <td className="number">{formatCount(call.calls)}</td>
                <td className="number">
                  {call.failed === 0 ? (
                    <span className="muted">0</span>
                  ) : (
                    <span className="error-type">{formatCount(call.failed)}</span>
                  )}
                </td>
                <td className="number" title={exactDuration(call.total)}>
                  {formatDuration(call.total)}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      ) : (
        <p className="tab-note">No call from one service to another.</p>
      )}
    </section>
  )
}

function Graph({
  placed,
  calls,
  colours,
  nameOf,
}: {
  placed: readonly Placed[]
  calls: readonly ServiceCall[]
  colours: Uint8Array
  nameOf: (service: number) => string
}) {
  const at = new Map(placed.map((one) => [one.service, one]))
  const width = Math.max(...placed.map((one) => one.x + BOX.width), 0) + 8
  const height = Math.max(...placed.map((one) => one.y + BOX.height), 0) + 8
  return (
    // The table below says the same in words.
    <div className="service-graph" aria-hidden="true">
      <svg width={width} height={height}>
        {calls.map((call) => {
          const from = at.get(call.from)
          const to = at.get(call.to)
          if (from === undefined || to === undefined) return null
          const forward = to.x > from.x
          const x1 = forward ? from.x + BOX.width : from.x
          const x2 = forward ? to.x : to.x + BOX.width
          const y1 = from.y + BOX.height / 2
          const y2 = to.y + BOX.height / 2
          const middle = (x1 + x2) / 2
          return (
            <g key={`${call.from} ${call.to}`} className={call.failed > 0 ? 'edge edge-failed' : 'edge'}>
              <path d={`M${x1} ${y1}C${middle} ${y1} ${middle} ${y2} ${x2} ${y2}`} />
              <text x={middle} y={(y1 + y2) / 2 - 5} textAnchor="middle">
                {formatCount(call.calls)}
              </text>
            </g>
          )
        })}
        {placed.map((one) => (
          <g key={one.service} transform={`translate(${one.x} ${one.y})`}>
            <rect
              className={one.failed > 0 ? 'node node-failed' : 'node'}
              width={BOX.width}
              height={BOX.height}
              rx="6"
            />
            <rect
              x="10"
              y="12"
              width="8"
              height="8"
              rx="2"
              style={{ fill: `var(--service-${(colours[one.service] ?? 0) || 'other'})` }}
            />
            <text className="node-name" x="24" y="20">
              {shortenedName(nameOf(one.service), 15)}
            </text>
            <text className="node-facts" x="10" y="36">
              {formatCount(one.spans)} · self {formatDuration(one.self)}
              {one.failed > 0 ? ` · ✖ ${formatCount(one.failed)}` : ''}
            </text>
          </g>
        ))}
      </svg>
    </div>
  )
}
