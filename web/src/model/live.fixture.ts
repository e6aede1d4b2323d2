/** A trace of a live tail, for tests. */
import type { TailTrace } from '../api/types'

export function trace(id: string, spans = 1): TailTrace {
  return {
    trace_id: id,
    start_unix_nano: '1795000000000000000',
    duration_ns: '1000000',
    spans,
    errors: 0,
    root_service: 'web',
    root_name: 'GET /',
    has_root: true,
    services: ['web'],
    failed_spans: 0,
    answer: {
      trace_id: id,
      origin: null,
      origins: 0,
      handled: 0,
      shares: [{ owner: 'web', share: 1 }],
      other: 0,
      values: {},
      skipped: null,
    },
  }
}
