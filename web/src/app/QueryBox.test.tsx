import { QueryClientProvider } from '@tanstack/react-query'
import { cleanup, fireEvent, render, screen, waitFor, within } from '@testing-library/react'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { createQueryClient } from './App'
import { QueryBox } from './QueryBox'
import { queryErrorStore } from './queryError'
import { initialSearch, rememberSearch } from './session'

let asked: { url: URL; signal: AbortSignal }[] = []
let values: Record<string, unknown>[] = []
let isComplete = true
let isSlow = false
let refusedRest = ''

beforeEach(() => {
  document.head.innerHTML = '<base href="/">'
  history.replaceState(null, '', '/search')
  sessionStorage.clear()
  rememberSearch({ ...initialSearch, q: '' })
  asked = []
  isComplete = true
  isSlow = false
  refusedRest = 'none'
  values = [
    { value: 'cart', count: 9000 },
    { value: 'two words', count: 3 },
  ]
  vi.stubGlobal('fetch', async (address: string, { signal }: { signal: AbortSignal }) => {
    const url = new URL(address)
    asked.push({ url, signal })
    if (url.searchParams.get('q') === refusedRest)
      return new Response(JSON.stringify({ error: { code: 'bad_query', message: 'no' } }), { status: 400 })
    if (isSlow)
      return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
    const keys = [{ key: 'service.version', type: 'text', count: 12 }]
    return new Response(
      JSON.stringify({
        keys,
        values,
        complete: isComplete,
        reason: isComplete ? null : 'looked at the newest 100 spans',
      }),
    )
  })
})

afterEach(() => {
  cleanup()
  queryErrorStore.set(null)
  vi.unstubAllGlobals()
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

it('completes a key, its operator and its value with the keyboard alone', async () => {
  const input = open()
  fireEvent.change(input, { target: { value: 'ser' } })
  await screen.findByRole('option', { name: /service\.version 12/ })
  expect(options()[0]).toContain('service')
  expect(input.getAttribute('aria-expanded')).toBe('true')
  expect(input.getAttribute('aria-activedescendant')).toBeNull()
  key('ArrowDown')
  const active = document.getElementById(input.getAttribute('aria-activedescendant') ?? '')
  expect(active?.getAttribute('aria-selected')).toBe('true')
  key('Enter')
  expect(input.value).toBe('service')
  key('ArrowDown')
  key('Tab')
  expect(input.value).toBe('service=')
  await screen.findByRole('option', { name: 'cart 9,000' })
  key('ArrowUp')
  key('Enter')
  expect(input.value).toBe('service="two words" ')
  expect(location.search).toBe('')
})

it('runs the query on Enter while no suggestion is chosen; Escape closes the list first', async () => {
  const input = open()
  fireEvent.change(input, { target: { value: 'service=ca' } })
  await screen.findByRole('option', { name: 'cart 9,000' })
  expect(key('Enter')).toBe(true)
  key('Escape')
  expect(screen.queryByRole('option')).toBeNull()
  expect(input.getAttribute('aria-expanded')).toBe('false')
  fireEvent.submit(input)
  await waitFor(() => expect(location.search).toBe('?q=service%3Dca'))
})

it('takes the first suggestion on Tab where it adds something, and else lets the focus go on', async () => {
  const input = open()
  fireEvent.change(input, { target: { value: 'service=ca' } })
  await screen.findByRole('option', { name: 'cart 9,000' })
  expect(key('Tab')).toBe(false)
  expect(input.value).toBe('service=cart ')
  expect(key('Tab')).toBe(true)
  // Behind a key an operator is due: `in`, not the key `id`.
  fireEvent.change(input, { target: { value: 'kind i' } })
  expect(key('Tab')).toBe(false)
  expect(input.value).toBe('kind in (')
})

it('asks again only for what the first answer cannot say, and cancels what is overtaken', async () => {
  const input = open()
  const prefixes = () => asked.map(({ url }) => url.searchParams.get('prefix'))
  fireEvent.change(input, { target: { value: 'service=c' } })
  await screen.findByRole('option', { name: 'cart 9,000' })
  fireEvent.change(input, { target: { value: 'service=ca' } })
  await new Promise((done) => setTimeout(done, 100))
  expect(prefixes()).toEqual([null])
  isComplete = false
  fireEvent.change(input, { target: { value: 'http.route=/' } })
  await screen.findByRole('listbox', { hidden: true })
  await waitFor(() => expect(prefixes()).toEqual([null, null, '/']))
  isSlow = true
  fireEvent.change(input, { target: { value: 'http.route=/a' } })
  await waitFor(() => expect(prefixes().at(-1)).toBe('/a'))
  const overtaken = asked.at(-1)!.signal
  fireEvent.change(input, { target: { value: 'http.route=/ab' } })
  await waitFor(() => expect(prefixes().at(-1)).toBe('/ab'))
  expect(overtaken.aborted).toBe(true)
})

it('asks for keys when it gets the focus, as the first letter does, and shows them with that', async () => {
  isComplete = false
  const input = open()
  const questions = () => asked.map(({ url }) => [url.searchParams.get('prefix'), url.searchParams.get('q')])
  expect(questions()).toEqual([])
  fireEvent.focus(input)
  await waitFor(() => expect(questions()).toEqual([[null, null]]))
  expect(screen.queryByRole('option')).toBeNull()
  expect(input.getAttribute('aria-expanded')).toBe('false')
  fireEvent.change(input, { target: { value: 's' } })
  await screen.findByRole('option', { name: /service\.version 12/ })
  // Numbers of some spans only say so.
  expect(screen.getByText('Looked at the newest 100 spans')).toBeTruthy()
  await waitFor(() =>
    expect(questions()).toEqual([
      [null, null],
      ['s', null],
    ]),
  )
  fireEvent.blur(input)
  expect(screen.queryByRole('option')).toBeNull()
  fireEvent.focus(input)
  expect(questions()).toHaveLength(2)
})

it('asks for keys behind the query that stands in it', async () => {
  rememberSearch({ ...initialSearch, q: 'status=error ' })
  const input = open()
  input.setSelectionRange(13, 13)
  fireEvent.focus(input)
  const rests = () => asked.map(({ url }) => [url.pathname, url.searchParams.get('q')])
  await waitFor(() => expect(rests()).toEqual([['/api/v1/keys', 'status=error']]))
  fireEvent.change(input, { target: { value: 'status=error s' } })
  await screen.findByRole('option', { name: /service\.version 12/ })
  expect(rests()).toHaveLength(1)
})

it('asks for no values before something is typed: each question for them with a query costs a search', async () => {
  rememberSearch({ ...initialSearch, q: 'status=error service=' })
  const input = open()
  input.setSelectionRange(21, 21)
  fireEvent.focus(input)
  await new Promise((done) => setTimeout(done, 100))
  expect(asked).toEqual([])
  key('ArrowDown')
  await screen.findByRole('option', { name: 'cart 9,000' })
  expect(asked).toHaveLength(1)
})

it('does not ask again for what is on its way when the first letter is typed', async () => {
  isSlow = true
  const input = open()
  fireEvent.focus(input)
  await waitFor(() => expect(asked).toHaveLength(1))
  fireEvent.change(input, { target: { value: 'h' } })
  await new Promise((done) => setTimeout(done, 100))
  expect(asked).toHaveLength(1)
  expect(asked[0]!.signal.aborted).toBe(false)
})

it('asks for what occurs together with the rest of the query, and without it where the server does not take it', async () => {
  const input = open()
  fireEvent.change(input, { target: { value: 'status=error service=' } })
  await screen.findByRole('option', { name: 'cart 9,000' })
  const params = () => asked.map(({ url }) => [url.searchParams.get('key'), url.searchParams.get('q')])
  expect(params()).toEqual([['service', 'status=error']])
  // What is typed of the value changes nothing.
  fireEvent.change(input, { target: { value: 'status=error service=ca' } })
  expect(params()).toHaveLength(1)
  refusedRest = 'a=~"("'
  fireEvent.change(input, { target: { value: 'a=~"(" service=' } })
  await waitFor(() => expect(params()).toHaveLength(3))
  expect(params().slice(1)).toEqual([
    ['service', refusedRest],
    ['service', null],
  ])
  await screen.findByRole('option', { name: 'cart 9,000' })
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

it('opens a trace whose id is pasted alone, and takes an id that is pasted into a query as a value', () => {
  const id = '550e8400-e29b-41d4-a716-446655440000'
  const input = open()
  const paste = () => fireEvent.paste(input, { clipboardData: { getData: () => id } })
  fireEvent.change(input, { target: { value: 'user.id=' } })
  input.setSelectionRange(8, 8)
  // What is not prevented the browser inserts.
  expect(paste()).toBe(true)
  expect(location.pathname).toBe('/search')
  input.setSelectionRange(0, 8)
  expect(paste()).toBe(false)
  expect(location.pathname).toBe(`/trace/${id.replaceAll('-', '')}`)
})
