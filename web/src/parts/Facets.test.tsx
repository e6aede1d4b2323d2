import { cleanup, render, screen } from '@testing-library/react'
import { afterEach, expect, it } from 'vitest'
import type { Summary } from '../api/types'
import { initialSearch } from '../app/session'
import { Facets } from './Facets'

afterEach(cleanup)

function show(selected: number) {
  const value = { value: 'north', count: 60, failed: 9, selected: selected * 0.9 }
  const summary = {
    facets: [{ key: 'payment.bank', difference: 0, values: [value], other: 0 }],
    facets_of: { matched: 100, failed: 10, selected, from_unix_nano: '0', to_unix_nano: '1' },
    selected: { matched: selected, failed: 0 },
  } as unknown as Summary
  render(<Facets summary={summary} state={initialSearch} onQuery={() => {}} onFacets={() => {}} />)
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
