import { expect, it } from 'vitest'
import { asksForFailed, parseTerms, queryInWords, quoted, traceIdFrom, withoutTerm, withTerm } from './query'

it('reads terms with quoted values', () => {
  const terms = parseTerms('service=cart dur>500ms http.route="/pay \\"now\\""')
  expect(terms.map(({ key, operator, value }) => [key, operator, value])).toEqual([
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

it('quotes a value so that it reads back as itself', () => {
  for (const value of ['plain', 'two words', 'a "quote"', 'back\\slash', '=', '', 'ü']) {
    expect(parseTerms(`k=${quoted(value)}`)[0]?.value).toBe(value)
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
