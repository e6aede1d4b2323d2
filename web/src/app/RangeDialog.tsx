/** A time range of one's own: a calendar for each end, or so long until now, which stays relative. */
import { useEffect, useRef, useState, type FormEvent } from 'react'
import { zoneName } from '../model/format'
import { chosenEnd, rangeProblem, timeMs, toInput, type Range } from '../model/range'
import { Icon } from '../parts/icons'
import { zoneStore } from './preferences'
import { useStore } from './store'

const UNITS = [
  { value: 'm', label: 'minutes' },
  { value: 'h', label: 'hours' },
  { value: 'd', label: 'days' },
]
const HOUR_MS = 3_600_000

interface Props {
  range: Range
  onChoose: (range: Range) => void
  onClose: () => void
}

export default function RangeDialog({ range, onChoose, onClose }: Props) {
  const dialog = useRef<HTMLDialogElement>(null)
  const zone = useStore(zoneStore)
  // The times as they are when the dialog opens.
  const [shown] = useState(() => {
    const nowMs = Date.now()
    const toMs = timeMs(range.to, nowMs) ?? nowMs
    return { from: toInput(timeMs(range.from, nowMs) ?? toMs - HOUR_MS, zone), to: toInput(toMs, zone) }
  })
  const [from, setFrom] = useState(shown.from)
  const [to, setTo] = useState(shown.to)
  const [isUntilNow, setUntilNow] = useState(range.to === 'now')
  const relative = /^now-(\d+)([mhd])$/.exec(range.from)
  const [amount, setAmount] = useState(relative?.[1] ?? '1')
  const [unit, setUnit] = useState(relative?.[2] ?? 'h')
  const [isRelative, setRelative] = useState(relative !== null && range.to === 'now')
  const [problem, setProblem] = useState<string | null>(null)
  useEffect(() => {
    if (dialog.current && !dialog.current.open) dialog.current.showModal()
    // And not the button that closes it, which stands first.
    dialog.current?.querySelector<HTMLElement>('input:checked')?.focus()
  }, [])

  const submit = (event: FormEvent) => {
    event.preventDefault()
    const ends = {
      from: chosenEnd(from, shown.from, range.from, zone),
      to: isUntilNow ? 'now' : chosenEnd(to, shown.to, range.to, zone),
    }
    const chosen = isRelative ? { from: `now-${amount}${unit}`, to: 'now' } : ends
    if (chosen.from === null || chosen.to === null) return setProblem('A time is missing.')
    const asked = { from: chosen.from, to: chosen.to }
    const wrong = rangeProblem(asked, Date.now())
    if (wrong !== null) return setProblem(wrong)
    onChoose(asked)
    onClose()
  }
  return (
    <dialog ref={dialog} className="dialog dialog-small" aria-labelledby="range-title" onClose={onClose}>
      <form onSubmit={submit} method="dialog">
        <div className="dialog-head">
          <h2 id="range-title">Time range</h2>
          <button type="button" className="icon-button" aria-label="Close" onClick={onClose}>
            <Icon name="close" />
          </button>
        </div>
        <div className="range-choice">
          <label className="check">
            <input type="radio" name="range-kind" checked={isRelative} onChange={() => setRelative(true)} />
            The last
          </label>
          <input
            className="input"
            type="number"
            min="1"
            max="999999"
            required={isRelative}
            aria-label="How many"
            value={amount}
            onChange={(event) => {
              setAmount(event.target.value)
              setRelative(true)
            }}
          />
          <select
            className="input"
            aria-label="Unit"
            value={unit}
            onChange={(event) => {
              setUnit(event.target.value)
              setRelative(true)
            }}
          >
            {UNITS.map(({ value, label }) => (
              <option key={value} value={value}>
                {label}
              </option>
            ))}
          </select>
        </div>
        <label className="check">
          <input type="radio" name="range-kind" checked={!isRelative} onChange={() => setRelative(false)} />
          From and to, {zoneName(zone)}
        </label>
        <label className="field">
          From
          <input
            className="input"
            type="datetime-local"
            step="1"
            value={from}
            onChange={(event) => {
              setFrom(event.target.value)
              setRelative(false)
            }}
          />
        </label>
        <label className="field">
          To
          <input
            className="input"
            type="datetime-local"
            step="1"
            value={to}
            onChange={(event) => {
              setTo(event.target.value)
              setUntilNow(false)
              setRelative(false)
            }}
          />
        </label>
        <label className="check">
          <input
            type="checkbox"
            checked={isUntilNow}
            onChange={(event) => {
              setUntilNow(event.target.checked)
              setRelative(false)
            }}
          />
          Until now, with what comes later too
        </label>
        {problem === null ? null : (
          <p className="field-problem" role="alert">
            {problem}
          </p>
        )}
        <div className="dialog-actions">
          <button type="submit" className="button button-primary">
            Show
          </button>
        </div>
      </form>
    </dialog>
  )
}
