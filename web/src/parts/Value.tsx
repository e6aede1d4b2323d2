/** A value as text: long ones are folded, JSON is indented, addresses are links. */
import { useState } from 'react'
import { formatBytes } from '../model/format'
import { prettyJson, webAddress } from '../model/otlp'

/** Longer values are folded, so that a span with megabytes of attributes opens at once. */
export const FOLD_CHARACTERS = 1000
const LONGEST_ADDRESS = 2000

export function Value({ text }: { text: string }) {
  const [isOpen, setOpen] = useState(false)
  if (text === '') return <span className="value muted">empty</span>
  const address = text.length > LONGEST_ADDRESS ? null : webAddress(text)
  if (address !== null) {
    return (
      <a className="value" href={address} rel="noreferrer" target="_blank">
        {text}
      </a>
    )
  }
  const whole = prettyJson(text) ?? text
  const isLong = whole.length > FOLD_CHARACTERS
  return (
    <>
      <span className="value">{isLong && !isOpen ? `${whole.slice(0, FOLD_CHARACTERS)}…` : whole}</span>
      {isLong ? (
        <button type="button" className="link-button" onClick={() => setOpen(!isOpen)}>
          {isOpen ? 'show less' : `show all, ${formatBytes(new Blob([text]).size)}`}
        </button>
      ) : null}
    </>
  )
}
