import { expect, it } from 'vitest'
import type { TraceAnswer, TraceSummary } from '../api/types'
import { rowsAsCsv, rowsAsJson } from './rowsFile'

const trace: TraceSummary = {
  trace_id: '4bf92f3577b34da6a3ce929d0e0e4736',
  start_unix_nano: '1795349071207000001',
  duration_ns: '2310000000',
  spans: 238,
  errors: 2,
  root_service: 'gate, "way"',
  root_name: '=HYPERLINK("x")',
  has_root: true,
  services: ['gateway', 'payment'],
}

const answer: TraceAnswer = {
  trace_id: trace.trace_id,
  origin: {
    service: 'payment',
    operation: 'POST bank',
    type: 'TimeoutError',
    message: 'two\nlines',
    span_id: 'a',
  },
  origins: 1,
  handled: 0,
  shares: [{ owner: 'db', share: 0.81 }],
  other: 0.19,
  values: { bank: ['north', 'south'], delta: ['-1.5'], many: ['1', '2', '3', '4'] },
  skipped: null,
}

/** Rows of a CSV text, read by its own rules. */
function read(text: string): string[][] {
  expect(text[0]).toBe('\ufeff')
  const cells = [...text.slice(1).matchAll(/("(?:[^"]|"")*"|[^,\r\n]*)(,|\r\n)/g)]
  const rows: string[][] = [[]]
  for (const [, raw, end] of cells) {
    rows.at(-1)!.push(raw!.startsWith('"') ? raw!.slice(1, -1).replaceAll('""', '"') : raw!)
    if (end !== ',') rows.push([])
  }
  return rows.slice(0, -1)
}

it('writes rows that a spreadsheet reads back, and runs none of what spans say', () => {
  const [head, row] = read(rowsAsCsv([{ trace, answer }], ['bank', 'delta', 'many']))
  const cellOf = (name: string) => row![head!.indexOf(name)]
  expect(head!.length).toBe(row!.length)
  expect(cellOf('root_service')).toBe('gate, "way"')
  expect(cellOf('root_name')).toBe(`'=HYPERLINK("x")`)
  expect(cellOf('failed_message')).toBe('two\nlines')
  expect(cellOf('started')).toBe('2026-11-22T12:04:31.207000001Z')
  expect(cellOf('bank')).toBe('north; south')
  expect(cellOf('delta')).toBe('-1.5')
  // That there are more than are written is said.
  expect(cellOf('many')).toBe('1; 2; 3; …')
  expect(cellOf('time_share')).toBe('0.8100')
})

it('writes the same as JSON, also of a trace without an answer', () => {
  const [whole, bare] = JSON.parse(
    rowsAsJson(
      [
        { trace, answer },
        { trace, answer: null },
      ],
      ['bank'],
    ),
  )
  expect(whole).toMatchObject({
    ...trace,
    origin: { service: 'payment' },
    values: { bank: ['north', 'south'] },
  })
  expect(bare).toMatchObject({ origin: null, time: [], values: { bank: [] } })
})
