import { expect, it } from 'vitest'
import { fixedAddress } from './link'

const NOW = Date.parse('2026-11-22T12:00:00Z')

it('of a search has fixed times instead of those that move', () => {
  const fixed = new URL(fixedAddress('http://x/clew/search?q=service%3Dcart&from=now-15m', NOW))
  expect(fixed.searchParams.get('q')).toBe('service=cart')
  expect(fixed.searchParams.get('from')).toBe('2026-11-22T11:45:00.000Z')
  expect(fixed.searchParams.get('to')).toBe('2026-11-22T12:00:00.000Z')
})

it('of a search without times has those of the default hour', () => {
  expect(new URL(fixedAddress('http://x/search', NOW)).searchParams.get('from')).toBe(
    '2026-11-22T11:00:00.000Z',
  )
})

it('of a trace stays as it is', () => {
  const address = 'http://x/trace/4bf92f3577b34da6a3ce929d0e0e4736?span=00f067aa0ba902b7&t=0,500'
  expect(fixedAddress(address, NOW)).toBe(address)
})
