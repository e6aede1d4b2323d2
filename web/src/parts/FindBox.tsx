/** Finds spans by service and name, or by all that is stored of them; says how many and steps through them. */
import { formatCount } from '../model/format'
import { IconButton } from './IconButton'
import { Icon } from './icons'

export interface Find {
  text: string
  count: number
  /** Index of the selected span among the matches, -1 when it is none of them. */
  at: number
  /** Whether attributes, events and the rest are searched too. */
  inAll: boolean
  isLoading: boolean
  /** Why the matches are not all there are; empty when they are. */
  incomplete: string
  onInAll: (inAll: boolean) => void
  onText: (text: string) => void
  onStep: (by: 1 | -1) => void
}

export function FindBox(props: Find) {
  const { text, count, at, inAll, isLoading, incomplete, onInAll, onText, onStep } = props
  const where = inAll ? 'Find in names and attributes' : 'Find in services and names'
  return (
    <div className="find">
      <Icon name="search" size={14} />
      <input
        id="find"
        type="text"
        aria-label={where}
        placeholder={where}
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
      <button
        type="button"
        className="find-all"
        aria-pressed={inAll}
        title="Search attributes, events and links too"
        onClick={() => onInAll(!inAll)}
      >
        attributes
      </button>
      {text.trim() === '' ? (
        <kbd aria-hidden="true">f</kbd>
      ) : (
        <>
          <output className="find-count" aria-label="Matches" title={incomplete || undefined}>
            {isLoading
              ? '…'
              : count === 0
                ? 'none'
                : at >= 0
                  ? `${formatCount(at + 1)}/${formatCount(count)}`
                  : formatCount(count)}
            {incomplete === '' || isLoading ? '' : '+'}
          </output>
          <IconButton
            icon="left"
            label="Previous match"
            title="Previous match (N)"
            disabled={count === 0}
            onClick={() => onStep(-1)}
          />
          <IconButton
            icon="right"
            label="Next match"
            title="Next match (n)"
            disabled={count === 0}
            onClick={() => onStep(1)}
          />
        </>
      )}
    </div>
  )
}
