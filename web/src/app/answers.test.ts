import { expect, it } from 'vitest'
import type { TraceAnswer, TraceSummary } from '../api/types'
import { Answers } from './answers'

function row(id: string, spans = 5): TraceSummary {
  return {
    trace_id: id,
    start_unix_nano: '0',
    duration_ns: '1000',
    spans,
    errors: 0,
    root_service: 'web',
    root_name: 'GET /',
    has_root: true,
    services: [],
  }
}

function answer(id: string, ...shares: [string, number][]): TraceAnswer {
  return {
    trace_id: id,
    origin: null,
    origins: 0,
    handled: 0,
    shares: shares.map(([owner, share]) => ({ owner, share })),
    other: 0,
    values: {},
    skipped: null,
  }
}

/** Requests that are answered when the test says so. */
class Server {
  readonly asked: {
    ids: string[]
    signal: AbortSignal
    reply: (answers: TraceAnswer[]) => void
    fail: () => void
  }[] = []

  readonly ask = (ids: string[], signal: AbortSignal) =>
    new Promise<TraceAnswer[]>((resolve, reject) => {
      signal.addEventListener('abort', () => reject(new Error('aborted')))
      this.asked.push({ ids, signal, reply: resolve, fail: () => reject(new Error('down')) })
    })
}

const settled = () => new Promise((resolve) => setTimeout(resolve))

it('asks a few at a time, one request after the other, each trace once', async () => {
  const server = new Server()
  let changes = 0
  const answers = new Answers(server.ask, () => changes++)
  const rows = Array.from({ length: 13 }, (_, n) => row(`t${n}`))
  answers.want(rows)
  answers.want(rows)
  expect(server.asked.map(({ ids }) => ids.length)).toEqual([10])
  expect(answers.get(rows[0]!)).toBeUndefined()
  server.asked[0]!.reply(server.asked[0]!.ids.map((id) => answer(id, ['db', 1])))
  await settled()
  expect(answers.get(rows[0]!)?.shares).toEqual([{ owner: 'db', share: 1 }])
  expect(server.asked[1]!.ids).toEqual(['t10', 't11', 't12'])
  server.asked[1]!.reply([])
  await settled()
  expect(answers.get(rows[12]!)).toBeNull()
  answers.want(rows)
  expect(server.asked.length).toBe(2)
  expect(changes).toBe(2)
})

it('ends a request whose rows are out of view and asks for those that are in view', async () => {
  const server = new Server()
  const answers = new Answers(server.ask, () => {})
  answers.want([row('a'), row('b')])
  answers.want([row('b'), row('c')])
  expect(server.asked[0]!.signal.aborted).toBe(false)
  answers.want([row('d')])
  expect(server.asked[0]!.signal.aborted).toBe(true)
  expect(server.asked[1]!.ids).toEqual(['d'])
  await settled()
  expect(answers.get(row('a'))).toBeUndefined()
  answers.dispose()
  expect(server.asked[1]!.signal.aborted).toBe(true)
})

it('asks again for a trace that has grown, and not for one whose request failed', async () => {
  const server = new Server()
  const answers = new Answers(server.ask, () => {})
  answers.want([row('a', 5)])
  server.asked[0]!.reply([answer('a')])
  await settled()
  answers.want([row('a', 6)])
  expect(server.asked.length).toBe(2)
  server.asked[1]!.fail()
  await settled()
  expect(answers.get(row('a', 6))).toBeNull()
  answers.want([row('a', 6)])
  expect(server.asked.length).toBe(2)
})

it('gives the colours to the services with most time and keeps them', async () => {
  const server = new Server()
  const answers = new Answers(server.ask, () => {})
  answers.want([row('a')])
  server.asked[0]!.reply([answer('a', ['db', 0.7], ['web', 0.2], ['auth', 0.1])])
  await settled()
  answers.want([row('b')])
  const many = Array.from({ length: 8 }, (_, n): [string, number] => [`s${n}`, 0.1])
  server.asked[1]!.reply([answer('b', ['web', 0.2], ...many)])
  await settled()
  const named = ['db', 'web', 'auth', 's0', 's4', 's5', 'never']
  expect(named.map((name) => answers.colour(name))).toEqual([1, 2, 3, 4, 8, 0, 0])
})
