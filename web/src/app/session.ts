/** Remembers the last search of this tab, and the row that was opened, so that a trace leads back to its results. */
import { createStore } from './store'
import {
  LIVE_FIELDS,
  QUESTION,
  SEARCH_FIELDS,
  readState,
  writeState,
  type LiveState,
  type SearchState,
} from './url'

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

/** The address of a search, below the page's base: with the first rows only where it asks for something else than the last search. */
export function searchPath(state: Partial<SearchState>): string {
  const own = { ...initialSearch, ...state }
  const last = searchStore.get()
  const isSame = QUESTION.every((key) => JSON.stringify(own[key]) === JSON.stringify(last[key]))
  return `/search${writeState(SEARCH_FIELDS, '', { ...own, pages: isSame ? own.pages : 1 })}`
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

const OPENED_KEY = 'clew.opened'

function storedRow(): OpenedRow | null {
  try {
    const row = JSON.parse(sessionStorage.getItem(OPENED_KEY) ?? 'null') as Partial<OpenedRow> | null
    const { search, traceId, top } = row ?? {}
    const isRow = typeof search === 'string' && /^[0-9a-f]{32}$/.test(String(traceId)) && Number.isFinite(top)
    return isRow ? (row as OpenedRow) : null
  } catch {
    return null
  }
}

/** The row of the results that was opened last. */
export const openedStore = createStore<OpenedRow | null>(storedRow())

export function rememberOpened(row: OpenedRow): void {
  sessionStorage.setItem(OPENED_KEY, JSON.stringify(row))
  openedStore.set(row)
}
