/** The page's one polite live region and the mark that the first view is complete. */
import { useEffect } from 'react'
import { createStore, useStore } from './store'

const message = createStore('')

/** Says a change of state to people who hear the page. */
export function announce(text: string): void {
  message.set(text)
}

const TOAST_MS = 2500

const toast = createStore('')
let toastTimer: ReturnType<typeof setTimeout> | undefined

/** Says the outcome of something the reader did where nothing else on the page shows it: aloud, and in sight for a moment. */
export function notify(text: string): void {
  announce(text)
  toast.set(text)
  clearTimeout(toastTimer)
  toastTimer = setTimeout(() => toast.set(''), TOAST_MS)
}

/** The text of `notify`; the live region says it to those who hear the page. */
export function Toast() {
  const text = useStore(toast)
  return text === '' ? null : (
    <div className="toast" aria-hidden="true">
      {text}
    </div>
  )
}

export function LiveRegion() {
  return (
    <div role="status" aria-live="polite" className="unseen">
      {useStore(message)}
    </div>
  )
}

/** Sets `<html data-ready="true">` once a view has its data. */
export function useReady(ready: boolean): void {
  useEffect(() => {
    if (ready) document.documentElement.dataset['ready'] = 'true'
  }, [ready])
}
