import { cleanup, fireEvent, render, screen } from '@testing-library/react'
import { afterEach, expect, it, vi } from 'vitest'
import { CommandDialog } from './CommandDialog'
import { COMMANDS, matching } from './commands'
import { lettersStore } from './preferences'
import { useShortcuts, type Shortcuts } from './shortcuts'

afterEach(() => {
  cleanup()
  lettersStore.set(true)
})

function Page({ shortcuts }: { shortcuts: Shortcuts }) {
  useShortcuts(shortcuts)
  return <CommandDialog open onClose={() => {}} />
}

it('finds commands by words in any order', () => {
  expect(matching(COMMANDS, 'path critical next').map(({ key }) => key)).toEqual(['c'])
  expect(matching(COMMANDS, '')).toHaveLength(COMMANDS.length)
})

it('lists what the page can do now, and does what is chosen, also without single-letter keys', () => {
  lettersStore.set(false)
  const next = vi.fn()
  const fit = vi.fn()
  const { rerender } = render(<Page shortcuts={{}} />)
  rerender(<Page shortcuts={{ e: next, '0': fit, E: next }} />)
  const box = screen.getByRole('combobox', { name: 'Command', hidden: true })
  fireEvent.change(box, { target: { value: 'failure' } })
  expect(screen.getAllByRole('option', { hidden: true }).map((one) => one.textContent)).toEqual([
    'Next failuree',
    'Previous failureE',
  ])
  fireEvent.keyDown(box, { key: 'ArrowDown' })
  expect(screen.getAllByRole('option', { hidden: true })[1]!.getAttribute('aria-selected')).toBe('true')
  fireEvent.keyDown(box, { key: 'Enter' })
  expect(next).toHaveBeenCalledOnce()
  expect(fit).not.toHaveBeenCalled()
})
