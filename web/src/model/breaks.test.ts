import { expect, it } from 'vitest'
import { isPath, pieces } from './breaks'

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

it('knows names that differ at their end', () => {
  expect(['/shop.Cart/AddItem', 'shop.Cart/AddItem', '/var/lib/orders.db'].every(isPath)).toBe(true)
  expect(['GET /cart', 'orders', 'a.b.example', ''].some(isPath)).toBe(false)
})
