/** A button that opens a small panel of controls below it. The panel stays open while they are used. */
import { useEffect, useRef, useState, type ReactNode } from 'react'
import { Icon } from './icons'

interface Props {
  label: ReactNode
  title: string
  children: ReactNode
}

export function Menu({ label, title, children }: Props) {
  const [isOpen, setOpen] = useState(false)
  const box = useRef<HTMLDivElement>(null)
  const button = useRef<HTMLButtonElement>(null)
  useEffect(() => {
    if (!isOpen) return
    const onDown = (event: PointerEvent) => {
      if (event.target instanceof Node && !box.current?.contains(event.target)) setOpen(false)
    }
    // Before the keys of the page: the first Escape closes the panel and nothing else.
    const onKey = (event: KeyboardEvent) => {
      if (event.key !== 'Escape') return
      event.stopPropagation()
      setOpen(false)
      if (box.current?.contains(document.activeElement)) button.current?.focus()
    }
    document.addEventListener('pointerdown', onDown)
    document.addEventListener('keydown', onKey, { capture: true })
    return () => {
      document.removeEventListener('pointerdown', onDown)
      document.removeEventListener('keydown', onKey, { capture: true })
    }
  }, [isOpen])
  return (
    <div
      className="menu"
      ref={box}
      onBlur={({ relatedTarget }) => {
        if (relatedTarget !== null && !box.current?.contains(relatedTarget)) setOpen(false)
      }}
    >
      <button
        ref={button}
        type="button"
        className="button"
        title={title}
        aria-expanded={isOpen}
        onClick={() => setOpen(!isOpen)}
      >
        {label}
        <Icon name="down" size={14} />
      </button>
      {isOpen ? (
        <div className="menu-panel" role="group" aria-label={title}>
          {children}
        </div>
      ) : null}
    </div>
  )
}
