/** A box for the key of an attribute, which suggests those there are, and a button that adds it. */
import { useEffect, useId, useRef, useState, type FormEvent } from 'react'

interface Props {
  label: string
  className: string
  /** The suggestions. */
  keys: readonly string[]
  /** Whether the box has the focus as soon as it is there. */
  isFocused?: boolean
  /** Told what was typed, without blanks around it, and never nothing. */
  onAdd: (key: string) => void
}

export function AttributeKeyForm({ label, className, keys, isFocused = false, onAdd }: Props) {
  const [key, setKey] = useState('')
  const list = useId()
  const box = useRef<HTMLInputElement>(null)
  useEffect(() => {
    if (isFocused) box.current?.focus()
  }, [isFocused])
  const add = (event: FormEvent) => {
    event.preventDefault()
    const wanted = key.trim()
    if (wanted === '') return
    setKey('')
    onAdd(wanted)
  }
  return (
    <form className={className} onSubmit={add}>
      <input
        ref={box}
        className="input"
        list={list}
        aria-label={label}
        placeholder="http.route"
        maxLength={200}
        value={key}
        onChange={(event) => setKey(event.target.value)}
      />
      <datalist id={list}>
        {keys.map((one) => (
          <option key={one} value={one} />
        ))}
      </datalist>
      <button type="submit" className="button">
        Add
      </button>
    </form>
  )
}
