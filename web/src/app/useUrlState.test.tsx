import { cleanup, fireEvent, render, screen } from '@testing-library/react'
import { afterEach, expect, it } from 'vitest'
import { searchPath } from './session'
import { SEARCH_FIELDS } from './url'
import { useUrlState } from './useUrlState'

function Shown() {
  const { state, change } = useUrlState(SEARCH_FIELDS)
  return (
    <>
      <output>{state.q}</output>
      <button type="button" onClick={() => change({ q: `${state.q} b=1` })}>
        Add
      </button>
    </>
  )
}

afterEach(cleanup)

it.each([
  'url.path="/a%20b"',
  'a=%41',
  'a="100 %"',
  'a="%E6%97%A5"',
  'a="%2541"',
  'a="+1&b=2#c;d"',
  'a="日本 שלום 👩‍👩‍👧‍👦"',
  'a="\\\\ \\" \\u000d"',
])('a query in the address is read as it was written: %s', (q) => {
  history.replaceState(null, '', searchPath({ q }))
  render(<Shown />)
  expect(screen.getByRole('status').textContent).toBe(q)
  fireEvent.click(screen.getByRole('button'))
  expect(screen.getByRole('status').textContent).toBe(`${q} b=1`)
})
