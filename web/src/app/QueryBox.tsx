/** The query box of the top bar: completes keys, operators and values, and shows what the server finds wrong below its character. */
import { useEffect, useLayoutEffect, useRef, useState, type FormEvent, type KeyboardEvent } from 'react'
import { useLocation } from 'wouter'
import { taken, typingAt, type Suggestion } from '../model/complete'
import { contextOf } from '../model/context'
import { formatCount } from '../model/format'
import { reasonIn } from '../model/moments'
import { traceIdFrom } from '../model/query'
import { Icon } from '../parts/icons'
import { zoneStore } from './preferences'
import { queryErrorStore, type QueryError } from './queryError'
import { livePath, rememberSearch, searchPath, searchStore } from './session'
import { useStore } from './store'
import { LIVE_FIELDS, readState } from './url'
import { useSuggestions } from './useSuggestions'

export const QUERY_ID = 'query'
const LIST_ID = 'query-suggestions'
const COUNTED_ID = 'query-counted'

export function QueryBox() {
  const [path, navigate] = useLocation()
  const search = useStore(searchStore)
  const problem = useStore(queryErrorStore)
  const zone = useStore(zoneStore)
  const input = useRef<HTMLInputElement>(null)
  const [text, setText] = useState(search.q)
  const [shownQuery, setShownQuery] = useState(search.q)
  const [cursor, setCursor] = useState(0)
  const [hasFocus, setFocus] = useState(false)
  const [isOpen, setOpen] = useState(false)
  /** The suggestion that the arrow keys are on. */
  const [active, setActive] = useState(-1)
  const [scrolled, setScrolled] = useState(0)
  const wantedCursor = useRef<number | null>(null)
  if (shownQuery !== search.q) {
    setShownQuery(search.q)
    setText(search.q)
  }

  const place = (hasFocus || isOpen) && traceIdFrom(text) === null ? typingAt(text, cursor) : null
  const typing = isOpen ? place : null
  // Keys are asked for before anything is typed, so that they are there with the first letter.
  const asked = typing ?? (place?.what === 'key' ? place : null)
  const { found, reason, isWaiting } = useSuggestions(
    asked,
    asked === null ? '' : contextOf(text, asked),
    search,
  )
  const isListed = typing !== null && found.length > 0
  const chosen = Math.min(active, found.length - 1)

  useLayoutEffect(() => {
    if (wantedCursor.current === null) return
    input.current?.setSelectionRange(wantedCursor.current, wantedCursor.current)
    wantedCursor.current = null
  })

  const shown = problem !== null && problem.q === text.trim() ? problem : null
  useEffect(() => {
    if (shown !== null && input.current) scrollTo(input.current, shown.position)
  }, [shown])

  const open = () => {
    setCursor(input.current?.selectionStart ?? text.length)
    setOpen(true)
    setActive(-1)
  }
  const close = () => {
    setOpen(false)
    setActive(-1)
  }
  const take = (suggestion: Suggestion) => {
    if (typing === null) return
    const { from, to, inserted } = taken(text, typing, suggestion)
    setActive(-1)
    input.current?.focus()
    input.current?.setSelectionRange(from, to)
    // Written as if it were typed it can be undone; a text that is set makes the browser forget what was typed.
    // oxlint-disable-next-line typescript/no-deprecated
    if (document.execCommand?.('insertText', false, inserted)) return
    setText(text.slice(0, from) + inserted + text.slice(to))
    setCursor(from + inserted.length)
    wantedCursor.current = from + inserted.length
  }

  const run = (event: FormEvent) => {
    event.preventDefault()
    close()
    // The keys of the page that comes belong to the page again.
    input.current?.blur()
    const traceId = traceIdFrom(text)
    if (traceId !== null) {
      setText(search.q)
      navigate(`/trace/${traceId}`)
      return
    }
    const next = { ...search, q: text.trim() }
    rememberSearch(next)
    if (path === '/live') navigate(livePath({ ...readState(LIVE_FIELDS, location.search).state, q: next.q }))
    else navigate(searchPath(next))
  }

  /** Whether the key was for the suggestions. */
  const onListKey = ({ key, shiftKey }: KeyboardEvent): boolean => {
    const by = key === 'ArrowDown' ? 1 : key === 'ArrowUp' ? -1 : 0
    if (by !== 0) {
      if (!isOpen) open()
      else if (found.length > 0)
        setActive((Math.max(chosen, by < 0 ? 0 : -1) + by + found.length) % found.length)
      return true
    }
    if (key === 'Escape' && isListed) {
      close()
      return true
    }
    if (!isListed) return false
    // Tab takes the first one where that adds something to what is typed; else it moves on.
    const first = found[0]!
    const isOfTyped = first.what === typing.what || first.isApart === true
    const isNew = typing.typed !== '' && isOfTyped && first.label !== typing.typed
    const suggestion = found[chosen] ?? (key === 'Tab' && isNew ? first : undefined)
    if (suggestion === undefined || shiftKey || (key !== 'Enter' && key !== 'Tab')) return false
    take(suggestion)
    return true
  }

  return (
    <search className="query">
      <form onSubmit={run}>
        <Icon name="search" />
        <input
          ref={input}
          id={QUERY_ID}
          type="text"
          role="combobox"
          aria-label="Query or trace id"
          aria-expanded={isListed}
          aria-controls={LIST_ID}
          aria-autocomplete="list"
          aria-activedescendant={isListed && chosen >= 0 ? `${LIST_ID}-${chosen}` : undefined}
          aria-invalid={shown !== null}
          aria-describedby={shown ? 'query-problem' : undefined}
          placeholder="service=payment status=error dur>500ms, or paste a trace id"
          autoComplete="off"
          autoCapitalize="off"
          spellCheck={false}
          value={text}
          onChange={(event) => {
            setText(event.target.value)
            open()
          }}
          onSelect={() => {
            const at = input.current?.selectionStart ?? 0
            if (isOpen && at !== cursor) setActive(-1)
            setCursor(at)
          }}
          onScroll={(event) => setScrolled(event.currentTarget.scrollLeft)}
          onFocus={() => {
            if (wantedCursor.current === null) setCursor(input.current?.selectionStart ?? text.length)
            setFocus(true)
          }}
          onBlur={() => {
            setFocus(false)
            close()
          }}
          onPaste={(event) => {
            const { value, selectionStart, selectionEnd } = event.currentTarget
            const left = value.slice(0, selectionStart ?? 0) + value.slice(selectionEnd ?? 0)
            const traceId = traceIdFrom(event.clipboardData.getData('text'))
            // Into a query it is pasted as a value: other ids look the same.
            if (traceId === null || left.trim() !== '') return
            event.preventDefault()
            input.current?.blur()
            navigate(`/trace/${traceId}`)
          }}
          onKeyDown={(event) => {
            if (event.nativeEvent.isComposing) return
            if (onListKey(event)) event.preventDefault()
            else if (event.key === 'Escape') input.current?.blur()
          }}
        />
        <kbd aria-hidden="true">/</kbd>
        <button type="submit" className="unseen-until-focus">
          Search
        </button>
      </form>
      <div className="suggestions" hidden={!isListed}>
        <div
          id={LIST_ID}
          role="listbox"
          aria-label="Suggestions"
          aria-describedby={reason === null ? undefined : COUNTED_ID}
          aria-busy={isWaiting}
        >
          {isListed
            ? found.map((one, at) => (
                // The keys of the box take a suggestion; a click is a convenience of the mouse.
                // oxlint-disable-next-line jsx-a11y/click-events-have-key-events
                <div
                  key={`${one.what} ${one.label}`}
                  id={`${LIST_ID}-${at}`}
                  ref={at === chosen ? show : null}
                  role="option"
                  tabIndex={-1}
                  aria-selected={at === chosen}
                  // The box keeps the focus.
                  onPointerDown={(event) => event.preventDefault()}
                  onClick={() => take(one)}
                >
                  <span className="mono">{one.label}</span> <span className="muted">{noteOf(one)}</span>
                </div>
              ))
            : null}
        </div>
        {reason === null ? null : (
          <p id={COUNTED_ID} className="suggestions-counted">
            {reasonIn(zone, reason)}
          </p>
        )}
      </div>
      {shown ? <Problem problem={shown} text={text} scrolled={scrolled} /> : null}
    </search>
  )
}

/** Scrolls a text that is longer than its box to a character of it, unless that is in sight. All of them are equally wide. */
function scrollTo(input: HTMLInputElement, position: number | null): void {
  const { clientWidth, scrollWidth, scrollLeft } = input
  if (position === null || scrollWidth <= clientWidth) return
  const at = (position / Math.max(1, input.value.length)) * scrollWidth
  if (at < scrollLeft || at > scrollLeft + clientWidth - 24) input.scrollLeft = at - clientWidth / 2
}

const show = (element: HTMLElement | null) => element?.scrollIntoView?.({ block: 'nearest' })

function noteOf({ count, note }: Suggestion): string {
  return count === null ? note : formatCount(count)
}

/** The message, and a caret below the character that it is about, wherever the box is scrolled to. */
function Problem({ problem, text, scrolled }: { problem: QueryError; text: string; scrolled: number }) {
  const { position, message } = problem
  // The server counts characters, a text here is made of UTF-16.
  const before = position === null ? '' : [...text].slice(0, position).join('')
  return (
    <div id="query-problem" className="query-problem">
      {position === null ? null : (
        <pre aria-hidden="true">
          <span style={{ marginLeft: -scrolled }}>
            <span className="query-before">{before}</span>^
          </span>
        </pre>
      )}
      <p>
        {message}
        {position === null ? '' : ` (at character ${position + 1})`}
      </p>
    </div>
  )
}
