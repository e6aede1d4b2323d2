import { expect, it } from 'vitest'
import type { Receiver } from '../api/types'
import { receiverAddress, receiverNote } from './receivers'

const RECEIVER: Receiver = {
  name: 'jaeger-compact',
  transport: 'udp',
  address: '127.0.0.1:6831',
  state: 'open',
  option: '--receive jaeger-compact',
  point_at: 'JAEGER_AGENT_HOST=127.0.0.1 JAEGER_AGENT_PORT=6831',
  connections: 0,
  spans: 0,
  refused_requests: 0,
  dropped_datagrams: 0,
  files: 0,
  dropped: {},
  unnamed_spans: 0,
  last_error: null,
  last_client: null,
  last_seen_unix_nano: null,
}

it('says what a receiver takes until something came, then what came and what was lost', () => {
  expect(receiverNote(RECEIVER, 'compact')).toBe('compact')
  expect(receiverNote({ ...RECEIVER, spans: 1 }, 'compact')).toBe('1 span')
  expect(receiverNote({ ...RECEIVER, files: 2, spans: 1 }, '')).toBe('2 files, 1 span')
  expect(
    receiverNote({ ...RECEIVER, spans: 1200, refused_requests: 2, dropped_datagrams: 1 }, 'compact'),
  ).toMatch(/^1.?200 spans, 2 requests refused, 1 datagram lost$/)
  expect(receiverNote({ ...RECEIVER, dropped: { log: 1, jvm_metrics: 4 } }, '')).toBe(
    '5 other messages counted, not kept',
  )
  expect(receiverNote({ ...RECEIVER, spans: 3, unnamed_spans: 2 }, '')).toBe(
    '3 spans, 2 spans before their names',
  )
})

it('gives an address a scheme where HTTP is spoken, and a receiver that is off has none', () => {
  expect(receiverAddress(RECEIVER)).toBe('127.0.0.1:6831')
  expect(receiverAddress({ ...RECEIVER, transport: 'http', address: '127.0.0.1:5778' })).toBe(
    'http://127.0.0.1:5778',
  )
  expect(receiverAddress({ ...RECEIVER, transport: 'http', address: '', state: 'off' })).toBe('')
})
