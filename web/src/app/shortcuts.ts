/** Keyboard shortcuts: single letters act only when nothing is being typed, and can be switched off. */
import { useEffect, useRef } from 'react'
import { lettersStore } from './preferences'

/** Keys as in `KeyboardEvent.key`; `g s` is two strokes. A handler returning false leaves the key alone. */
export type Shortcuts = Record<string, (event: KeyboardEvent) => void | boolean>

const PAIR_MS = 1000

let firstStroke = ''
let firstStrokeAt = 0

/** In these nothing is typed, nor chosen by letters or arrows. */
const NOT_WRITTEN_IN = /^(button|checkbox|file|reset|submit)$/

function isTyping(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false
  if (target instanceof HTMLInputElement) return !NOT_WRITTEN_IN.test(target.type)
  return target.isContentEditable || /^(TEXTAREA|SELECT)$/.test(target.tagName)
}

/** The handler a key event asks for, if any. */
export function matchShortcut(shortcuts: Shortcuts, event: KeyboardEvent): Shortcuts[string] | undefined {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return undefined
  if (isTyping(event.target) || document.querySelector('dialog[open]') !== null) return undefined
  if (event.key.length === 1 && !lettersStore.get()) return undefined
  const pair = event.timeStamp - firstStrokeAt < PAIR_MS ? `${firstStroke} ${event.key}` : ''
  return shortcuts[pair] ?? shortcuts[event.key]
}

if (typeof addEventListener === 'function') {
  // After every view had its turn: remember the stroke as the first of a pair.
  addEventListener('keydown', (event) => {
    if (isTyping(event.target)) return
    firstStroke = event.key
    firstStrokeAt = event.timeStamp
  })
}

const shown = new Set<{ current: Shortcuts }>()

function handlerOf(key: string): Shortcuts[string] | undefined {
  for (const { current } of shown) if (current[key] !== undefined) return current[key]
  return undefined
}

/** Whether what is shown now acts on the key. */
export function hasShortcut(key: string): boolean {
  return handlerOf(key) !== undefined
}

/** Does what the key does, also where single letters are switched off. */
export function runShortcut(key: string): void {
  handlerOf(key)?.(new KeyboardEvent('keydown', { key }))
}

/** Acts on shortcuts while the component is shown. */
export function useShortcuts(shortcuts: Shortcuts): void {
  const current = useRef(shortcuts)
  useEffect(() => {
    current.current = shortcuts
  })
  useEffect(() => {
    shown.add(current)
    return () => void shown.delete(current)
  }, [])
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      const handler = matchShortcut(current.current, event)
      if (handler && handler(event) !== false) event.preventDefault()
    }
    document.addEventListener('keydown', onKey)
    return () => document.removeEventListener('keydown', onKey)
  }, [])
}
