import { cleanup, fireEvent, render, screen, waitFor, within } from '@testing-library/react'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import type { Page, Skeleton, Status } from '../api/types'
import { skeletonOf } from '../model/traces.fixture'
import { App, createQueryClient } from './App'
import { refusedStore } from './session'

const TRACE_ID = '4bf92f3577b34da6a3ce929d0e0e4736'

const STATUS: Status = {
  version: '0.1.0',
  started_unix_nano: '1795349071000000000',
  accepted_spans: 10,
  stored_spans: 10,
  rejected_spans: {},
  dropped_signals: {},
  duplicate_requests: 0,
  dead_letter_spans: 0,
  backlog_bytes: 0,
  backlog_spans: 0,
  oldest_unstored_ms: 0,
  disk_bytes: 0,
  refused_requests: 0,
  max_disk_bytes: 20e9,
  retention_s: 604_800,
  damaged_log_bytes: 0,
  damaged_agents_bytes: 0,
  damaged_store_parts: 0,
  tail_listeners: 0,
  tail_skipped_traces: 0,
  tail_unread_spans: 0,
  troubles: [],
  receivers: [
    {
      name: 'otlp-http',
      transport: 'http',
      address: '127.0.0.1:4318',
      state: 'open',
      option: '--otlp-http-port',
      point_at: '',
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
    },
  ],
}

const PAGE: Page = {
  traces: [
    {
      trace_id: TRACE_ID,
      start_unix_nano: '1795349071207000000',
      duration_ns: '2310000000',
      spans: 238,
      errors: 2,
      root_service: 'gateway',
      root_name: 'POST /pay',
      has_root: true,
      services: ['gateway', 'payment'],
    },
  ],
  complete: true,
  reason: null,
  next: null,
}

const SKELETON: Skeleton = skeletonOf([
  {
    service: 'gateway',
    name: 'POST /pay',
    start: 0,
    duration: 2.31e9,
    flags: 1,
    children: [{ service: 'payment', name: 'POST /charge', start: 1e8, duration: 2.01e9, flags: 3 }],
  },
])

interface Answer {
  status?: number
  body: unknown
}

/** What the server says, by the path below `api/v1/`. */
let answers: Record<string, Answer | 'down' | 'slow'> = {}
let asked: Request[] = []

beforeEach(() => {
  answers = { status: { body: STATUS }, traces: { body: PAGE } }
  asked = []
  sessionStorage.clear()
  document.head.innerHTML = '<base href="/">'
  history.replaceState(null, '', '/search')
  delete document.documentElement.dataset['ready']
  vi.stubGlobal('fetch', async (url: string, init: RequestInit) => {
    const { body, ...rest } = init
    asked.push(new Request(url, { ...rest, ...(body ? { body } : {}) }))
    const path = new URL(url).pathname.replace('/api/v1/', '')
    const answer = answers[path] ?? {
      status: 404,
      body: { error: { code: 'not_found', message: `no ${path}` } },
    }
    if (answer === 'slow') {
      return new Promise<Response>((_, reject) => {
        init.signal?.addEventListener('abort', () => reject(init.signal?.reason))
      })
    }
    if (answer === 'down') throw new TypeError('Failed to fetch')
    return new Response(JSON.stringify(answer.body), { status: answer.status ?? 200 })
  })
})

afterEach(() => {
  cleanup()
  vi.unstubAllGlobals()
})

function open(path: string) {
  history.replaceState(null, '', path)
  const client = createQueryClient()
  client.setDefaultOptions({ queries: { ...client.getDefaultOptions().queries, retry: false } })
  render(<App client={client} />)
}

it('lists traces with root, duration and failures, and says when it is ready', async () => {
  open('/search')
  const link = await screen.findByRole('link', { name: 'POST /pay gateway' })
  expect(link.getAttribute('href')).toBe(`/trace/${TRACE_ID}`)
  const row = screen.getAllByRole('row')[1]!
  expect(within(row).getByText('2.31 s')).toBeTruthy()
  expect(row.textContent).toContain('2 spans failed')
  await waitFor(() => expect(document.documentElement.dataset['ready']).toBe('true'))
})

it('asks for the default hour, and for all there is when told so', async () => {
  open('/search?q=service%3Dcart&from=all')
  await screen.findByRole('table', { name: 'Traces' })
  const search = asked.map((request) => new URL(request.url)).find((url) => url.pathname.endsWith('/traces'))
  expect(search?.searchParams.get('q')).toBe('service=cart')
  expect(search?.searchParams.has('from')).toBe(false)
})

it('opens a pasted trace id', async () => {
  answers[`traces/${TRACE_ID}/skeleton`] = { body: SKELETON }
  open('/search')
  const box = await screen.findByRole('combobox', { name: 'Query or trace id' })
  fireEvent.change(box, { target: { value: TRACE_ID.toUpperCase() } })
  fireEvent.submit(box)
  await waitFor(() => expect(location.pathname).toBe(`/trace/${TRACE_ID}`))
})

it('filters failed traces through the query', async () => {
  open('/search')
  await screen.findByRole('table', { name: 'Traces' })
  fireEvent.click(screen.getByRole('button', { name: 'Failed' }))
  await waitFor(() => expect(location.search).toBe('?q=status%3Derror'))
})

it('shows what is wrong with a query, below its character', async () => {
  answers['traces'] = {
    status: 400,
    body: { error: { code: 'bad_query', message: 'what is foo', position: 4 } },
  }
  open('/search?q=abc%20foo')
  expect(await screen.findByText('what is foo (at character 5)')).toBeTruthy()
  expect(screen.getByRole('combobox', { name: 'Query or trace id' }).getAttribute('aria-invalid')).toBe(
    'true',
  )
  expect(refusedStore.get()).toBe('abc foo')
})

it('says when a result is partial', async () => {
  answers['traces'] = { body: { ...PAGE, complete: false, reason: 'time was over' } }
  open('/search')
  const notice = await screen.findByRole('region', { name: 'Partial result' })
  expect(notice.textContent).toContain('Time was over. A shorter')
})

it('offers the nearest time with matches when there is none', async () => {
  answers['traces'] = { body: { ...PAGE, traces: [] } }
  open('/search?q=service%3Dcart')
  const blank = await screen.findByRole('region', { name: 'No match' })
  expect(blank.textContent).toContain('service is cart')
})

it('shows one banner with a way to retry when the server is down', async () => {
  answers = { status: 'down', traces: 'down' }
  open('/search')
  const banner = await screen.findByRole('region', { name: 'Server problem' })
  answers = { status: { body: STATUS }, traces: { body: PAGE } }
  fireEvent.click(within(banner).getByRole('button', { name: 'Retry' }))
  expect(await screen.findByRole('link', { name: 'POST /pay gateway' })).toBeTruthy()
})

it('names a bad value of the address and goes on', async () => {
  open('/search?from=yesterday')
  expect((await screen.findByRole('region', { name: 'Ignored in the address' })).textContent).toContain(
    'from=yesterday',
  )
})

it('shows how to send spans while there is none, and turns into Search with the first', async () => {
  answers['status'] = { body: { ...STATUS, accepted_spans: 0, stored_spans: 0 } }
  open('/')
  expect(await screen.findByRole('heading', { name: 'No spans yet' })).toBeTruthy()
  expect(screen.getByText('http://127.0.0.1:4318')).toBeTruthy()
  const traces = answers['traces']!
  answers['traces'] = { body: { ...PAGE, traces: [] } }
  answers['status'] = { body: { ...STATUS, accepted_spans: 1, stored_spans: 0 } }
  expect(await screen.findByText('spans, being stored', {}, { timeout: 4000 })).toBeTruthy()
  expect(screen.queryByText('No trace matches')).toBeNull()
  answers['status'] = { body: STATUS }
  answers['traces'] = traces
  expect(await screen.findByRole('table', { name: 'Traces' }, { timeout: 4000 })).toBeTruthy()
})

it('names the address in the Python lines when it is not the default', async () => {
  const receivers = STATUS.receivers.map((one) => ({ ...one, address: '127.0.0.1:40123' }))
  answers['status'] = { body: { ...STATUS, accepted_spans: 0, stored_spans: 0, receivers } }
  open('/')
  const way = await screen.findByRole('region', { name: 'Or three lines in it' })
  expect(way.textContent).toContain('configure(service_name="shop", endpoint="http://127.0.0.1:40123")')
})

it('asks for a token when the server wants one, and sends it', async () => {
  answers = { status: { status: 401, body: {} }, traces: { status: 401, body: {} } }
  open('/search')
  const input = await screen.findByLabelText('Token')
  answers = { status: { body: STATUS }, traces: { body: PAGE } }
  fireEvent.change(input, { target: { value: 'secret' } })
  fireEvent.submit(input)
  await screen.findByRole('link', { name: 'POST /pay gateway' })
  expect(asked.at(-1)?.headers.get('authorization')).toBe('Bearer secret')
})

it('shows a trace: its head, its failures, the first of them selected', async () => {
  answers[`traces/${TRACE_ID}/skeleton`] = { body: SKELETON }
  open(`/trace/${TRACE_ID}`)
  expect(await screen.findByRole('heading', { name: 'POST /pay', level: 1 })).toBeTruthy()
  expect(screen.getByText('1 of 1')).toBeTruthy()
  expect(screen.getByRole('button', { name: 'Failed 2' })).toBeTruthy()
  expect(screen.getByRole('treegrid', { name: 'Spans of the trace' }).getAttribute('aria-rowcount')).toBe('3')
})

it('collapses by key and keeps it in the address', async () => {
  answers[`traces/${TRACE_ID}/skeleton`] = { body: SKELETON }
  open(`/trace/${TRACE_ID}`)
  const grid = await screen.findByRole('treegrid')
  fireEvent.keyDown(grid, { key: '1' })
  await waitFor(() => expect(grid.getAttribute('aria-rowcount')).toBe('2'))
  expect(location.search).toContain('collapse=level:1')
})

it('says that a trace is not there', async () => {
  open(`/trace/${'b'.repeat(32)}`)
  const notice = await screen.findByRole('region', { name: 'Trace not found' })
  expect(notice.textContent).toContain('b'.repeat(32))
})

it('says that an address is not a trace id', async () => {
  open('/trace/xyz')
  expect(await screen.findByRole('heading', { name: 'Not a trace id' })).toBeTruthy()
})

it('says what is wrong with the server on every page, with all of it behind the summary', async () => {
  const since = '1795349071000000000'
  const trouble = {
    since_unix_nano: since,
    last_unix_nano: since,
    count: 3,
    message: 'Code: 243. No space left',
  }
  const troubles = [
    { ...trouble, what: 'writer' },
    { ...trouble, what: 'from_a_newer_server', message: 'whatever it is' },
  ]
  answers['status'] = { body: { ...STATUS, troubles } }
  answers[`traces/${TRACE_ID}/skeleton`] = { body: SKELETON }
  for (const path of ['/search', `/trace/${TRACE_ID}`]) {
    open(path)
    const notice = await screen.findByRole('region', { name: 'Trouble on the server' })
    const summary = notice.querySelector('summary')!
    expect(summary.textContent).toBe(
      'New spans are kept but cannot be searched yet: storing them fails. And 1 more.',
    )
    expect(notice.textContent).toContain('3 times')
    expect(notice.textContent).toContain('Code: 243. No space left')
    expect(notice.textContent).toContain('Trouble: from_a_newer_server.')
    cleanup()
  }
})

it('says nothing while all is well', async () => {
  open('/search')
  await screen.findByRole('table', { name: 'Traces' })
  expect(screen.queryByRole('region', { name: 'Trouble on the server' })).toBeNull()
})

it('recovers by itself when the server is back', async () => {
  answers = { status: 'down', traces: 'down' }
  open('/search')
  await screen.findByRole('region', { name: 'Server problem' })
  answers = { status: { body: STATUS }, traces: { body: PAGE } }
  expect(await screen.findByRole('link', { name: 'POST /pay gateway' }, { timeout: 10_000 })).toBeTruthy()
}, 20_000)

it('stops a slow request and its clock, and offers to ask again, on Search and for a trace', async () => {
  answers[`traces/${TRACE_ID}/skeleton`] = 'slow'
  answers['traces'] = 'slow'
  for (const path of ['/search', `/trace/${TRACE_ID}`]) {
    open(path)
    fireEvent.click(await screen.findByRole('button', { name: 'Cancel' }, { timeout: 10_000 }))
    const stopped = await screen.findByRole('region', { name: 'Stopped' })
    expect(screen.queryByText(/Waiting for/)).toBeNull()
    answers[`traces/${TRACE_ID}/skeleton`] = { body: SKELETON }
    answers['traces'] = { body: PAGE }
    fireEvent.click(within(stopped).getByRole('button', { name: 'Ask again' }))
    await waitFor(() => expect(screen.queryByRole('region', { name: 'Stopped' })).toBeNull())
    await waitFor(() => expect(screen.queryAllByText('POST /pay').length).toBeGreaterThan(0), {
      timeout: 10_000,
    })
    if (path === '/search') {
      // What was listed before stays, and is not said to be the answer.
      answers['traces'] = 'slow'
      const box = screen.getByRole('combobox', { name: 'Query or trace id' })
      fireEvent.change(box, { target: { value: 'service=other' } })
      fireEvent.submit(box)
      await waitFor(() => expect(document.querySelector('.toolbar-title')?.textContent).toBe('Traces'))
      fireEvent.click(await screen.findByRole('button', { name: 'Cancel' }, { timeout: 10_000 }))
      await screen.findByRole('region', { name: 'Stopped' })
      expect(screen.queryAllByText('POST /pay').length).toBeGreaterThan(0)
    }
    cleanup()
    answers[`traces/${TRACE_ID}/skeleton`] = 'slow'
  }
}, 40_000)
