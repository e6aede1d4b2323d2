import { expect, it } from 'vitest'
import {
  asksForFailed,
  hidesSingles,
  attributeKey,
  parseTerms,
  queryInWords,
  quoted,
  traceIdFrom,
  withoutTerm,
  withSinglesHidden,
  withTerm,
} from './query'

it('reads terms with quoted values', () => {
  const terms = parseTerms('service=cart dur>500ms http.route="/pay \\"now\\""')
  expect(terms.map(({ key, operator, values }) => [key, operator, ...values])).toEqual([
    ['service', '=', 'cart'],
    ['dur', '>', '500ms'],
    ['http.route', '=', '/pay "now"'],
  ])
})

it('says the query in words', () => {
  expect(queryInWords('service=payment status=error dur>500ms')).toBe(
    'service is payment, failed, span duration over 500ms',
  )
})

it('adds a condition once and takes it away again', () => {
  const failed = withTerm('service=cart', 'status', 'error')
  expect(failed).toBe('service=cart status=error')
  expect(withTerm(failed, 'status', 'error')).toBe(failed)
  expect(asksForFailed(failed)).toBe(true)
  expect(withoutTerm('status=error service=cart status=error', 'status', 'error')).toBe('service=cart')
})

it('excludes a value, and drops the condition that asked for it', () => {
  const asked = withTerm('dur>5ms', 'bank', 'north')
  expect(withTerm(asked, 'bank', 'north', '!=')).toBe('dur>5ms bank!=north')
  expect(withTerm('dur>5ms bank!=north', 'bank', 'north', '!=')).toBe('dur>5ms bank!=north')
  expect(withTerm('dur>5ms bank!=north', 'bank', 'north')).toBe('dur>5ms bank=north')
  expect(withTerm('bank!=north', 'bank', 'south', '!=')).toBe('bank!=north bank!=south')
  expect(queryInWords('bank!=north')).toBe('bank is not north')
})

it('keeps the blanks in a quoted value when a condition goes', () => {
  expect(withoutTerm('a="two  blanks" status=error b=1', 'status', 'error')).toBe('a="two  blanks" b=1')
})

it('quotes the key of an attribute that would mean something else', () => {
  expect(['http.route', 'name', 'event.id', 'event', 'a key', 'a"b'].map(attributeKey)).toEqual([
    'http.route',
    '"name"',
    '"event.id"',
    '"event"',
    '"a key"',
    '"a\\"b"',
  ])
  const query = withTerm('', attributeKey('a "key'), 'x')
  expect(parseTerms(query).map(({ key, values }) => [key, ...values])).toEqual([['a "key', 'x']])
  expect(withTerm(query, attributeKey('a "key'), 'x')).toBe(query)
  expect(withoutTerm(query, attributeKey('a "key'), 'x')).toBe('')
})

it('quotes a value so that it reads back as itself', () => {
  for (const value of [
    'plain',
    'two words',
    'a "quote"',
    'back\\slash',
    '=',
    '',
    'ü',
    'two\nlines',
    'a\tb',
    'a\r\nb',
    '*',
  ]) {
    expect(parseTerms(`k=${quoted(value)}`)[0]?.values).toEqual([value])
    expect(quoted(value)).not.toMatch(/[\n\r]/)
  }
})

it('takes a trace id in any case, with or without dashes', () => {
  const id = '4bf92f3577b34da6a3ce929d0e0e4736'
  expect(traceIdFrom(id)).toBe(id)
  expect(traceIdFrom(` ${id.toUpperCase()}\n`)).toBe(id)
  expect(traceIdFrom('4bf92f35-77b3-4da6-a3ce-929d0e0e4736')).toBe(id)
  expect(traceIdFrom('service=cart')).toBeNull()
  expect(traceIdFrom(id.slice(1))).toBeNull()
})

it('leaves traces of one span out, and lets them in again', () => {
  const hidden = withSinglesHidden('service=cart', true)
  expect(hidden).toBe('service=cart trace.spans>1')
  expect(hidesSingles(hidden)).toBe(true)
  expect(withSinglesHidden(hidden, true)).toBe(hidden)
  expect(withSinglesHidden(hidden, false)).toBe('service=cart')
  expect(withSinglesHidden('', true)).toBe('trace.spans>1')
  expect(queryInWords('trace.spans>1')).toBe('spans of the trace over 1')
})

it('quotes what the language would take for its own words', () => {
  expect(['Or', 'in', 'north'].map(quoted)).toEqual(['"Or"', '"in"', 'north'])
  expect(['trace.spans', 'span.kind', 'root', 'NOT', 'http.route'].map(attributeKey)).toEqual([
    '"trace.spans"',
    '"span.kind"',
    '"root"',
    '"NOT"',
    'http.route',
  ])
})

it('adds a condition that must hold beside an or and beside braces', () => {
  expect(withTerm('service=cart or service=bank', 'status', 'error')).toBe(
    '(service=cart or service=bank) status=error',
  )
  expect(withTerm('{service=cart} > {service=bank}', 'status', 'error')).toBe(
    '{service=cart} > {service=bank} {status=error}',
  )
  expect(withSinglesHidden('{service=cart}', true)).toBe('{service=cart} trace.spans>1')
  expect(withSinglesHidden('{service=cart} trace.spans>1', false)).toBe('{service=cart}')
})

it('takes away only what the whole query must fulfil', () => {
  expect(withoutTerm('a=1 and status=error', 'status', 'error')).toBe('a=1')
  expect(withoutTerm('status=error and a=1 and b=2', 'status', 'error')).toBe('a=1 and b=2')
  expect(withoutTerm('{a=1} {status=error}', 'status', 'error')).toBe('{a=1}')
  for (const text of ['a=1 or status=error', 'not status=error', '{a=1 status=error}', 'm="status=error"']) {
    expect(asksForFailed(text)).toBe(false)
    expect(withoutTerm(text, 'status', 'error')).toBe(text)
  }
})

it('shows a query that is more than a list as it is written', () => {
  expect(queryInWords('a=1 or b=2')).toBe('a=1 or b=2')
  expect(queryInWords('http.route in (/a, /b) key exists "conn refused" name=~^GET')).toBe(
    'http.route is one of /a or /b, key is there, a name with conn refused, name matches ^GET',
  )
})
