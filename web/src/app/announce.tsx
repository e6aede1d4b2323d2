/** The page's one polite live region and the mark that the first view is complete. */
import { useEffect } from 'react'
import { createStore, useStore } from './store'

const message = createStore('')

/** Says a change of state to people who hear the page. */
export function announce(text: string): void {
  message.set(text)
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
