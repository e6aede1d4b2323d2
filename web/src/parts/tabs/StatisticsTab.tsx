/** Operations of the trace with what they took, as a table. */
import { useMemo, useState } from 'react'
import { exactDuration, formatCount, formatDuration, formatPercent, shortenedName } from '../../model/format'
import { operationRows, type OperationRow } from '../../model/merged'
import { Breakable } from '../Names'
import { ServiceChip } from '../ServiceChip'
import type { TabProps } from './types'

const FIRST_ROWS = 200
const COLUMNS = [
  { key: 'spans', title: 'Calls' },
  { key: 'failed', title: 'Failed' },
  { key: 'self', title: 'Self' },
  { key: 'total', title: 'Total' },
  { key: 'longest', title: 'Longest' },
] as const
type Key = (typeof COLUMNS)[number]['key']

export default function StatisticsTab({ model, colours, usual, onSelect }: TabProps) {
  const [sort, setSort] = useState<Key>('self')
  const [isAll, setAll] = useState(false)
  const rows = useMemo(() => operationRows(model), [model])
  const sorted = useMemo(() => rows.toSorted((a, b) => b[sort] - a[sort]), [rows, sort])
  const whole = rows.reduce((sum, row) => sum + row.self, 0) || 1
  const shown = isAll ? sorted : sorted.slice(0, FIRST_ROWS)
  const cell = (row: OperationRow, key: Key) =>
    key === 'spans' || key === 'failed' ? (
      row[key] === 0 ? (
        <span className="muted">0</span>
      ) : (
        <span className={key === 'failed' ? 'error-type' : undefined}>{formatCount(row[key])}</span>
      )
    ) : (
      <span title={exactDuration(row[key])}>{formatDuration(row[key])}</span>
    )
  return (
    <section className="tab-body" aria-label="Statistics">
      <table className="facts" aria-label="Operations">
        <thead>
          <tr>
            <th scope="col">Operation</th>
            {COLUMNS.map(({ key, title }) => (
              <th
                key={key}
                scope="col"
                className="number"
                aria-sort={sort === key ? 'descending' : undefined}
              >
                <button type="button" className="sort" onClick={() => setSort(key)}>
                  {title}
                  {sort === key ? ' ↓' : ''}
                </button>
              </th>
            ))}
            <th scope="col">Share of self time</th>
            <th scope="col" className="number">
              Usually one
            </th>
          </tr>
        </thead>
        <tbody>
          {shown.map((row) => {
            const known = usual.of(model.serviceName(row.first), model.spanName(row.first))
            return (
              <tr key={row.first}>
                <td>
                  <button type="button" className="panel-step" onClick={() => onSelect(row.first)}>
                    <ServiceChip colour={colours[row.service] ?? 0} />
                    <span>
                      <b>
                        <Breakable text={shortenedName(model.serviceLabel(row.first), 80)} />
                      </b>{' '}
                      <Breakable text={shortenedName(model.spanLabel(row.first), 120)} />
                    </span>
                  </button>
                </td>
                {COLUMNS.map(({ key }) => (
                  <td key={key} className="number">
                    {cell(row, key)}
                  </td>
                ))}
                <td>
                  <span className="share">
                    <span className="share-track" aria-hidden="true">
                      <span style={{ width: `${(row.self / whole) * 100}%` }} />
                    </span>
                    {formatPercent(row.self / whole)}
                  </span>
                </td>
                <td className="number muted">{known === null ? '–' : formatDuration(known.p50)}</td>
              </tr>
            )
          })}
        </tbody>
      </table>
      {sorted.length > shown.length ? (
        <button type="button" className="button" onClick={() => setAll(true)}>
          Show all {formatCount(sorted.length)}
        </button>
      ) : null}
    </section>
  )
}
