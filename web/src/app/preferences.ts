/** What the reader chose: theme, zone, single-letter keys. Only a click writes them, never an address. */
import { createStore } from './store'
import type { Zone } from '../model/format'

export type Theme = 'light' | 'dark'

const THEME_KEY = 'clew.theme'
const ZONE_KEY = 'clew.zone'
const LETTERS_KEY = 'clew.letters'

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
