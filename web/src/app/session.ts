/** Remembers the last search of this tab, and the row that was opened, so that a trace leads back to its results. */
import { createStore } from './store'
import { LIVE_FIELDS, SEARCH_FIELDS, readState, writeState, type LiveState, type SearchState } from './url'

const KEY = 'clew.search'
export const initialSearch: SearchState = readState(SEARCH_FIELDS, '').state

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
  return `/search${writeState(SEARCH_FIELDS, '', { ...initialSearch, ...state })}`
}

/** The address of the live page, below the page's base. */
export function livePath(state: Partial<LiveState>): string {
  return `/live${writeState(LIVE_FIELDS, '', state)}`
}

/** The query that the server refused last: a condition that is added begins a new one. */
export const refusedStore = createStore<string | null>(null)

/** The remembered search, without its query where that is one that the server refused. */
export function usableSearch(search: SearchState, refused: string | null): SearchState {
  return search.q === refused ? { ...search, q: '' } : search
}

export interface OpenedRow {
  /** The search as it stands in the address. */
  search: string
  traceId: string
  /** How far the page was scrolled, in pixels. */
  top: number
}

/** The row of the results that was opened last. */
export const openedStore = createStore<OpenedRow | null>(null)
