import { QueryClientProvider } from '@tanstack/react-query'
import { cleanup, fireEvent, render, screen } from '@testing-library/react'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { createQueryClient } from './App'
import { Part } from './Part'

let isAway = false

beforeEach(() => {
  vi.stubGlobal('fetch', async () => {
    if (isAway) throw new TypeError('Failed to fetch')
    return new Response('{}', { headers: { 'Content-Type': 'application/json' } })
  })
})
afterEach(() => {
  cleanup()
  vi.unstubAllGlobals()
})

function Loaded({ name }: { name: string }) {
  return <p>Hello {name}</p>
}

function show(load: () => Promise<typeof Loaded>) {
  render(
    <QueryClientProvider client={createQueryClient()}>
      <Part part={{ name: 'hello', load }} props={{ name: 'Ada' }} meanwhile={<p>Loading…</p>} />
    </QueryClientProvider>,
  )
}

it('is shown once it is loaded', async () => {
  isAway = false
  show(async () => Loaded)
  expect(screen.getByText('Loading…')).toBeTruthy()
  expect(await screen.findByText('Hello Ada')).toBeTruthy()
  expect(screen.queryByText('Loading…')).toBeNull()
})

it('says that the server is away, and comes when it is back', async () => {
  isAway = true
  show(async () => {
    if (isAway) throw new TypeError('Failed to fetch dynamically imported module')
    return Loaded
  })
  expect(await screen.findByText('The server does not answer.', {}, { timeout: 20_000 })).toBeTruthy()
  isAway = false
  fireEvent.click(screen.getByRole('button', { name: 'Retry' }))
  expect(await screen.findByText('Hello Ada')).toBeTruthy()
})

it('says that a server of another version does not have it', async () => {
  isAway = false
  show(() => Promise.reject(new TypeError('Failed to fetch dynamically imported module')))
  expect(await screen.findByText(/no longer has this part/)).toBeTruthy()
})
