import { cleanup, render, screen } from '@testing-library/react'
import { afterEach, expect, it } from 'vitest'
import { initialSearch } from '../app/session'
import { heatOf } from '../model/heat'
import { AheadNotice } from './AheadNotice'

afterEach(cleanup)

/** With traces up to so many minutes after now. */
function heat(minutes: number) {
  const ns = (at: number) => String(BigInt(Date.now() + at * 60_000) * 1_000_000n)
  return heatOf({
    x_unix_nano: [-60, minutes, minutes + 1].map(ns),
    y_ns: ['1', '10'],
    cells: [[1, 0, 1, 0]],
    estimated: [],
  })
}

it('says that traces start after now and leads to the others', () => {
  render(<AheadNotice heat={heat(60)} state={{ ...initialSearch, q: 'a=1' }} />)
  expect(screen.getByRole('region').textContent).toContain('Some traces start after now')
  const href = screen.getByRole('link', { name: 'Leave them out' }).getAttribute('href')
  expect(href).toBe('/search?q=a%3D1&to=now-1s')
})

it('says nothing where clocks differ little, where the end is chosen, and where nothing matches', () => {
  render(<AheadNotice heat={heat(1)} state={initialSearch} />)
  render(<AheadNotice heat={heat(60)} state={{ ...initialSearch, to: 'now-1s' }} />)
  render(
    <AheadNotice
      heat={heatOf({ x_unix_nano: [], y_ns: [], cells: [], estimated: [] })}
      state={initialSearch}
    />,
  )
  expect(screen.queryByRole('region')).toBeNull()
})
