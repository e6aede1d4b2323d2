import { beforeEach, expect, it } from 'vitest'
import { initialSearch } from './session'
import {
  entryOf,
  forgetSearch,
  isShown,
  openedName,
  savedAsFile,
  savedPath,
  savedStore,
  saveSearch,
  takeFile,
} from './savedSearches'

beforeEach(() => savedStore.set([]))

it('keeps searches by name, and takes them from a file again', () => {
  const slow = { ...initialSearch, q: 'dur>1s', sort: '-dur' as const, cols: ['http.route'] }
  saveSearch(' slow ones ', slow)
  saveSearch('failed', { ...initialSearch, q: 'status=error' })
  saveSearch('failed', { ...initialSearch, q: 'failed=true' })
  expect(savedStore.get().map(({ name }) => name)).toEqual(['failed', 'slow ones'])
  expect(savedPath(savedStore.get()[0]!)).toBe('/search?q=failed%3Dtrue')
  expect(JSON.parse(localStorage.getItem('clew.searches')!)).toEqual(savedStore.get())
  const file = savedAsFile()
  forgetSearch('slow ones')
  forgetSearch('failed')
  expect(takeFile(file)).toBe(2)
  expect(savedPath(savedStore.get()[1]!)).toBe('/search?q=dur%3E1s&sort=-dur&cols=http.route')
})

it('refuses another file, and leaves out of one what is no search', () => {
  expect(() => takeFile('x')).toThrow('not JSON')
  expect(() => takeFile('{}')).toThrow('no saved searches')
  expect(
    takeFile(
      '{"clew_searches": [{"name": "", "search": ""}, 3, null, {"name": "a", "search": "?q=b&from=x"}]}',
    ),
  ).toBe(1)
  expect(savedPath(savedStore.get()[0]!)).toBe('/search?q=b')
})

it('is shown where query, time, order and columns are the same, whatever the view', () => {
  const slow = { ...initialSearch, q: 'dur>1s', from: 'now-3h', sort: '-dur' as const, cols: ['a', 'b'] }
  saveSearch('slow', slow)
  const [one] = savedStore.get()
  expect(isShown(one!, slow)).toBe(true)
  expect(isShown(one!, { ...slow, view: 'table', facet: ['c'] })).toBe(true)
  for (const other of [
    { q: 'dur>2s' },
    { from: 'now-1h' },
    { to: 'now-1m' },
    { sort: 'dur' as const },
    { cols: ['a'] },
  ])
    expect(isShown(one!, { ...slow, ...other })).toBe(false)
  expect(isShown({ name: 'all', search: '' }, initialSearch)).toBe(true)
})

it('is remembered by an entry of the history, which may hold anything', () => {
  expect(openedName(entryOf('slow'))).toBe('slow')
  for (const entry of [null, undefined, 'slow', 3, {}, { saved: 4 }]) expect(openedName(entry)).toBeNull()
})
