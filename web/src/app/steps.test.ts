import { afterEach, expect, it, vi } from 'vitest'
import { inSteps, isStep } from './steps'
import {
  LIVE_FIELDS,
  SEARCH_FIELDS,
  TRACE_FIELDS,
  readState,
  writeState,
  type AnyFields,
  type LiveState,
  type SearchState,
  type TraceState,
} from './url'

const ID = '00f067aa0ba902b7'
const TRACE = '/clew/trace/4bf92f3577b34da6a3ce929d0e0e4736'

// One value for each field that there is: the compiler asks for one where a field is new.
const searched: Omit<SearchState, 'pages'> = {
  q: 'service=cart',
  from: 'now-15m',
  to: '2026-11-22T10:00:00.000Z',
  sort: '-dur',
  order: '-services',
  cols: ['http.route'],
  facet: ['host.name'],
  sel: { t0: '1', t1: '2', d0: '0', d1: '9' },
  view: 'table',
}
const scrolled: Pick<SearchState, 'pages'> = { pages: 2 }
const watched: LiveState = { q: 'service=cart', show: 'failed' }
const chosen: Partial<TraceState> = {
  only: 'crit',
  tab: 'flame',
  focus: ID,
  clock: 'aligned',
  colour: 'kind',
  min: 1,
}
const passed: Partial<TraceState> = {
  span: ID,
  t: { from: 0, to: 12 },
  collapse: { level: 2, toggled: [] },
  siblings: { all: true, toggled: [] },
  filter: 'bank',
  findin: 'all',
}

function changes<S extends object>(
  path: string,
  fields: AnyFields,
  states: S,
): [string, string, AnyFields][] {
  return Object.keys(states).map((key) => [
    key,
    `${path}${writeState(fields, '', { [key]: states[key as keyof S] })}`,
    fields,
  ])
}

const isStepTo = (from: string, to: string) => isStep(new URL(from, 'http://x'), new URL(to, 'http://x'))

it('has a value for each field', () => {
  expect(Object.keys({ ...searched, ...scrolled }).toSorted()).toEqual(Object.keys(SEARCH_FIELDS).toSorted())
  expect(Object.keys(watched).toSorted()).toEqual(Object.keys(LIVE_FIELDS).toSorted())
  expect(Object.keys({ ...chosen, ...passed }).toSorted()).toEqual(Object.keys(TRACE_FIELDS).toSorted())
})

it.each([
  ...changes('/clew/search', SEARCH_FIELDS, searched),
  ...changes('/clew/live', LIVE_FIELDS, watched),
  ...changes(TRACE, TRACE_FIELDS, chosen),
])('Back undoes a change of %s: %s', (key, address, fields) => {
  const before = address.replace(/\?.*/, '')
  expect(isStepTo(before, address)).toBe(true)
  expect(isStepTo(address, before)).toBe(true)
  expect(readState(fields, new URL(address, 'http://x').search).state[key]).not.toEqual(fields[key]?.initial)
})

it('Back does not stop where more rows were shown', () => {
  expect(isStepTo('/search?q=a', '/search?q=a&pages=2')).toBe(false)
})

it.each(changes(TRACE, TRACE_FIELDS, passed))('Back does not stop where %s changed: %s', (_, address) => {
  expect(isStepTo(TRACE, address)).toBe(false)
  expect(isStepTo(`${TRACE}?only=err`, address)).toBe(true)
})

it('leads to another page, and never to where one is', () => {
  expect(isStepTo('/search?q=a', '/live?q=a')).toBe(true)
  expect(isStepTo(TRACE, `${TRACE.slice(0, -1)}7`)).toBe(true)
  expect(isStepTo('/trace?upload', '/search')).toBe(true)
  for (const address of ['/search?q=a&cols=b', '/live?show=slow', `${TRACE}?span=${ID}`, '/help'])
    expect(isStepTo(address, address)).toBe(false)
  expect(isStepTo('/search?from=now-1h&q=a%20b&sort=quatsch', '/search?q=a+b')).toBe(false)
})

it('takes what a page does not know for a choice', () => {
  expect(isStepTo('/search?q=a', '/search?q=a&later=1')).toBe(true)
  expect(isStepTo('/other?q=a', '/other?q=b')).toBe(true)
})

afterEach(() => vi.unstubAllGlobals())

it('asks for an entry of the history or not, unless that is told', () => {
  vi.stubGlobal('location', new URL('http://x/search?q=a'))
  vi.stubGlobal('history', { state: { saved: 'a' } })
  const navigate = vi.fn()
  inSteps(navigate, '/search?q=a', undefined)
  inSteps(navigate, '/search?q=b', { state: 1 })
  inSteps(navigate, '/search?q=b', { replace: true })
  inSteps(navigate, '/live?q=a', undefined)
  expect(navigate.mock.calls).toEqual([
    ['/search?q=a', { state: { saved: 'a' }, replace: true }],
    ['/search?q=b', { state: 1, replace: false }],
    ['/search?q=b', { state: { saved: 'a' }, replace: true }],
    ['/live?q=a', { replace: false }],
  ])
})
