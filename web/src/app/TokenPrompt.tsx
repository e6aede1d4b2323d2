/** Asks for the server's token when it wants one; the answer lives as long as the tab. */
import { useQueryClient } from '@tanstack/react-query'
import { useEffect, useRef, type FormEvent } from 'react'
import { keepToken, whenUnauthorized } from '../api/client'

export function TokenPrompt() {
  const dialog = useRef<HTMLDialogElement>(null)
  const queries = useQueryClient()
  useEffect(() => {
    whenUnauthorized(() => {
      if (dialog.current && !dialog.current.open) dialog.current.showModal()
    })
    return () => whenUnauthorized(() => {})
  }, [])

  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    const token = new FormData(event.currentTarget).get('token')
    if (typeof token !== 'string' || token.trim() === '') return
    keepToken(token.trim())
    dialog.current?.close()
    void queries.resetQueries()
  }

  return (
    <dialog ref={dialog} className="dialog dialog-small" aria-labelledby="token-title">
      <form onSubmit={submit}>
        <h2 id="token-title">This server wants a token</h2>
        <p className="muted">
          It is in the file given to clew serve as --token-file. It is kept for this tab only.
        </p>
        <label className="field">
          <span>Token</span>
          <input name="token" type="password" autoComplete="off" className="input mono" required />
        </label>
        <div className="dialog-actions">
          <button type="submit" className="button button-primary">
            Continue
          </button>
        </div>
      </form>
    </dialog>
  )
}
