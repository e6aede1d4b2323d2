import { describe, expect, test } from 'vitest'
import type { TraceAnswer, TraceSummary } from '../api/types'
import { SEARCH_FIELDS, readState, writeState, type RowOrder } from '../app/url'
import { compareValues, inOrder, orderInWords, orderedRows, ordersOf } from './rowOrder'

function trace(id: string, more: Partial<TraceSummary> = {}): TraceSummary {
  return {
    trace_id: id,
    start_unix_nano: '1',
    duration_ns: '1',
    spans: 1,
    errors: 0,
    root_service: 'shop',
    root_name: 'GET /',
    has_root: true,
    services: ['shop'],
    ...more,
  }
}

function answer(id: string, more: Partial<TraceAnswer> = {}): TraceAnswer {
  return {
    trace_id: id,
    origin: null,
    origins: 0,
    handled: 0,
    shares: [],
    other: 0,
    values: {},
    skipped: null,
    ...more,
  }
}

const origin = (service: string, operation: string, type = '') => ({
  origin: { service, operation, type, message: '', span_id: '1'.repeat(16) },
  origins: 1,
})

/** The ids in an order, of traces and what is known of them. */
function ids(order: RowOrder, ...rows: (readonly [TraceSummary, TraceAnswer | null])[]): string {
  const answers = new Map(rows)
  return inOrder([...answers.keys()], order, (one) => answers.get(one))
    .map((one) => one.trace_id)
    .join(' ')
}

describe('values', () => {
  test('are numbers by their size, before texts, and texts as a reader has them', () => {
    const values = [
      'b',
      '10',
      'Äpfel',
      '9',
      '-1',
      '1e+21',
      'v10',
      'a',
      'v9',
      '2.5',
      '',
      'Infinity',
      '0',
      'NaN',
    ]
    expect(values.toSorted(compareValues)).toEqual([
      '-1',
      '0',
      '2.5',
      '9',
      '10',
      '1e+21',
      'Infinity',
      '',
      'a',
      'Äpfel',
      'b',
      'NaN',
      'v9',
      'v10',
    ])
  })

  test('that a double cannot tell apart are told apart', () => {
    expect(compareValues('9007199254740993', '9007199254740992')).toBeGreaterThan(0)
    expect(compareValues('1.0', '1')).toBe(0)
  })
})

describe('rows', () => {
  test('are ordered by an attribute, empty ones last in both directions, equal ones as they were', () => {
    const of = (id: string, ...values: string[]) =>
      [trace(id), answer(id, { values: { size: values } })] as const
    const rows = [of('none'), of('ten', '10'), of('nine', '9'), of('also9', '9'), of('more', '9', '4')]
    expect(ids('attr:size', ...rows, [trace('unread'), null])).toBe('nine also9 more ten none unread')
    expect(ids('-attr:size', ...rows, [trace('unread'), null])).toBe('ten more nine also9 none unread')
  })

  test('are ordered by the number of services, by name and by service', () => {
    const rows = [
      [trace('a', { services: ['x', 'y'], root_name: 'GET /v10', root_service: 'zoo' }), null],
      [trace('b', { services: Array(10).fill('x'), root_name: 'get /v9', root_service: 'bar' }), null],
      [trace('c', { services: ['x'], root_name: '', root_service: '' }), null],
    ] as const
    expect(ids('-services', ...rows)).toBe('b a c')
    expect(ids('services', ...rows)).toBe('c a b')
    expect(ids('name', ...rows)).toBe('b a c')
    expect(ids('-name', ...rows)).toBe('a b c')
    expect(ids('service', ...rows)).toBe('b a c')
  })

  test('are ordered by where they failed: those with a place, a number, handled ones, those that did not', () => {
    const rows = [
      [trace('fine'), answer('fine')],
      [trace('handled', { errors: 1 }), answer('handled', { handled: 1 })],
      [trace('large', { errors: 900 }), answer('large', { skipped: 'too many spans' })],
      [trace('pay', { errors: 1 }), answer('pay', origin('payment', 'POST bank', 'TimeoutError'))],
      [trace('cart', { errors: 1 }), answer('cart', origin('cart', 'GET /cart'))],
      [trace('refused', { errors: 1 }), answer('refused', origin('payment', 'POST bank', 'Refused'))],
    ] as const
    expect(ids('failed', ...rows)).toBe('cart refused pay large handled fine')
    expect(ids('-failed', ...rows)).toBe('pay refused cart large handled fine')
  })

  test('are ordered by who had most of the time, of one service the largest share first', () => {
    const of = (id: string, owner: string, share: number) =>
      [trace(id), answer(id, { shares: [{ owner, share }] })] as const
    const rows = [
      of('a', 'db', 0.5),
      of('b', 'cart', 0.6),
      of('c', 'db', 0.9),
      [trace('d'), answer('d')],
    ] as const
    expect(ids('time', ...rows)).toBe('b c a d')
    expect(ids('-time', ...rows)).toBe('c a b d')
  })

  test('of a page that is not read yet stay behind those that are', () => {
    const one = (id: string) => trace(id)
    const pages = [
      [one('b'), one('a')],
      [one('d'), one('c')],
    ]
    const known = new Map(['a', 'b', 'd'].map((id) => [id, answer(id, { values: { k: [id] } })]))
    const ordered = () => {
      const { rows, waiting } = orderedRows(pages, 'attr:k', (row) => known.get(row.trace_id))
      return [rows.map((row) => row.trace_id).join(''), waiting]
    }
    expect(ordered()).toEqual(['abdc', 1])
    known.set('c', answer('c', { values: { k: ['A'] } }))
    expect(ordered()).toEqual(['aAbd'.replace('A', 'c'), 0])
    // The number of services is known without being read.
    expect(orderedRows(pages, 'services', () => undefined).waiting).toBe(0)
  })
})

test('an order stands in the address, of any key, and is said in words', () => {
  for (const column of ['name', 'service', 'failed', 'time', 'services', 'attr:a,b=-&"c"'] as const) {
    for (const order of ordersOf(column)) {
      const search = writeState(SEARCH_FIELDS, '?q=x', { order })
      expect(readState(SEARCH_FIELDS, search)).toMatchObject({ state: { order }, ignored: [] })
    }
  }
  expect(readState(SEARCH_FIELDS, '?order=spams').ignored).toEqual(['order=spams'])
  expect(readState(SEARCH_FIELDS, '?order=attr:').ignored).toEqual(['order=attr:'])
  expect(orderInWords('-services')).toBe('services, most first')
  expect(orderInWords('attr:http.route')).toBe('http.route, lowest first')
  expect(orderInWords('-name')).toBe('root operation, Z to A')
})
