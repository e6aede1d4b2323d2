/** Remembers the last search of this tab, so that a trace leads back to its results. */
import { DEFAULT_RANGE } from '../model/range'
import { createStore } from './store'
import { SEARCH_FIELDS, readState, writeState, type SearchState } from './url'

const KEY = 'clew.search'
const initial: SearchState = { q: '', ...DEFAULT_RANGE, cols: [] }

function stored(): SearchState {
  return readState(SEARCH_FIELDS, sessionStorage.getItem(KEY) ?? '').state
}

export const searchStore = createStore<SearchState>(stored())

export function rememberSearch(state: SearchState): void {
  sessionStorage.setItem(KEY, writeState(SEARCH_FIELDS, '', state))
  searchStore.set(state)
}

/** The address of a search, below the page's base. */
export function searchPath(state: Partial<SearchState>): string {
  return `/search${writeState(SEARCH_FIELDS, '', { ...initial, ...state })}`
}
