/** The list of commands: type a word, choose, and it is done. */
import { useEffect, useRef, useState, type KeyboardEvent } from 'react'
import { COMMANDS, matching, type Command } from './commands'
import { hasShortcut, runShortcut } from './shortcuts'

export function CommandDialog({ open, onClose }: { open: boolean; onClose: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null)
  useEffect(() => {
    if (open && dialog.current && !dialog.current.open) dialog.current.showModal()
    if (!open) dialog.current?.close()
  }, [open])
  const run = ({ key }: Command) => {
    // Closed first: what a command does may be to move the focus.
    dialog.current?.close()
    onClose()
    runShortcut(key)
  }
  return (
    <dialog ref={dialog} className="dialog commands" aria-label="Commands" onClose={onClose}>
      {open ? <CommandList onRun={run} /> : null}
    </dialog>
  )
}

const show = (element: HTMLElement | null) => element?.scrollIntoView?.({ block: 'nearest' })

function CommandList({ onRun }: { onRun: (command: Command) => void }) {
  const [typed, setTyped] = useState('')
  const [at, setAt] = useState(0)
  const found = matching(
    COMMANDS.filter(({ key }) => hasShortcut(key)),
    typed,
  )
  const chosen = Math.min(at, found.length - 1)
  const onKey = (event: KeyboardEvent) => {
    const by = event.key === 'ArrowDown' ? 1 : event.key === 'ArrowUp' ? -1 : 0
    const command = found[chosen]
    if (by !== 0) setAt((chosen + by + found.length) % Math.max(1, found.length))
    else if (event.key === 'Enter' && command !== undefined) onRun(command)
    else return
    event.preventDefault()
  }
  return (
    <>
      <input
        className="input"
        type="text"
        role="combobox"
        aria-label="Command"
        aria-expanded="true"
        aria-controls="command-list"
        aria-activedescendant={chosen >= 0 ? `command-${chosen}` : undefined}
        placeholder="What to do"
        autoComplete="off"
        spellCheck={false}
        value={typed}
        onChange={(event) => {
          setTyped(event.target.value)
          setAt(0)
        }}
        onKeyDown={onKey}
      />
      <div id="command-list" role="listbox" aria-label="Commands">
        {found.map((command, index) => (
          // The keys of the box above move and run; a click is a convenience of the mouse.
          // oxlint-disable-next-line jsx-a11y/click-events-have-key-events
          <div
            key={command.key}
            id={`command-${index}`}
            ref={index === chosen ? show : null}
            role="option"
            tabIndex={-1}
            aria-selected={index === chosen}
            onClick={() => onRun(command)}
          >
            <span>{command.what}</span>
            <kbd>{command.key === ' ' ? 'Space' : command.key}</kbd>
          </div>
        ))}
      </div>
      {found.length === 0 ? <p className="muted">No command has these words.</p> : null}
    </>
  )
}
