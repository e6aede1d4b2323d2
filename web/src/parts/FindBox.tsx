/** Finds spans by service and name; says how many and steps through them. */
import { Icon } from './icons'

export interface Find {
  text: string
  count: number
  /** Index of the selected span among the matches, -1 when it is none of them. */
  at: number
  onText: (text: string) => void
  onStep: (by: 1 | -1) => void
}

export function FindBox({ text, count, at, onText, onStep }: Find) {
  return (
    <div className="find">
      <Icon name="search" size={14} />
      <input
        id="find"
        type="text"
        aria-label="Find in services and names"
        placeholder="Find in services and names"
        autoComplete="off"
        spellCheck={false}
        value={text}
        onChange={(event) => onText(event.target.value)}
        onKeyDown={(event) => {
          if (event.key === 'Enter') {
            event.preventDefault()
            onStep(event.shiftKey ? -1 : 1)
          }
          if (event.key === 'Escape') {
            if (text === '') event.currentTarget.blur()
            onText('')
          }
        }}
      />
      {text.trim() === '' ? (
        <kbd aria-hidden="true">f</kbd>
      ) : (
        <>
          <output className="find-count" aria-label="Matches">
            {count === 0 ? 'none' : at >= 0 ? `${at + 1}/${count}` : count}
          </output>
          <button
            type="button"
            className="icon-button icon-button-small"
            aria-label="Previous match"
            title="Previous match (N)"
            disabled={count === 0}
            onClick={() => onStep(-1)}
          >
            <Icon name="left" size={14} />
          </button>
          <button
            type="button"
            className="icon-button icon-button-small"
            aria-label="Next match"
            title="Next match (n)"
            disabled={count === 0}
            onClick={() => onStep(1)}
          >
            <Icon name="right" size={14} />
          </button>
        </>
      )}
    </div>
  )
}
