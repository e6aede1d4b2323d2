import { QueryClientProvider } from '@tanstack/react-query'
import { cleanup, fireEvent, render, screen, waitFor, within } from '@testing-library/react'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { createQueryClient } from './App'
import { QueryBox } from './QueryBox'
import { queryErrorStore } from './queryError'
import { initialSearch, rememberSearch } from './session'

beforeEach(() => {
  document.head.innerHTML = '<base href="/">'
  history.replaceState(null, '', '/search')
  sessionStorage.clear()
  rememberSearch({ ...initialSearch, q: '' })
})

afterEach(() => {
  cleanup()
  queryErrorStore.set(null)
})

function box(): HTMLInputElement {
  return screen.getByRole('combobox', { name: 'Query or trace id' })
}

function open(): HTMLInputElement {
  render(
    <QueryClientProvider client={createQueryClient()}>
      <QueryBox />
    </QueryClientProvider>,
  )
  return box()
}

const key = (name: string) => fireEvent.keyDown(box(), { key: name })
const options = () => screen.getAllByRole('option').map((one) => one.textContent)

it('completes a key, its operator and its value with the keyboard alone', () => {
  const input = open()
  fireEvent.change(input, { target: { value: 'stat' } })
  expect(options()[0]).toContain('status')
  expect(input.getAttribute('aria-expanded')).toBe('true')
  expect(input.getAttribute('aria-activedescendant')).toBeNull()
  key('ArrowDown')
  const active = document.getElementById(input.getAttribute('aria-activedescendant') ?? '')
  expect(active?.getAttribute('aria-selected')).toBe('true')
  key('Enter')
  expect(input.value).toBe('status')
  key('ArrowDown')
  key('Tab')
  expect(input.value).toBe('status=')
  key('ArrowUp')
  key('Enter')
  expect(input.value).toBe('status=unset ')
  expect(location.search).toBe('')
})

it('runs the query on Enter while no suggestion is chosen; Escape closes the list first', async () => {
  const input = open()
  fireEvent.change(input, { target: { value: 'status=err' } })
  expect(key('Enter')).toBe(true)
  key('Escape')
  expect(screen.queryByRole('option')).toBeNull()
  expect(input.getAttribute('aria-expanded')).toBe('false')
  fireEvent.submit(input)
  await waitFor(() => expect(location.search).toBe('?q=status%3Derr'))
})

it('takes the first suggestion on Tab where it adds something, and else lets the focus go on', () => {
  const input = open()
  fireEvent.change(input, { target: { value: 'status=err' } })
  expect(key('Tab')).toBe(false)
  expect(input.value).toBe('status=error ')
  expect(key('Tab')).toBe(true)
})

it('puts the caret of an error below its character, whatever stands before it', () => {
  rememberSearch({ ...initialSearch, q: '😀 service= x' })
  open()
  queryErrorStore.set({ q: '😀 service= x', message: 'What is this?', position: 2 })
  return waitFor(() => {
    const problem = document.getElementById('query-problem')!
    expect(problem.querySelector('.query-before')?.textContent).toBe('😀 ')
    expect(within(problem).getByText(/at character 3/)).toBeTruthy()
  })
})
