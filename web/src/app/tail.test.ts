import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { ApiError, keepToken } from '../api/client'
import type { TailOpen } from '../api/types'
import { trace } from '../model/live.fixture'
import { Tail } from './tail'

beforeEach(() => {
  vi.useFakeTimers()
  vi.stubGlobal('sessionStorage', { setItem: () => {} })
})
afterEach(() => {
  vi.useRealTimers()
  vi.unstubAllGlobals()
})

const NEW: TailOpen = {
  q: '',
  failed: false,
  rate: 50,
  since_unix_nano: '0',
  resumed: false,
  missed: 0,
}

/** Connections that the test opens, feeds and breaks. */
class Server {
  opened = 0
  refusal: ApiError | null = null
  /** What the next connection begins with. */
  opening: TailOpen = { ...NEW }
  readonly lastEventIds: string[] = []
  private controller: ReadableStreamDefaultController<Uint8Array> | null = null

  open = (signal: AbortSignal, lastEventId: string): Promise<ReadableStream<Uint8Array>> => {
    this.opened += 1
    this.lastEventIds.push(lastEventId)
    if (this.refusal !== null) return Promise.reject(this.refusal)
    const stream = new ReadableStream<Uint8Array>({
      start: (controller) => {
        this.controller = controller
        signal.addEventListener('abort', () => {
          try {
            controller.error(new DOMException('aborted', 'AbortError'))
          } catch {
            // It has ended already.
          }
        })
      },
    })
    this.send('open', this.opening)
    return Promise.resolve(stream)
  }

  send(name: string, data: unknown, id = ''): void {
    const head = id === '' ? '' : `id: ${id}\n`
    this.controller?.enqueue(
      new TextEncoder().encode(`${head}event: ${name}\ndata: ${JSON.stringify(data)}\n\n`),
    )
  }

  close(): void {
    this.controller?.close()
  }
}

const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms)
const counts = (traces: number, skipped = 0) => ({
  traces,
  spans: traces,
  failed: 0,
  skipped,
  skipped_failed: 0,
  unread_spans: 0,
  lost_spans: 0,
})

it('comes back by itself, marks the gap and goes on counting', async () => {
  const server = new Server()
  const tail = new Tail({ open: server.open })
  tail.start()
  await pass(0)
  expect(tail.phase).toBe('live')
  server.send('trace', trace('a'))
  server.send('counts', counts(20, 2))
  await pass(2000)
  server.refusal = new ApiError('away', 0, 'offline')
  server.close()
  await pass(0)
  expect([tail.phase, tail.problem?.status]).toEqual(['lost', 0])
  await pass(1000)
  server.refusal = null
  await pass(2000)
  expect(tail.phase).toBe('live')
  expect(tail.problem).toBeNull()
  server.send('trace', trace('b'))
  server.send('counts', counts(5, 1))
  await pass(0)
  expect(tail.list.items.map((item) => item.kind)).toEqual(['trace', 'gap', 'trace'])
  expect(tail.list.items[1]).toMatchObject({ about: 30, isFilled: false, wasStopped: false })
  expect([tail.counts.traces, tail.counts.skipped]).toEqual([25, 3])
  tail.stop()
})

it('goes on from where it was, with nothing missing, and counts on', async () => {
  const server = new Server()
  const tail = new Tail({ open: server.open })
  tail.start()
  await pass(0)
  server.send('trace', trace('a'), 'x.1')
  server.send('counts', counts(20))
  await pass(2000)
  server.close()
  await pass(0)
  server.opening = { ...NEW, resumed: true }
  await pass(1000)
  expect([tail.phase, server.lastEventIds]).toEqual(['live', ['', 'x.1']])
  expect(tail.counts.traces).toBe(20)
  server.send('trace', trace('b'), 'x.2')
  server.send('counts', counts(24))
  await pass(0)
  expect(tail.counts.traces).toBe(24)
  expect(tail.list.items.map((item) => item.kind)).toEqual(['trace', 'gap', 'trace'])
  expect(tail.list.items[1]).toMatchObject({ about: null, isFilled: true })

  server.opening = { ...NEW, resumed: true, missed: 7 }
  server.close()
  await pass(1000)
  expect(server.lastEventIds.at(-1)).toBe('x.2')
  expect(tail.list.items[0]).toMatchObject({ about: 7, isFilled: false })

  server.send('end', { reason: 'the server stops' })
  server.opening = NEW
  server.close()
  await pass(1000)
  expect(tail.list.items[0]).toMatchObject({ wasStopped: true, isFilled: false })
  tail.stop()
})

it('takes a connection on which nothing comes for a dead one', async () => {
  const server = new Server()
  const tail = new Tail({ open: server.open })
  tail.start()
  await pass(29_000)
  expect(server.opened).toBe(1)
  await pass(4_000)
  expect(server.opened).toBe(2)
  tail.stop()
})

it('waits for a token, and asks a query that is refused only once', async () => {
  const server = new Server()
  server.refusal = new ApiError('token', 401, 'unauthenticated')
  const tail = new Tail({ open: server.open })
  tail.start()
  await pass(60_000)
  expect([tail.phase, server.opened]).toEqual(['token', 1])
  server.refusal = new ApiError('bad', 400, 'bad_query', 5)
  keepToken('sesame')
  await pass(60_000)
  expect([tail.phase, server.opened]).toEqual(['refused', 2])
  server.refusal = null
  tail.retry()
  await pass(0)
  expect(tail.phase).toBe('live')
  tail.stop()
})

it('shows only what is wanted, and nothing after its end', async () => {
  const server = new Server()
  const tail = new Tail({ open: server.open, isWanted: async ({ trace_id: id }) => id === 'b' })
  const drawn = vi.fn()
  tail.subscribe(drawn)
  tail.start()
  await pass(0)
  for (const id of ['a', 'b']) server.send('trace', trace(id))
  await pass(200)
  expect(tail.list.items.map((item) => item.id)).toEqual(['b'])
  expect(drawn).toHaveBeenCalled()
  tail.stop()
  await pass(60_000)
  expect(server.opened).toBe(1)
})
