/** Searches that the reader gave a name: kept in this browser, and as a file that another one takes. */
import { searchPath } from './session'
import { createStore } from './store'
import { SEARCH_FIELDS, readState, type SearchState } from './url'

export interface SavedSearch {
  name: string
  /** The query string of its address, `?q=…`; empty for a search of nothing in particular. */
  search: string
}

const KEY = 'clew.searches'
const MOST = 200
const LONGEST_NAME = 100
const LONGEST_SEARCH = 8_000

function isSaved(one: unknown): one is SavedSearch {
  const { name, search } = (one ?? {}) as Partial<SavedSearch>
  return (
    typeof name === 'string' &&
    name.trim() !== '' &&
    name.length <= LONGEST_NAME &&
    typeof search === 'string' &&
    search.length <= LONGEST_SEARCH
  )
}

function stored(): SavedSearch[] {
  try {
    const list: unknown = JSON.parse(localStorage.getItem(KEY) ?? '[]')
    return Array.isArray(list) ? list.filter(isSaved).slice(0, MOST) : []
  } catch {
    return []
  }
}

export const savedStore = createStore<readonly SavedSearch[]>(stored())

function keep(list: readonly SavedSearch[]): void {
  const kept = list.toSorted((a, b) => a.name.localeCompare(b.name)).slice(0, MOST)
  localStorage.setItem(KEY, JSON.stringify(kept))
  savedStore.set(kept)
}

/** Keeps the search under the name; one of that name is replaced. */
export function saveSearch(name: string, state: SearchState): void {
  const search = searchPath({ ...state, pages: 1 }).slice('/search'.length)
  const own = { name: name.trim().slice(0, LONGEST_NAME), search }
  keep([...savedStore.get().filter((one) => one.name !== own.name), own])
}

export function forgetSearch(name: string): void {
  keep(savedStore.get().filter((one) => one.name !== name))
}

/** The address of a saved search. What this version does not know in it is left out. */
export function savedPath({ search }: SavedSearch): string {
  return searchPath(readState(SEARCH_FIELDS, search).state)
}

/** What makes two searches the same to the reader; the added facets, the selection and the view are how one looks at it. */
const ASKED = ['q', 'from', 'to', 'sort', 'order', 'cols'] as const

/** Whether the saved search asks for what the page shows. */
export function isShown({ search }: SavedSearch, state: SearchState): boolean {
  const own = readState(SEARCH_FIELDS, search).state
  return ASKED.every((key) => String(own[key]) === String(state[key]))
}

/** The entry of the browser's history remembers which saved search it came from, so that Back and a reload keep it. */
interface Entry {
  saved: string
}

/** The name that an entry of the history holds, or none. */
export function openedName(entry: unknown): string | null {
  const name = typeof entry === 'object' && entry !== null ? (entry as Partial<Entry>).saved : undefined
  return typeof name === 'string' ? name : null
}

/** What an entry of the history holds for the saved search of that name. */
export function entryOf(name: string): Entry {
  return { saved: name }
}

/** The text of a file with all saved searches. */
export function savedAsFile(): string {
  return `${JSON.stringify({ clew_searches: savedStore.get() }, null, 2)}\n`
}

/** Adds the searches of such a file; those of the same name are replaced. Returns how many; throws for another file. */
export function takeFile(text: string): number {
  let list: unknown
  try {
    list = (JSON.parse(text) as { clew_searches?: unknown }).clew_searches
  } catch {
    throw new Error('The file is not JSON.')
  }
  if (!Array.isArray(list)) throw new Error('The file holds no saved searches.')
  const found = list.filter(isSaved).map(({ name, search }) => ({ name: name.trim(), search }))
  const names = new Set(found.map(({ name }) => name))
  keep([...savedStore.get().filter(({ name }) => !names.has(name)), ...found])
  return found.length
}
