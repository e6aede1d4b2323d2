import { expect, it } from 'vitest'
import { SEARCH_FIELDS, TRACE_FIELDS, readState, writeState, type SearchState, type TraceState } from './url'

const searches: SearchState[] = [
  {
    q: '',
    from: 'now-1h',
    to: 'now',
    sort: '-start',
    order: '',
    cols: [],
    facet: [],
    sel: null,
    pages: 1,
    view: 'heat',
  },
  {
    q: 'service=cart http.route="/a b&c=d#e"',
    from: 'now-15m',
    to: 'now',
    sort: '-dur',
    order: '-attr:a,b',
    cols: ['http.route', 'a,b', '100%', 'two words'],
    facet: ['"a,b"', 'host.name'],
    sel: { t0: '1795349071207000001', t1: '1795349071207000002', d0: '0', d1: '9223372036854775807' },
    pages: 3,
    view: 'table',
  },
  {
    q: 'ü=✖ +1',
    from: 'all',
    to: 'now',
    sort: '-start',
    order: '',
    cols: [],
    facet: [],
    sel: null,
    pages: 1,
    view: 'heat',
  },
  {
    q: 'x=1',
    from: '2026-11-22T10:00:00.000Z',
    to: '2026-11-22T11:00:00+01:00',
    sort: '-spans',
    order: 'failed',
    cols: [],
    facet: [],
    sel: null,
    pages: 1,
    view: 'heat',
  },
]

const id = '00f067aa0ba902b7'
const traces: TraceState[] = [
  {
    span: '',
    t: null,
    collapse: { level: null, toggled: [] },
    siblings: { all: false, toggled: [] },
    filter: '',
    only: '',
    tab: '',
    focus: '',
    clock: '',
    findin: '',
    colour: '',
    min: 0,
  },
  {
    span: id,
    t: { from: 0, to: 12 },
    collapse: { level: 3, toggled: [id] },
    siblings: { all: true, toggled: ['1111111111111111'] },
    filter: 'a b',
    only: 'err',
    tab: 'stats',
    focus: id,
    clock: 'aligned',
    findin: 'all',
    colour: 'attr:payment.bank, north',
    min: 0.1,
  },
  {
    span: id,
    t: null,
    collapse: { level: null, toggled: [id, '1111111111111111'] },
    siblings: { all: false, toggled: ['00f067aa0ba902b7'] },
    filter: '%',
    only: '',
    tab: '',
    focus: '',
    clock: '',
    findin: '',
    colour: '',
    min: 0,
  },
]

it.each(searches)('a search survives the address: %o', (state) => {
  expect(readState(SEARCH_FIELDS, writeState(SEARCH_FIELDS, '', state))).toEqual({ state, ignored: [] })
})

it.each(traces)('a trace view survives the address: %o', (state) => {
  expect(readState(TRACE_FIELDS, writeState(TRACE_FIELDS, '', state))).toEqual({ state, ignored: [] })
})

it('leaves defaults out', () => {
  expect(writeState(SEARCH_FIELDS, '', searches[0]!)).toBe('')
  expect(writeState(SEARCH_FIELDS, '?q=a', { q: '' })).toBe('')
})

it('keeps keys it does not know', () => {
  expect(writeState(SEARCH_FIELDS, '?view=heat&q=a', { q: 'b' })).toBe('?view=heat&q=b')
})

it('names bad values and goes on with the default', () => {
  expect(readState(SEARCH_FIELDS, '?from=yesterday&q=a')).toEqual({
    state: { ...searches[0]!, q: 'a' },
    ignored: ['from=yesterday'],
  })
  expect(readState(TRACE_FIELDS, '?span=xyz&t=9,3&only=some&collapse=level:x').ignored).toHaveLength(4)
})

it('shows the first rows of another question', () => {
  const write = (patch: Partial<SearchState>) => writeState(SEARCH_FIELDS, '?q=a&pages=3', patch)
  expect(write({ view: 'table' })).toBe('?q=a&pages=3&view=table')
  expect(write({ q: 'b' })).toBe('?q=b')
  expect(write({ sel: null })).toBe('?q=a')
  expect(write({ q: 'b', pages: 2 })).toBe('?q=b&pages=2')
  expect(readState(SEARCH_FIELDS, 'pages=21').ignored).toEqual(['pages=21'])
  expect(write({ pages: 30 })).toBe('?q=a&pages=20')
})

it('reads well', () => {
  expect(writeState(SEARCH_FIELDS, '', { q: 'http.route=/a b' })).toBe('?q=http.route%3D/a%20b')
})

it('ignores a selection that holds nothing', () => {
  for (const sel of ['1,2,3', '2,1,0,1', '1,2,5,5', '1,2,a,b', '1,2,3,4,5', '-1,2,3,4'])
    expect(readState(SEARCH_FIELDS, `sel=${sel}`)).toMatchObject({ ignored: [`sel=${sel}`] })
})
