import { cleanup, render, screen } from '@testing-library/react'
import { afterEach, expect, it } from 'vitest'
import { initialSearch } from '../app/session'
import { AheadNotice } from './AheadNotice'

afterEach(cleanup)

const last = BigInt(Date.now() + 3_600_000) * 1_000_000n

it('says how many traces start after now and leads to the others, and to them', () => {
  render(
    <AheadNotice
      ahead={{ from: '2026-11-22T10:00:00.000000000Z', count: 2, last, isLeftOut: true }}
      state={{ ...initialSearch, q: 'a=1' }}
    />,
  )
  expect(screen.getByRole('region').textContent).toContain('2 traces start after now')
  const href = (name: string) => screen.getByRole('link', { name }).getAttribute('href')
  expect(href('Leave them out')).toBe('/search?q=a%3D1&to=now-1s')
  expect(href('Show those after now')).toBe('/search?q=a%3D1&from=2026-11-22T10:00:00.000000000Z')
})

it('has no way to others where there are none, and no number where it is not known', () => {
  render(
    <AheadNotice
      ahead={{ from: '2026-11-22T10:00:00.000000000Z', count: null, last, isLeftOut: false }}
      state={initialSearch}
    />,
  )
  expect(screen.getByRole('region').textContent).toContain('Some traces start after now')
  expect(screen.queryByRole('link')).toBeNull()
})
