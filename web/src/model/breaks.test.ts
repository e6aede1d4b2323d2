import { expect, it } from 'vitest'
import { halves, pieces, piecesOfHalves } from './breaks'

it('breaks a name after its marks', () => {
  expect(pieces('/shop.v1.CheckoutService/PlaceOrder')).toEqual([
    '/shop.',
    'v1.',
    'CheckoutService/',
    'PlaceOrder',
  ])
  expect(pieces('GET /users/{name}/messages')).toEqual(['GET /users/', '{name}/', 'messages'])
  expect(pieces('orders_by_customer')).toEqual(['orders_', 'by_', 'customer'])
})

it('breaks a word that is too long for a line between its humps', () => {
  expect(pieces('a/ConvertAmountBetweenCurrencies')).toEqual([
    'a/',
    'Convert',
    'Amount',
    'Between',
    'Currencies',
  ])
})

it('leaves numbers, times and words whole, and loses nothing', () => {
  for (const text of ['p95 4.2 ms since 12:02', '10.0.0.1:5432', 'word', '', '/cart', '- a'])
    expect(pieces(text)).toEqual([text])
  const long = 'a.'.repeat(5_000)
  for (const text of [long, '_a__b-/c', 'ü.✖.ß']) expect(pieces(text).join('')).toBe(text)
  expect(pieces(long)).toHaveLength(1)
})

it('keeps the end of a name, from a mark on where one is near', () => {
  expect(halves('GET /api/v2/deployments/latest')).toEqual(['GET /api/v2/deployments', '/latest'])
  expect(halves('GET /api/reviews/orders/8/{id}')).toEqual(['GET /api/reviews', '/orders/8/{id}'])
  expect(halves('/shop.v1.Reservations/ReserveItems')).toEqual(['/shop.v1.Reservations', '/ReserveItems'])
  expect(halves('GET /shop/users/{name}/')).toEqual(['GET /shop/users/{name}/', ''])
  expect(halves('GET /shop/users/of/{name}/')).toEqual(['GET /shop/users', '/of/{name}/'])
  expect(halves('connect something to /tmp/socket')).toEqual(['connect something to /tmp', '/socket'])
})

it('keeps the end of one without marks, and cuts neither at a blank nor within a character', () => {
  expect(halves('SELECT something FROM orders')).toEqual(['SELECT something F', 'ROM orders'])
  expect(halves('SELECT something, other orders')).toEqual(['SELECT something, ot', 'her orders'])
  expect(halves(`${'a '.repeat(20)}b`)).toEqual([`${'a '.repeat(20)}b`, ''])
  for (const name of [
    '',
    'short',
    'ü'.repeat(40),
    '😀'.repeat(20),
    'word '.repeat(20),
    `${'x'.repeat(30)}\n/y`,
  ])
    expect(halves(name).join('')).toBe(name)
  expect(halves('😀'.repeat(20))[1]).not.toMatch(/^\p{Surrogate}/u)
})

it('breaks a name in two halves as the whole of it', () => {
  expect(piecesOfHalves(['/shop.Cart', '/AddItem'])).toEqual([
    ['/shop.', 'Cart'],
    ['/', 'AddItem'],
  ])
  expect(piecesOfHalves(['/shop.', 'Cart/AddItem'])).toEqual([['/shop.'], ['', 'Cart/', 'AddItem']])
  expect(piecesOfHalves(['GET /shop', ''])).toEqual([['GET /shop'], []])
  expect(piecesOfHalves(['', ''])).toEqual([[], ['']])
})
