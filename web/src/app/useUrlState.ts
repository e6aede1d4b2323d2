/** State of a page in its address, as a React hook. */
import { useCallback, useMemo } from 'react'
import { useLocation } from 'wouter'
import { useSearch } from 'wouter/use-browser-location'
import { readState, writeState, type AnyFields, type StateOf } from './url'

export interface UrlState<F extends AnyFields> {
  state: StateOf<F>
  ignored: string[]
  /** Changes some fields. */
  change(patch: Partial<StateOf<F>>): void
}

export function useUrlState<F extends AnyFields>(fields: F): UrlState<F> {
  // As it stands in the address: the router's own hook decodes it once, so that a `%41` in a value became an `A`.
  const search = useSearch()
  const [path, navigate] = useLocation()
  const read = useMemo(() => readState(fields, search), [fields, search])
  const change = useCallback(
    (patch: Partial<StateOf<F>>) => {
      // The address bar, not the last render: two changes in one tick must both survive.
      navigate(`${path}${writeState(fields, location.search, patch)}`)
    },
    [fields, navigate, path],
  )
  return { state: read.state, ignored: read.ignored, change }
}
