/** One banner for a server that fails or does not answer; the page stays usable with what it has. */
import { useEffect } from 'react'
import { ApiError } from '../api/client'
import { announce } from '../app/announce'
import { Icon } from './icons'

/** What went wrong, in a sentence. */
export function problemTitle(error: Error): string {
  return error instanceof ApiError && error.status === 0 ? 'The server does not answer.' : error.message
}

export function Problem({ error, onRetry }: { error: Error; onRetry: () => void }) {
  const api = error instanceof ApiError ? error : null
  const title = problemTitle(error)
  useEffect(() => announce(title), [title])
  const details = [
    api && api.status > 0 ? `status ${api.status}` : '',
    api?.requestId ? `request ${api.requestId}` : '',
  ].filter(Boolean)
  return (
    <section className="notice notice-error" aria-label="Server problem">
      <Icon name="warning" />
      <p>
        <strong>{title}</strong> {api?.status === 0 ? 'Is clew serve running? ' : ''}
        <span className="mono">{details.join(' · ')}</span>
      </p>
      <button type="button" className="button" onClick={onRetry}>
        Retry
      </button>
    </section>
  )
}
