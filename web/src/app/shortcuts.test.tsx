import { cleanup, fireEvent, render, screen } from '@testing-library/react'
import { afterEach, expect, it, vi } from 'vitest'
import { Select } from '../parts/Select'
import { useShortcuts } from './shortcuts'

afterEach(cleanup)

function Page({ onKey }: { onKey: (key: string) => void }) {
  useShortcuts({ r: () => onKey('r'), Escape: () => onKey('Escape') })
  return (
    <>
      <input aria-label="text" />
      <input type="checkbox" aria-label="tick" />
      <Select label="choice" value="a" options={[{ value: 'a', label: 'a' }]} onChange={() => {}} />
    </>
  )
}

it('leaves keys to what is written or chosen in, but not to a box that is ticked', () => {
  const keys = vi.fn()
  render(<Page onKey={keys} />)
  for (const name of ['text', 'choice']) {
    const field = screen.getByLabelText(name)
    field.focus()
    fireEvent.keyDown(field, { key: 'r' })
    fireEvent.keyDown(field, { key: 'Escape' })
  }
  expect(keys).not.toHaveBeenCalled()
  // A choice is left by Escape: letters are shortcuts again.
  expect(document.activeElement).not.toBe(screen.getByLabelText('choice'))
  const tick = screen.getByLabelText('tick')
  fireEvent.keyDown(tick, { key: 'r' })
  fireEvent.keyDown(tick, { key: 'Escape' })
  expect(keys.mock.calls).toEqual([['r'], ['Escape']])
})
