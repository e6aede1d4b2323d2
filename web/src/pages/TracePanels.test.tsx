import { cleanup, configure, fireEvent, render, screen, waitFor, within } from '@testing-library/react'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { App, createQueryClient } from '../app/App'
import { ORIGIN_ID, PAY_SKELETON, payExplanation } from '../model/explanation.fixture'
import { idOfRow, skeletonOf } from '../model/traces.fixture'

const TRACE_ID = '4bf92f3577b34da6a3ce929d0e0e4736'

configure({ asyncUtilTimeout: 10_000 })
vi.setConfig({ testTimeout: 30_000 })

/** What the server says, by the path below the trace; 'never' keeps the page waiting. */
let answers: Record<string, { status?: number; body: unknown } | 'never'> = {}

beforeEach(() => {
  answers = { skeleton: { body: PAY_SKELETON }, explain: { body: payExplanation() } }
  sessionStorage.clear()
  document.head.innerHTML = '<base href="/">'
  // Without a size no row is in sight.
  vi.spyOn(HTMLElement.prototype, 'clientHeight', 'get').mockReturnValue(800)
  vi.spyOn(HTMLElement.prototype, 'clientWidth', 'get').mockReturnValue(1200)
  vi.stubGlobal('fetch', (url: string) => {
    const path = new URL(url).pathname.replace(`/api/v1/traces/${TRACE_ID}/`, '')
    const answer = answers[path] ?? { status: 404, body: { error: { code: 'not_found', message: path } } }
    if (answer === 'never') return new Promise(() => {})
    return Promise.resolve(new Response(JSON.stringify(answer.body), { status: answer.status ?? 200 }))
  })
})

afterEach(() => {
  cleanup()
  vi.unstubAllGlobals()
  vi.restoreAllMocks()
})

function open(search = '') {
  history.replaceState(null, '', `/trace/${TRACE_ID}${search}`)
  const client = createQueryClient()
  client.setDefaultOptions({ queries: { ...client.getDefaultOptions().queries, retry: false } })
  render(<App client={client} />)
}

/** A panel once the explanation is there, or will not come. */
async function settled(name: string) {
  await waitFor(() => expect(document.querySelector('.panels')?.getAttribute('aria-busy')).toBe('false'))
  return screen.getByRole('region', { name })
}
const failed = () => settled('Where it failed')
const slow = () => settled('Why it was slow')
const selectedRow = () => document.querySelector('[role=row][aria-selected=true]')?.getAttribute('aria-label')

it('names the span that failed, its exception and message, and what came before it', async () => {
  open()
  const panel = await failed()
  await within(panel).findByText('TimeoutError')
  expect(panel.textContent).toContain('payment · POST bank /v1/charges')
  expect(panel.textContent).toContain('no answer from bank: deadline of 2 s passed')
  expect(panel.textContent).toContain('deadline of 2 s passed (cut off after 128 ms, as POST /charge ended)')
  expect(panel.textContent).toContain('probably a time-out of 2 s')
  expect(panel.textContent).toContain('Started 1.88 s into POST /charge (usually 8 ms)')
  const path = within(panel).getByRole('list', { name: 'From the root to the failure' })
  expect(path.textContent).toBe('gateway›payment')
})

it('selects the failure at first, and says how the duration compares', async () => {
  open()
  await within(await failed()).findByText('TimeoutError')
  await waitFor(() => expect(selectedRow()).toMatch(/^payment, POST bank \/v1\/charges, failed/))
  expect(screen.getByText('6.7 × usual')).toBeTruthy()
  expect(screen.getByText('usually p50 346 ms · p95 480 ms')).toBeTruthy()
})

it('lists the shares of the critical path with what was found about each and what is usual', async () => {
  open()
  const panel = await slow()
  const rows = await within(panel).findAllByRole('listitem')
  expect(rows[0]!.textContent).toContain('81 %1.86 sdb · SELECT rates')
  expect(rows[0]!.textContent).toContain('214 equal calls in a row under payment · POST /charge, usually 3')
  expect(rows[0]!.textContent).toContain('usually 6.00 ms')
  expect(rows).toHaveLength(4)
  fireEvent.click(within(panel).getByRole('button', { name: '1 more, none above 0.8 %' }))
  expect(within(panel).getByText('payment · POST /charge')).toBeTruthy()
})

it('selects the spans of a share or finding when it is clicked', async () => {
  open()
  fireEvent.click(await within(await slow()).findByRole('button', { name: 'db · SELECT rates' }))
  await waitFor(() => expect(location.search).toContain(`span=${idOfRow(2)}`))
  expect(selectedRow()).toMatch(/^db, SELECT rates, 214 equal calls/)
})

it('walks the critical path with c and C, a folded group in one step', async () => {
  open('?span=' + idOfRow(1))
  await within(await failed()).findByText('TimeoutError')
  const seen: (string | null | undefined)[] = []
  for (const key of ['c', 'c', 'c', 'C']) {
    fireEvent.keyDown(document.body, { key })
    await waitFor(() => expect(selectedRow()).not.toBe(seen.at(-1)))
    seen.push(selectedRow())
  }
  expect(seen.map((sentence) => sentence?.split(',')[1])).toEqual([
    ' SELECT rates',
    ' POST bank /v1/charges',
    ' POST /pay',
    ' POST bank /v1/charges',
  ])
})

it('walks several failures with e, the cause first whatever the order of the rows', async () => {
  const { failures } = payExplanation()
  answers['explain'] = {
    body: payExplanation({
      origin: [ORIGIN_ID, idOfRow(2)],
      failures: [
        ...failures,
        {
          span_id: idOfRow(2),
          role: 'origin',
          type: 'KeyError',
          message: 'sku',
          service: 'db',
          operation: 'SELECT rates',
        },
      ],
    }),
  }
  open()
  const panel = await failed()
  await within(panel).findByText('1 of 2')
  fireEvent.keyDown(document.body, { key: 'e' })
  await within(panel).findByText('2 of 2')
  expect(panel.textContent).toContain('KeyError')
  fireEvent.click(within(panel).getByRole('button', { name: 'Next first failure' }))
  await within(panel).findByText('1 of 2')
})

it('never selects a handled failure as the cause, and calls it handled', async () => {
  const [failure] = payExplanation().failures
  answers['explain'] = {
    body: payExplanation({ verdict: 'usual', origin: [], failures: [{ ...failure!, role: 'handled' }] }),
  }
  open()
  await screen.findByText('1 failure, handled')
  expect(screen.getByText('failure handled')).toBeTruthy()
  expect(location.search).toBe('')
  expect(selectedRow()).toBeUndefined()
})

it('says in one line each that no span failed and how the duration compares', async () => {
  answers['explain'] = {
    body: payExplanation({
      verdict: 'usual',
      origin: [],
      failures: [],
      findings: [],
      root: { ...payExplanation().root!, duration_ns: '346000000', percentile: 61.3 },
    }),
  }
  open()
  expect((await failed()).textContent).toBe('No span failed')
  const panel = await slow()
  await within(panel).findByText('Not slow')
  expect(panel.textContent).toContain('slower than 61 % of POST /pay')
  expect(selectedRow()).toBeUndefined()
  fireEvent.click(within(panel).getByRole('button', { name: 'all 4' }))
  expect(within(panel).getByText('payment · POST /charge')).toBeTruthy()
})

it('selects the largest finding of a slow trace', async () => {
  answers['explain'] = { body: payExplanation({ verdict: 'slow', origin: [], failures: [] }) }
  open()
  await waitFor(() => expect(selectedRow()).toMatch(/^payment, POST bank/))
})

it('says when there is too little to compare with, that the path is uncertain, and what was not seen', async () => {
  answers['explain'] = {
    body: payExplanation({
      verdict: 'unknown',
      origin: [],
      failures: [],
      path_uncertain: true,
      root: { ...payExplanation().root!, count: 12, percentile: null, p50_ns: null, p95_ns: null },
      completeness: {
        missing_parents: 1,
        roots: 1,
        young: true,
        notes: ['Too few samples: 12, 30 are needed.'],
      },
    }),
  }
  open()
  const panel = await slow()
  await within(panel).findByText('Where the time went')
  expect(panel.textContent).toContain('Too few samples: 12, 30 are needed.')
  expect(panel.textContent).toContain('uncertain')
  expect(screen.getByText('too few to compare')).toBeTruthy()
  expect(screen.getByText('may still grow')).toBeTruthy()
})

it('draws the waterfall while the explanation is not there, and says when it cannot be made', async () => {
  answers['explain'] = 'never'
  open()
  expect(await screen.findByRole('treegrid')).toBeTruthy()
  expect(await screen.findByText('Working out where the time went…')).toBeTruthy()
  cleanup()
  answers['explain'] = { status: 500, body: { error: { code: 'damaged', message: 'no luck' } } }
  open()
  expect(await screen.findByText('The trace could not be explained: no luck')).toBeTruthy()
  expect((await failed()).textContent).toContain('payment · POST bank /v1/charges')
  answers['explain'] = { body: payExplanation() }
  fireEvent.click(screen.getByRole('button', { name: 'Retry' }))
  expect(await screen.findByText('TimeoutError')).toBeTruthy()
})

it('has no panels where the server explains nothing', async () => {
  delete answers['explain']
  open()
  expect(await screen.findByText('1 of 1')).toBeTruthy()
  await waitFor(() => expect(screen.queryByRole('region', { name: 'Where it failed' })).toBeNull())
})

it('says in header and panel that a growing trace failed before its new rows are shown', async () => {
  const start = String(BigInt(Date.now()) * 1_000_000n)
  const root = { service: 'gateway', name: 'POST /pay', start: 0, duration: 1e9 }
  answers['skeleton'] = { body: { ...skeletonOf([root], start), etag: 'one' } }
  answers['explain'] = {
    body: payExplanation({
      verdict: 'usual',
      origin: [],
      failures: [],
      findings: [],
      shares: [],
      critical_path: [],
    }),
  }
  open()
  expect((await screen.findAllByText('no span failed')).length).toBe(1)
  const child = { service: 'db', name: 'SELECT', start: 1, duration: 5, flags: 3 }
  answers['skeleton'] = {
    body: { ...skeletonOf([{ ...root, flags: 1, children: [child] }], start), etag: 'two' },
  }
  const failure = {
    ...payExplanation().failures[0]!,
    span_id: idOfRow(1),
    service: 'db',
    operation: 'SELECT',
  }
  answers['explain'] = { body: payExplanation({ origin: [idOfRow(1)], failures: [failure] }) }
  fireEvent.keyDown(document.body, { key: 'r' })
  await screen.findByText(/^\+1 span/)
  await screen.findByText('failed')
  expect(screen.getByRole('treegrid').getAttribute('aria-rowcount')).toBe('2')
  fireEvent.click(await screen.findByRole('button', { name: 'db · SELECT' }))
  await waitFor(() => expect(selectedRow()).toMatch(/^db, SELECT, failed/))
  expect(screen.getByRole('treegrid').getAttribute('aria-rowcount')).toBe('3')
})

it('keeps the critical path only, by the filter in the address', async () => {
  open('?only=crit')
  await within(await failed()).findByText('TimeoutError')
  const grid = screen.getByRole('treegrid')
  await waitFor(() => expect(grid.getAttribute('aria-rowcount')).toBe('5'))
  fireEvent.click(screen.getByRole('button', { name: 'Failed 3' }))
  await waitFor(() => expect(grid.getAttribute('aria-rowcount')).toBe('4'))
  expect(location.search).toContain('only=err')
  expect(screen.getByRole('button', { name: 'Critical 217' })).toBeTruthy()
})

it('shows the statistics, services and flame graph, by the address and by click', async () => {
  open('?tab=stats')
  const table = await screen.findByRole('table', { name: 'Operations' })
  const cells = [...table.querySelectorAll('tbody tr')].map((row) => row.textContent)
  expect(cells[0]).toContain('db SELECT rates214')
  expect(cells).toHaveLength(4)
  fireEvent.click(within(table).getByRole('button', { name: 'db SELECT rates' }))
  await waitFor(() => expect(location.search).toContain(`span=${idOfRow(2)}`))

  fireEvent.click(screen.getByRole('button', { name: 'Services' }))
  const calls = await screen.findByRole('table', { name: 'Calls between services' })
  expect(within(calls).getAllByRole('row')[1]!.textContent).toContain('gateway')

  fireEvent.click(screen.getByRole('button', { name: 'Flame' }))
  expect((await screen.findByRole('region', { name: 'Flame graph' })).textContent).toContain(
    '217 spans in 4 boxes',
  )
  fireEvent.click(screen.getByRole('button', { name: 'Waterfall' }))
  expect(await screen.findByRole('treegrid')).toBeTruthy()
})

it('lists the events of all spans in the order of time, and marks those from logs', async () => {
  const t0 = BigInt(PAY_SKELETON.t0)
  const event = (name: string, ns: bigint, values: Record<string, string>) => ({
    name,
    timeUnixNano: String(t0 + ns),
    attributes: Object.entries(values).map(([key, stringValue]) => ({ key, value: { stringValue } })),
  })
  const flags = PAY_SKELETON.flags.map((bits, row) => (row === 0 || row === 216 ? bits | 4 : bits))
  answers['skeleton'] = { body: { ...PAY_SKELETON, flags } }
  answers['spans'] = {
    body: {
      resourceSpans: [
        {
          scopeSpans: [
            {
              spans: [
                {
                  spanId: ORIGIN_ID,
                  events: [
                    event('exception', 2_000_000_000n, {
                      'exception.type': 'TimeoutError',
                      'exception.message': 'no answer',
                      'clew.from': 'log',
                    }),
                  ],
                },
                { spanId: idOfRow(0), events: [event('accepted', 1_000_000n, { queue: 'q1' })] },
              ],
            },
          ],
        },
      ],
    },
  }
  open('?tab=events')
  const table = await screen.findByRole('table', { name: 'Events of the trace' })
  const rows = [...table.querySelectorAll('tbody tr')].map((row) => row.textContent)
  expect(rows).toEqual([
    '1.00 msgateway POST /payaccepted queue=q1',
    '2.00 spayment POST bank /v1/chargesexception from a logTimeoutError: no answer',
  ])
})

it('says in how many traces around it the same exception happened, and whether it is new', async () => {
  const asked: URL[] = []
  const trace = (start: string) => ({ trace_id: 'a'.repeat(32), start_unix_nano: start })
  const known = fetch
  vi.stubGlobal('fetch', (url: string) => {
    const address = new URL(url)
    if (!address.pathname.endsWith('/api/v1/traces')) return known(url)
    asked.push(address)
    const isBefore = address.searchParams.get('limit') === '1'
    const traces = isBefore ? [] : [trace(PAY_SKELETON.t0), trace('1795348920000000000')]
    return Promise.resolve(new Response(JSON.stringify({ traces, complete: true, reason: null, next: null })))
  })
  open()
  const panel = await failed()
  const link = await within(panel).findByRole('link', { name: /^same in 2 traces since / })
  await within(panel).findByText('NEW')
  const q = 'service=payment name="POST bank /v1/charges" event.exception.type=TimeoutError'
  expect(asked.map((one) => one.searchParams.get('q'))).toEqual([q, q])
  // The day before ends where the hours around the trace begin.
  expect(asked[1]!.searchParams.get('to')).toBe(asked[0]!.searchParams.get('from'))
  expect(new URLSearchParams(link.getAttribute('href')!.split('?')[1]).get('q')).toBe(q)
})
