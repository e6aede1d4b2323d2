/** What the reader chose: theme, zone, single-letter keys. Only a click writes them, never an address. */
import { createStore, type Store } from './store'
import type { Zone } from '../model/format'

export type Theme = 'light' | 'dark'

const THEME_KEY = 'clew.theme'
const ZONE_KEY = 'clew.zone'
const LETTERS_KEY = 'clew.letters'
const PINS_KEY = 'clew.pins'
const PANE_KEY = 'clew.pane'
const NAMES_KEY = 'clew.names'
const MOST_PINS = 50

function stored<T extends string>(key: string, allowed: readonly T[]): T | null {
  const value = localStorage.getItem(key)
  return allowed.includes(value as T) ? (value as T) : null
}

const systemDark = matchMedia('(prefers-color-scheme: dark)')

function currentTheme(): Theme {
  return stored<Theme>(THEME_KEY, ['light', 'dark']) ?? (systemDark.matches ? 'dark' : 'light')
}

export const themeStore = createStore<Theme>(currentTheme())
export const zoneStore = createStore<Zone>(stored<Zone>(ZONE_KEY, ['local', 'utc']) ?? 'utc')
export const lettersStore = createStore<boolean>(localStorage.getItem(LETTERS_KEY) !== 'off')

/** Keys of attributes that stand first in the details of every span. */
export const pinsStore = createStore<readonly string[]>(storedPins())
/** Width of the details in pixels, null while the reader has not changed it. */
export const paneStore = createStore<number | null>(Number(localStorage.getItem(PANE_KEY)) || null)
/** Width of the names of the rows, likewise. */
export const namesStore = createStore<number | null>(Number(localStorage.getItem(NAMES_KEY)) || null)

function storedPins(): string[] {
  try {
    const pins: unknown = JSON.parse(localStorage.getItem(PINS_KEY) ?? '[]')
    return Array.isArray(pins) ? pins.filter((pin) => typeof pin === 'string') : []
  } catch {
    return []
  }
}

export function togglePin(key: string): void {
  const pins = pinsStore.get()
  const next = pins.includes(key) ? pins.filter((pin) => pin !== key) : [...pins, key].slice(-MOST_PINS)
  localStorage.setItem(PINS_KEY, JSON.stringify(next))
  pinsStore.set(next)
}

function chooseWidth(key: string, store: Store<number | null>, width: number | null): void {
  const wanted = width === null ? null : Math.round(width)
  if (wanted === null) localStorage.removeItem(key)
  else localStorage.setItem(key, String(wanted))
  store.set(wanted)
}

export function choosePaneWidth(width: number | null): void {
  chooseWidth(PANE_KEY, paneStore, width)
}

export function chooseNamesWidth(width: number | null): void {
  chooseWidth(NAMES_KEY, namesStore, width)
}

/** Puts the theme on the page and follows the system until the reader has chosen. */
export function startTheme(): void {
  const show = () => {
    document.documentElement.dataset['theme'] = themeStore.get()
  }
  show()
  themeStore.subscribe(show)
  systemDark.addEventListener('change', () => themeStore.set(currentTheme()))
}

export function chooseTheme(theme: Theme): void {
  localStorage.setItem(THEME_KEY, theme)
  // The page first, so that whoever watches the store reads the new colours.
  document.documentElement.dataset['theme'] = theme
  themeStore.set(theme)
}

export function chooseZone(zone: Zone): void {
  localStorage.setItem(ZONE_KEY, zone)
  zoneStore.set(zone)
}

export function chooseLetters(on: boolean): void {
  localStorage.setItem(LETTERS_KEY, on ? 'on' : 'off')
  lettersStore.set(on)
}
