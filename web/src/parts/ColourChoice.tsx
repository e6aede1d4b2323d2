/** What colours the rows: a choice, and for an attribute a box for its key. */
import { useQueryClient } from '@tanstack/react-query'
import { useId, useState } from 'react'
import { colourKey, isColourKey, type ColourBy } from '../app/url'
import type { SpanDetails } from '../model/otlp'
import { shortened } from '../model/format'
import { Select } from './Select'

const OTHER = 'other'
const MOST_IN_LABEL = 24

interface Props {
  colour: ColourBy
  onColour: (by: ColourBy) => void
}

export function ColourChoice({ colour, onColour }: Props) {
  const [isAsking, setAsking] = useState(false)
  const key = colourKey(colour)
  if (isAsking) {
    return (
      <KeyBox
        initial={key}
        onKey={(wanted) => {
          setAsking(false)
          if (wanted !== '') onColour(`attr:${wanted}`)
        }}
      />
    )
  }
  return (
    <Select
      label="Colour of the rows"
      value={colour}
      options={[
        { value: '', label: 'Colour: service' },
        { value: 'kind', label: 'Colour: kind' },
        { value: 'operation', label: 'Colour: operation' },
        { value: 'status', label: 'Colour: status' },
        ...(key === '' ? [] : [{ value: colour, label: `Colour: ${shortened(key, MOST_IN_LABEL)}` }]),
        { value: OTHER, label: key === '' ? 'Attribute…' : 'Another attribute…' },
      ]}
      onChange={(value) => (value === OTHER ? setAsking(true) : onColour(value as ColourBy))}
    />
  )
}

/** Asks for the key of an attribute; the keys of the spans that were looked at are offered. Empty when it was given up. */
function KeyBox({ initial, onKey }: { initial: string; onKey: (key: string) => void }) {
  const [text, setText] = useState(initial)
  const list = useId()
  const known = useKnownKeys()
  const wanted = text.trim()
  return (
    <form
      className="key-box"
      onSubmit={(event) => {
        event.preventDefault()
        onKey(isColourKey(wanted) ? wanted : '')
      }}
    >
      <input
        className="input"
        type="text"
        aria-label="Attribute that colours the rows"
        placeholder="key of an attribute"
        list={list}
        autoComplete="off"
        spellCheck={false}
        // The choice before it was made with the keyboard or the mouse; the next thing is to type.
        // oxlint-disable-next-line jsx-a11y/no-autofocus
        autoFocus
        value={text}
        onChange={(event) => setText(event.target.value)}
        onKeyDown={(event) => {
          if (event.key === 'Escape') onKey('')
        }}
        onBlur={() => onKey(wanted !== initial && isColourKey(wanted) ? wanted : '')}
      />
      <datalist id={list}>
        {known.map((key) => (
          <option key={key} value={key} />
        ))}
      </datalist>
    </form>
  )
}

/** Keys of the attributes of spans whose details are here already. */
function useKnownKeys(): string[] {
  const queries = useQueryClient()
  const keys = new Set<string>()
  for (const [, found] of queries.getQueriesData<readonly SpanDetails[]>({ queryKey: ['span'] })) {
    for (const { span, resource } of found ?? []) {
      for (const { key } of [...(span.attributes ?? []), ...resource]) keys.add(key)
    }
  }
  return [...keys].toSorted()
}
