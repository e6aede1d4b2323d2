/** Copies a text and says so. */
import { useEffect, useState } from 'react'
import { announce } from '../app/announce'
import { Icon } from './icons'

/** Puts the text on the clipboard, also where the page is not served securely. */
export async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text)
    return true
  } catch {
    const area = document.createElement('textarea')
    area.value = text
    area.className = 'unseen'
    document.body.append(area)
    area.select()
    const copied = document.execCommand('copy')
    area.remove()
    return copied
  }
}

interface Props {
  text: string
  /** What the button says. */
  label?: string
  /** What the button is called where several say the same. */
  name?: string
  /** The icon alone, for dense places. */
  compact?: boolean
}

export function CopyButton({ text, label = 'Copy', name, compact = false }: Props) {
  const [copied, setCopied] = useState(false)
  useEffect(() => {
    if (!copied) return
    const timer = setTimeout(() => setCopied(false), 1500)
    return () => clearTimeout(timer)
  }, [copied])
  const copy = async () => {
    const done = await copyText(text)
    setCopied(done)
    announce(done ? 'Copied' : 'This browser did not allow copying')
  }
  return (
    <button
      type="button"
      className={compact ? 'icon-button icon-button-small' : 'button'}
      aria-label={name ?? label}
      title={compact ? (name ?? label) : undefined}
      onClick={() => void copy()}
    >
      <Icon name={copied ? 'check' : 'copy'} size={14} />
      {compact ? null : copied ? 'Copied' : label}
    </button>
  )
}
