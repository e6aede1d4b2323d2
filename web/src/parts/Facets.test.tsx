import { QueryClient, QueryClientProvider } from '@tanstack/react-query'
import { cleanup, fireEvent, render, screen } from '@testing-library/react'
import { afterEach, expect, it, vi } from 'vitest'
import type { Summary } from '../api/types'
import { initialSearch } from '../app/session'
import { Facets } from './Facets'

afterEach(() => {
  cleanup()
  vi.unstubAllGlobals()
})

function show(selected: number, own: string[] = []) {
  const value = { value: 'north', count: 60, failed: 9, selected: selected * 0.9 }
  const summary = {
    facets: [{ key: 'payment.bank', difference: 0, values: [value], other: 0 }],
    facets_of: { matched: 100, failed: 10, selected, from_unix_nano: '0', to_unix_nano: '1' },
    selected: { matched: selected, failed: 0 },
  } as unknown as Summary
  const onFacets = vi.fn()
  render(
    <QueryClientProvider client={new QueryClient()}>
      <Facets
        summary={summary}
        state={{ ...initialSearch, facet: own }}
        onQuery={() => {}}
        onFacets={onFacets}
      />
    </QueryClientProvider>,
  )
  return onFacets
}

it('compares a selection with all others', () => {
  show(10)
  expect(screen.getByText('In the selection')).toBeTruthy()
  expect(screen.getByRole('checkbox', { name: 'payment.bank north: 90 %, 57 % of all others' })).toBeTruthy()
})

it('compares nothing with an empty selection', () => {
  show(0)
  expect(screen.getByText('In the matches')).toBeTruthy()
  expect(screen.getByRole('checkbox', { name: 'payment.bank north: 60 %, 90 % of failed' })).toBeTruthy()
})

it('has a facet once that is added and is there anyway, and says of what an added one is counted', async () => {
  const values = [{ value: 'true', count: 7 }]
  const reason = 'looked at the newest 100 traces that match'
  vi.stubGlobal('fetch', () => Promise.resolve(Response.json({ values, complete: false, reason })))
  const onFacets = show(0, ['payment.bank', 'cache.hit'])
  expect(document.querySelectorAll('.facet-key[title="payment.bank"]')).toHaveLength(1)
  await screen.findByRole('checkbox', { name: 'cache.hit true: 7 spans' })
  expect(screen.getByText('Looked at the newest 100 traces that match')).toBeTruthy()
  fireEvent.click(screen.getByRole('button', { name: 'Leave out payment.bank' }))
  expect(onFacets).toHaveBeenCalledWith(['cache.hit'])
})
