import { QueryClient, QueryClientProvider, useQuery } from '@tanstack/react-query'
import { act, cleanup, render, screen } from '@testing-library/react'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { ApiError } from '../api/client'
import { useRecovery } from './recovery'
import { useLastError } from './useLastError'

beforeEach(() => {
  vi.useFakeTimers()
  vi.stubGlobal('fetch', () => Promise.resolve(Response.json({})))
})
afterEach(() => {
  cleanup()
  vi.useRealTimers()
  vi.unstubAllGlobals()
})

/** The seconds at which the server was asked, which answers so. */
function asks(answer: () => Promise<string>, options: { seconds: number }): Promise<number[]> {
  const start = Date.now()
  const asked: number[] = []
  function Page() {
    useRecovery()
    const { data, error } = useQuery({
      queryKey: ['a'],
      queryFn: () => {
        asked.push(Math.round((Date.now() - start) / 1000))
        return answer()
      },
      retry: false,
    })
    const shown = useLastError('a', error, data !== undefined)
    return <p>{shown?.message ?? data ?? 'nothing'}</p>
  }
  render(
    <QueryClientProvider client={new QueryClient()}>
      <Page />
    </QueryClientProvider>,
  )
  return act(async () => {
    await vi.advanceTimersByTimeAsync(options.seconds * 1000)
    return asked
  })
}

it('asks a server that has no room after longer and longer times, and shows why all the while', async () => {
  const never = new Promise<string>(() => {})
  let count = 0
  const asked = await asks(
    () => (++count < 6 ? Promise.reject(new ApiError('no room', 503, 'unavailable')) : never),
    { seconds: 70 },
  )
  const waits = asked.slice(1).map((at, number) => at - asked[number]!)
  expect(waits).toEqual([2, 4, 8, 16, 32])
  // It is being asked once more.
  expect(screen.getByText('no room')).toBeTruthy()
})

it('goes on as soon as the server answers', async () => {
  let count = 0
  const asked = await asks(
    () => (++count < 3 ? Promise.reject(new ApiError('away', 0, 'unreachable')) : Promise.resolve('here')),
    { seconds: 10 },
  )
  expect(asked).toEqual([0, 2, 4])
  expect(screen.getByText('here')).toBeTruthy()
})
