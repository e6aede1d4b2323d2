/** *Why it was slow*: the shares of the critical path, each with what was found about it and its usual length. */
import { useState } from 'react'
import type { Explanation, Finding, Share } from '../api/types'
import {
  exactDuration,
  formatCount,
  formatDuration,
  formatPercent,
  shortened,
  shortenedName,
} from '../model/format'
import { isSlow, timeRows, unseenNotes, type TimeRow } from '../model/explanation'
import type { TraceModel } from '../model/trace'
import { Breakable, CutName } from './Names'
import { ServiceChip } from './ServiceChip'

const FIRST_ROWS = 3
const MOST_NAME = 120
const MOST_TEXT = 400
const SERVICES_IN_LINE = 4

interface Props {
  explanation: Explanation
  model: TraceModel
  colours: Uint8Array
  onSpans: (spanIds: readonly string[]) => void
  /** One step along the critical path. */
  onStep: (by: 1 | -1) => void
  /** Whether there is room for one line. */
  isInLine: boolean
  onOpen: () => void
}

export function SlownessPanel(props: Props) {
  const { explanation, model, colours, onSpans, onStep, isInLine, onOpen } = props
  const [isOpen, setOpen] = useState(false)
  const { rows, others } = timeRows(explanation, model)
  const colourOf = colourByOwner(model, colours)
  const slow = isSlow(explanation)
  const hasFindings = others.length > 0 || rows.some((row) => row.findings.length > 0)
  const notes = unseenNotes(explanation)
  if (!slow && !hasFindings && !isOpen) {
    return (
      <section
        className={isInLine ? 'panel panel-line panel-kept' : 'panel panel-line'}
        aria-label="Why it was slow"
      >
        <h2>{headline(explanation)}</h2>
        {comparison(explanation) === '' ? null : <p className="muted">{comparison(explanation)}</p>}
        <ShareBar shares={explanation.shares} colourOf={colourOf} />
        <Uncertain explanation={explanation} />
        <ul className="panel-owners">
          {owners(explanation.shares)
            .slice(0, SERVICES_IN_LINE)
            .map(({ owner, share, spanIds }) => (
              <li key={owner}>
                <ServiceChip colour={colourOf(owner)} />
                <b>{formatPercent(share)}</b>
                <button type="button" className="panel-step" onClick={() => onSpans(spanIds)}>
                  {shortenedName(owner || 'no service', MOST_NAME)}
                </button>
              </li>
            ))}
        </ul>
        {rows.length > 0 ? (
          <button
            type="button"
            className="link-button"
            onClick={() => {
              setOpen(true)
              onOpen()
            }}
          >
            all {formatCount(rows.length)}
          </button>
        ) : null}
        <Notes notes={notes} />
      </section>
    )
  }
  if (isInLine) {
    const [most] = withFindings(rows, 0)
    const row = most ?? rows[0]
    return (
      <section className="panel panel-line panel-kept" aria-label="Why it was slow">
        <h2>{headline(explanation)}</h2>
        <p className="panel-one">
          {row === undefined ? null : (
            <>
              <ServiceChip colour={colourOf(row.share.owner)} /> <b>{formatPercent(row.share.share)}</b>{' '}
              <ShareName share={row.share} onSpans={onSpans} isOneLine />
            </>
          )}
          {(row?.findings.length ? row.findings : others).map((finding) => (
            <FindingText key={`${finding.kind} ${finding.text}`} finding={finding} onSpans={onSpans} />
          ))}
        </p>
        <Uncertain explanation={explanation} />
        <button type="button" className="link-button" onClick={onOpen}>
          all {formatCount(rows.length + others.length)}
        </button>
      </section>
    )
  }
  const first = withFindings(rows, FIRST_ROWS)
  const shown = isOpen ? rows : first
  const rest = rows.filter((row) => !first.includes(row))
  const restNs = rest.reduce((sum, row) => sum + Number(row.share.critical_ns), 0)
  const restShare = rest.reduce((sum, row) => sum + row.share.share, 0)
  return (
    <section className="panel" aria-label="Why it was slow">
      <div className="panel-head">
        <h2>{slow ? 'Why it was slow' : headline(explanation)}</h2>
        <span className="muted panel-sub">
          {[
            `share of the critical path, ${formatDuration(Number(explanation.root.duration_ns))}`,
            slow ? '' : comparison(explanation),
          ]
            .filter(Boolean)
            .join(' · ')}
        </span>
        <Uncertain explanation={explanation} />
        {explanation.critical_path.length > 0 ? (
          <button
            type="button"
            className="link-button"
            title="Next span on the critical path (c)"
            onClick={() => onStep(1)}
          >
            step through
          </button>
        ) : null}
        <kbd aria-hidden="true">c</kbd>
      </div>
      <ShareBar shares={explanation.shares} colourOf={colourOf} />
      <ul className="panel-rows">
        {shown.map((row) => (
          <ShareRow
            key={`${row.share.owner}\0${row.share.operation}`}
            row={row}
            colour={colourOf(row.share.owner)}
            onSpans={onSpans}
          />
        ))}
        {others.map((finding) => (
          <FindingRow key={`${finding.kind} ${finding.text}`} finding={finding} onSpans={onSpans} />
        ))}
        {rest.length > 0 ? (
          <li className="panel-row">
            {isOpen ? null : (
              <>
                <span className="chip chip-rest" aria-hidden="true" />
                <span className="panel-percent muted">{formatPercent(restShare)}</span>
                <span className="panel-time muted">{formatDuration(restNs)}</span>
              </>
            )}
            <button type="button" className="link-button panel-what" onClick={() => setOpen(!isOpen)}>
              {isOpen
                ? 'show less'
                : `${formatCount(rest.length)} more, none above ${formatPercent(
                    Math.max(...rest.map((row) => row.share.share)),
                  )}`}
            </button>
          </li>
        ) : isOpen && !slow && !hasFindings ? (
          <li className="panel-row">
            <button type="button" className="link-button panel-what" onClick={() => setOpen(false)}>
              show less
            </button>
          </li>
        ) : null}
      </ul>
      <Notes notes={notes} />
    </section>
  )
}

/** What could not be seen or compared, in the server's words. */
function Notes({ notes }: { notes: readonly string[] }) {
  if (notes.length === 0) return null
  return (
    <ul className="panel-notes">
      {notes.map((note) => (
        <li key={note}>
          <Breakable text={shortened(note, MOST_TEXT)} />
        </li>
      ))}
    </ul>
  )
}

/** The largest rows, and those that something was found about. */
function withFindings(rows: readonly TimeRow[], most: number): TimeRow[] {
  return rows.filter((row, index) => index < most || row.findings.length > 0)
}

function headline(explanation: Explanation): string {
  if (explanation.root.percentile === null) return 'Where the time went'
  return isSlow(explanation) ? 'Why it was slow' : 'Not slow'
}

/** `slower than 61 % of GET /cart`; empty where there is too little to compare with, which is one of the notes. */
function comparison({ root }: Explanation): string {
  if (root.percentile === null) return ''
  return `slower than ${Math.floor(root.percentile)} % of ${shortenedName(root.operation || 'this operation', MOST_NAME)}`
}

function Uncertain({ explanation }: { explanation: Explanation }) {
  if (!explanation.path_uncertain) return null
  return (
    <span
      className="badge badge-warning"
      title="Calls overlap or clocks disagree, so this critical path is one of several"
    >
      uncertain
    </span>
  )
}

function ShareRow({
  row: { share, findings },
  colour,
  onSpans,
}: {
  row: TimeRow
  colour: number
  onSpans: (spanIds: readonly string[]) => void
}) {
  const ns = Number(share.critical_ns)
  return (
    <li className="panel-row">
      <ServiceChip colour={colour} />
      <span className="panel-percent">{formatPercent(share.share)}</span>
      <span className="panel-time" title={exactDuration(ns)}>
        {formatDuration(ns)}
      </span>
      <span className="panel-what">
        <ShareName share={share} onSpans={onSpans} />
        {findings.map((finding) => (
          <FindingText key={`${finding.kind} ${finding.text}`} finding={finding} onSpans={onSpans} />
        ))}
      </span>
      <span className="panel-usual">
        {share.usual_ns === null ? '' : `usually ${formatDuration(Number(share.usual_ns))}`}
      </span>
    </li>
  )
}

function ShareName({
  share,
  onSpans,
  isOneLine = false,
}: {
  share: Share
  onSpans: (spanIds: readonly string[]) => void
  isOneLine?: boolean
}) {
  const text = `${shortenedName(share.owner || 'no service', MOST_NAME)} · ${shortenedName(share.operation || 'no name', MOST_NAME)}`
  return (
    // Its name is what is written in it, without the places where that may be broken.
    <button type="button" className="panel-link" onClick={() => onSpans(share.span_ids)} aria-label={text}>
      {isOneLine ? <CutName text={text} /> : <Breakable text={text} />}
    </button>
  )
}

function FindingRow({
  finding,
  onSpans,
}: {
  finding: Finding
  onSpans: (spanIds: readonly string[]) => void
}) {
  return (
    <li className="panel-row">
      <span className="chip chip-rest" aria-hidden="true" />
      <span className="panel-percent">{formatPercent(finding.share)}</span>
      <span className="panel-time" />
      <span className="panel-what">
        <FindingText finding={finding} onSpans={onSpans} />
      </span>
      <span className="panel-usual" />
    </li>
  )
}

function FindingText({
  finding,
  onSpans,
}: {
  finding: Finding
  onSpans: (spanIds: readonly string[]) => void
}) {
  return (
    <span className="panel-finding">
      {finding.span_ids.length > 0 ? (
        // A link and no button: its text breaks into lines with the text around it.
        <a
          className="panel-proof"
          aria-label={shortened(finding.text, MOST_TEXT)}
          href={`${location.pathname}?span=${finding.span_ids[0]}`}
          onClick={(event) => {
            if (event.ctrlKey || event.metaKey || event.shiftKey) return
            event.preventDefault()
            onSpans(finding.span_ids)
          }}
        >
          <Breakable text={shortened(finding.text, MOST_TEXT)} />
        </a>
      ) : (
        <Breakable text={shortened(finding.text, MOST_TEXT)} />
      )}
      {finding.certainty === 'certain' ? null : <span className="muted"> ({finding.certainty})</span>}
    </span>
  )
}

/** The shares side by side; the list beside it says the same in words. */
function ShareBar({ shares, colourOf }: { shares: readonly Share[]; colourOf: (owner: string) => number }) {
  return (
    <div className="share-bar" aria-hidden="true">
      {shares
        .filter(({ share }) => share >= 0.005)
        .map(({ owner, operation, share }) => (
          <span
            key={`${owner}\0${operation}`}
            title={`${owner} · ${operation}: ${formatPercent(share)}`}
            style={{ width: `${share * 100}%`, background: `var(--service-${colourOf(owner) || 'other'})` }}
          />
        ))}
    </div>
  )
}

interface OwnerShare {
  owner: string
  share: number
  spanIds: string[]
}

function owners(shares: readonly Share[]): OwnerShare[] {
  const found = new Map<string, OwnerShare>()
  for (const { owner, share, span_ids } of shares) {
    const known = found.get(owner) ?? { owner, share: 0, spanIds: [] }
    known.share += share
    known.spanIds.push(...span_ids)
    found.set(owner, known)
  }
  return [...found.values()].toSorted((a, b) => b.share - a.share)
}

/** The colour of an owner that is a service of the trace; 0 for others. */
function colourByOwner(model: TraceModel, colours: Uint8Array): (owner: string) => number {
  const numbers = new Map(model.skeleton.services.map((name, service) => [name, colours[service] ?? 0]))
  return (owner) => numbers.get(owner) ?? 0
}
