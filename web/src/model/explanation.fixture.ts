/** An explanation for tests, and the trace it is about. */
import type { Explanation } from '../api/types'
import { idOfRow, skeletonOf, type DrawnSpan } from './traces.fixture'

const MS = 1e6

const RATES: DrawnSpan[] = Array.from({ length: 214 }, (_, at) => ({
  service: 'db',
  name: 'SELECT rates',
  start: 110 * MS + at * 8.7 * MS,
  duration: 8.7 * MS,
}))

/** `POST /pay` with 214 equal calls before a call that times out. Rows: 0 gateway, 1 payment, 2 to 215 db, 216 the origin. */
export const PAY_SKELETON = skeletonOf([
  {
    service: 'gateway',
    name: 'POST /pay',
    start: 0,
    duration: 2310 * MS,
    flags: 1,
    children: [
      {
        service: 'payment',
        name: 'POST /charge',
        start: 100 * MS,
        duration: 2010 * MS,
        flags: 1,
        children: [
          ...RATES,
          {
            service: 'payment',
            name: 'POST bank /v1/charges',
            start: 1980 * MS,
            duration: 128 * MS,
            flags: 3,
          },
        ],
      },
    ],
  },
])

export const ORIGIN_ID = idOfRow(216)

/** What a server says about `PAY_SKELETON`. */
export function payExplanation(patch: Partial<Explanation> = {}): Explanation {
  return {
    verdict: 'failed',
    summary:
      'payment failed: POST bank /v1/charges, TimeoutError: no answer from bank: deadline of 2 s passed',
    origin: [ORIGIN_ID],
    failures: [
      {
        span_id: ORIGIN_ID,
        role: 'origin',
        type: 'TimeoutError',
        message: 'no answer from bank: deadline of 2 s passed',
        service: 'payment',
        operation: 'POST bank /v1/charges',
      },
      {
        span_id: idOfRow(1),
        role: 'propagated',
        type: '',
        message: '',
        service: 'payment',
        operation: 'POST /charge',
      },
    ],
    critical_path: [
      { span_id: idOfRow(0), start_unix_nano: '0', end_unix_nano: '100000000' },
      { span_id: idOfRow(1), start_unix_nano: '100000000', end_unix_nano: '110000000' },
      ...RATES.map((_, at) => ({
        span_id: idOfRow(2 + at),
        start_unix_nano: String(110e6 + at * 8.7e6),
        end_unix_nano: String(110e6 + (at + 1) * 8.7e6),
      })),
      { span_id: ORIGIN_ID, start_unix_nano: '1980000000', end_unix_nano: '2108000000' },
      { span_id: idOfRow(0), start_unix_nano: '2108000000', end_unix_nano: '2310000000' },
    ],
    path_uncertain: false,
    shares: [
      {
        owner: 'db',
        operation: 'SELECT rates',
        critical_ns: '1861800000',
        share: 0.806,
        usual_ns: '6000000',
        span_ids: RATES.map((_, at) => idOfRow(2 + at)),
      },
      {
        owner: 'gateway',
        operation: 'POST /pay',
        critical_ns: '302000000',
        share: 0.131,
        usual_ns: '290000000',
        span_ids: [idOfRow(0)],
      },
      {
        owner: 'payment',
        operation: 'POST bank /v1/charges',
        critical_ns: '128000000',
        share: 0.055,
        usual_ns: null,
        span_ids: [ORIGIN_ID],
      },
      {
        owner: 'payment',
        operation: 'POST /charge',
        critical_ns: '18200000',
        share: 0.008,
        usual_ns: null,
        span_ids: [idOfRow(1)],
      },
    ],
    findings: [
      {
        kind: 'failure',
        text: 'payment · POST bank /v1/charges failed: TimeoutError: no answer from bank: deadline of 2 s passed (cut off after 128 ms, as POST /charge ended)',
        share: 0.055,
        numbers: {},
        span_ids: [ORIGIN_ID],
        certainty: 'certain',
      },
      {
        kind: 'late_start',
        text: 'Started 1.88 s into POST /charge (usually 8 ms): 1.86 s went to SELECT rates',
        share: 0.806,
        numbers: { delay_ns: 1.88e9 },
        span_ids: [ORIGIN_ID, idOfRow(2)],
        certainty: 'likely',
      },
      {
        kind: 'timeout',
        text: 'payment · POST /charge failed after 2.01 s: probably a time-out of 2 s',
        share: 0.8,
        numbers: { duration_ns: 2.01e9, limit_ns: 2e9 },
        span_ids: [idOfRow(1)],
        certainty: 'likely',
      },
      {
        kind: 'repeated_calls',
        text: '214 equal calls in a row under payment · POST /charge, usually 3',
        share: 0.806,
        numbers: { calls: 214, usual_calls: 3 },
        span_ids: [idOfRow(2), idOfRow(3)],
        certainty: 'certain',
      },
    ],
    usual: [
      {
        service: 'payment',
        operation: 'POST bank /v1/charges',
        count: 900,
        p50_ns: '260000000',
        p95_ns: '410000000',
      },
    ],
    root: {
      span_id: idOfRow(0),
      service: 'gateway',
      operation: 'POST /pay',
      duration_ns: '2310000000',
      count: 12062,
      percentile: 99.4,
      p50_ns: '346000000',
      p95_ns: '480000000',
      percentiles_ns: Array.from({ length: 99 }, (_, at) => String(200_000_000 + at * 3_000_000)),
    },
    completeness: { missing_parents: 0, roots: 1, young: false, notes: [] },
    clock_shifts: [],
    etag: 'e1',
    ...patch,
  }
}
