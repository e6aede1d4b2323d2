/** All shortcuts and the query syntax. */
import { useRef, useEffect } from 'react'
import { Icon } from '../parts/icons'
import { chooseLetters, lettersStore } from './preferences'
import { useStore } from './store'

const EVERYWHERE: [string[], string][] = [
  [['/'], 'Search: query box'],
  [['g s'], 'Search page'],
  [['g l'], 'Live page: traces while they arrive'],
  [['Space'], 'In Live: pause, resume'],
  [['t'], 'Time range'],
  [['r'], 'Run again'],
  [['[', ']'], 'Earlier, later range'],
  [['y'], 'Copy link'],
  [['D'], 'Dark or light'],
  [['.'], 'List of commands'],
  [['?'], 'This help'],
]

const TRACE: [string[], string][] = [
  [['↑', '↓', 'k', 'j'], 'Previous, next row'],
  [['Home', 'End', 'PageUp', 'PageDown'], 'First, last row; a page of rows up, down'],
  [['←', '→'], 'Collapse, expand; again: parent, first child'],
  [['Enter', 'Esc'], 'Open, close the details; Esc then clears find'],
  [['e', 'E'], 'Next, previous first failure'],
  [['c', 'C'], 'Next, previous span on the critical path'],
  [['f', 'n', 'N'], 'Find; next, previous match'],
  [['+', '-', '0'], 'Zoom in, out, whole trace'],
  [['a', 'd'], 'Earlier, later part'],
  [['z', 'Z'], 'Zoom to the span; only the span and those below it, or all again'],
  [['1…9', '*'], 'Expand to a level, all'],
  [['g'], 'Equal siblings as one row, or one by one'],
]

const SYNTAX: [string, string][] = [
  ['service=payment', 'spans of one service'],
  ['service!=payment', 'spans of all others; so with any key but durations'],
  ['status=error', 'failed spans'],
  ['dur>500ms', 'spans that took longer'],
  ['trace.duration>2s', 'traces that took longer'],
  ['http.route="/pay now"', 'any attribute; quote values with spaces'],
  ['4bf92f3577b34da6a3ce929d0e0e4736', 'a trace id opens the trace'],
]

function Keys({ title, rows }: { title: string; rows: [string[], string][] }) {
  return (
    <section>
      <h3>{title}</h3>
      <dl className="keys">
        {rows.map(([keys, what]) => (
          <div key={what}>
            <dt>
              {keys.map((key) => (
                <kbd key={key}>{key}</kbd>
              ))}
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
    </section>
  )
}

interface Props {
  open: boolean
  onClose: () => void
  onCommands: () => void
}

export function HelpDialog({ open, onClose, onCommands }: Props) {
  const dialog = useRef<HTMLDialogElement>(null)
  const letters = useStore(lettersStore)
  useEffect(() => {
    if (open && dialog.current && !dialog.current.open) dialog.current.showModal()
    if (!open) dialog.current?.close()
  }, [open])
  return (
    <dialog ref={dialog} className="dialog" aria-labelledby="help-title" onClose={onClose}>
      <header className="dialog-head">
        <h2 id="help-title">Help</h2>
        <button
          type="button"
          className="button button-small"
          title="List of commands (.)"
          onClick={onCommands}
        >
          All commands
        </button>
        <button type="button" className="icon-button" aria-label="Close help" onClick={onClose}>
          <Icon name="close" />
        </button>
      </header>
      <div className="help-columns">
        <Keys title="Everywhere" rows={EVERYWHERE} />
        <Keys title="In a trace" rows={TRACE} />
      </div>
      <p className="muted">
        In a trace the wheel scrolls, Ctrl and wheel zooms at the pointer, Shift and wheel moves in time, and
        a drag on the time axis zooms to that part.
      </p>
      <label className="check">
        <input type="checkbox" checked={letters} onChange={(event) => chooseLetters(event.target.checked)} />
        Single-letter shortcuts
      </label>
      <h3>Query</h3>
      <dl className="syntax">
        {SYNTAX.map(([term, what]) => (
          <div key={term}>
            <dt>
              <code>{term}</code>
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
      <p className="muted">
        Conditions are separated by spaces, and all of them hold for one span of the trace.
      </p>
    </dialog>
  )
}
