import { QueryClientProvider } from '@tanstack/react-query'
import { cleanup, configure, fireEvent, render, screen, within } from '@testing-library/react'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import type { KeyValue, Span } from '../api/otlp'
import { createQueryClient } from '../app/App'
import { pinsStore } from '../app/preferences'
import { initialSearch, refusedStore, searchStore } from '../app/session'
import { serviceColours } from '../model/colours'
import { payExplanation } from '../model/explanation.fixture'
import { UsualValues } from '../model/explanation'
import { TraceModel } from '../model/trace'
import { idOfRow, skeletonOf } from '../model/traces.fixture'
import { SpanPane, type PaneGroup } from './SpanPane'
import { FOLD_CHARACTERS } from './Value'

configure({ asyncUtilTimeout: 10_000 })
vi.setConfig({ testTimeout: 30_000 })

const TRACE_ID = '4bf92f3577b34da6a3ce929d0e0e4736'
const T0 = '1795349071207000000'

function attributes(values: Record<string, string | number>): KeyValue[] {
  return Object.entries(values).map(([key, value]) => ({
    key,
    value: typeof value === 'number' ? { intValue: value } : { stringValue: value },
  }))
}

let span: Span

beforeEach(() => {
  document.head.innerHTML = '<base href="/">'
  localStorage.clear()
  pinsStore.set([])
  span = {
    traceId: TRACE_ID,
    spanId: idOfRow(0),
    startTimeUnixNano: T0,
    endTimeUnixNano: String(BigInt(T0) + 128_000_000n),
  }
  vi.stubGlobal('fetch', () =>
    Promise.resolve(
      new Response(
        JSON.stringify({
          resourceSpans: [{ scopeSpans: [{ scope: { name: 'clew.httpx' }, spans: [span] }] }],
        }),
      ),
    ),
  )
})

afterEach(() => {
  cleanup()
  vi.unstubAllGlobals()
})

async function open({
  name = 'POST bank /v1/charges',
  group = null,
  duration = 128e6,
}: { name?: string; group?: PaneGroup | null; duration?: number } = {}) {
  const model = new TraceModel(skeletonOf([{ service: 'payment', name, start: 0, duration, flags: 3 }], T0))
  const onClose = vi.fn()
  render(
    <QueryClientProvider client={createQueryClient()}>
      <SpanPane
        traceId={TRACE_ID}
        model={model}
        node={0}
        colours={serviceColours(model)}
        usual={new UsualValues(payExplanation())}
        isHandled={false}
        group={group}
        shift=""
        onClose={onClose}
        onEvents={() => {}}
      />
    </QueryClientProvider>,
  )
  const pane = screen.getByRole('complementary', { name: 'Span details' })
  await within(pane).findByRole('tab', { name: 'Overview' })
  return { pane, onClose }
}

it('folds a value of megabytes and shows all of it when asked', async () => {
  span.attributes = attributes({ blob: 'x'.repeat(3_000_000) })
  const { pane } = await open()
  const shown = () => within(pane).getByText(/^x+…?$/).textContent!.length
  expect(shown()).toBe(FOLD_CHARACTERS + 1)
  fireEvent.click(within(pane).getByRole('button', { name: 'show all, 3 MB' }))
  expect(shown()).toBe(3_000_000)
  fireEvent.click(within(pane).getByRole('tab', { name: 'Raw' }))
  expect(pane.textContent!.length).toBeLessThan(50_000)
})

it('shows an attribute whose key is empty, which the JSON leaves out, with what can be done with it', async () => {
  span.attributes = [...attributes({ a: 'b' }), JSON.parse('{"value":{"stringValue":"v"}}') as KeyValue]
  const { pane } = await open()
  expect(within(pane).getByTitle('').textContent).toBe('empty key')
  const link = within(pane).getByRole('link', { name: 'Search for this value of empty key' })
  expect(new URL((link as HTMLAnchorElement).href).searchParams.get('q')).toContain('""=v')
  expect(within(pane).queryByRole('link', { name: 'Show empty key as a column of Search' })).toBeNull()
})

it('indents JSON and copies it as it came', async () => {
  span.attributes = attributes({ body: '{"a":[1]}' })
  const { pane } = await open()
  expect(within(pane).getByText(/"a"/).textContent).toBe('{\n  "a": [\n    1\n  ]\n}')
})

it('shows the frames of the application and folds those of libraries', async () => {
  span.events = [
    {
      name: 'exception',
      attributes: attributes({
        'exception.type': 'TimeoutError',
        'exception.message': 'no answer from bank',
        'exception.stacktrace': `Traceback (most recent call last):
  File "/srv/app/payment/charge.py", line 41, in charge
    return await client.post_charge(order)
  File "/venv/lib/python3.12/site-packages/httpx/_client.py", line 1859, in post
    return await self.request(
  File "/venv/lib/python3.12/site-packages/clew/httpx.py", line 12, in handle
    return await call(request)
TimeoutError: no answer from bank
`,
      }),
    },
  ]
  const { pane } = await open()
  const error = within(pane).getByRole('region', { name: 'Message and stack' })
  expect(error.textContent).toContain('payment/charge.py:41 charge')
  expect(error.textContent).not.toContain('httpx')
  fireEvent.click(within(error).getByRole('button', { name: /2 frames of libraries/ }))
  expect(error.textContent).toContain('httpx/_client.py:1859')
})

it('says what is usual for the span', async () => {
  const { pane } = await open()
  expect(pane.textContent).toContain('128 ms usually 260 ms, p95 410 ms')
})

it('keeps the close button beside a name of 5,000 characters', async () => {
  const { pane, onClose } = await open({ name: 'N'.repeat(5000) })
  expect(within(pane).getByRole('heading', { level: 2 }).getAttribute('title')!.length).toBeLessThan(400)
  fireEvent.click(within(pane).getByRole('button', { name: 'Close the details' }))
  expect(onClose).toHaveBeenCalled()
})

it('breaks keys between their parts only', async () => {
  span.attributes = attributes({ 'http.request.header.x-long': 'v' })
  const { pane } = await open()
  const key = pane.querySelector('dt')!
  expect(key.textContent).toBe('http.request.header.x-long')
  expect(key.querySelectorAll('wbr')).toHaveLength(4)
})

it('puts a pinned attribute first, in this and every other span', async () => {
  span.attributes = attributes({ a: 1, b: 2, zone: 'north' })
  const { pane } = await open()
  fireEvent.click(within(pane).getByRole('button', { name: 'Pin zone' }))
  expect(pane.querySelector('dt')!.textContent).toBe('zone')
  expect(localStorage.getItem('clew.pins')).toBe('["zone"]')
  fireEvent.click(within(pane).getByRole('button', { name: 'Pin zone' }))
  expect(pane.querySelector('dt')!.textContent).toBe('a')
})

it('searches for a value, excludes it, and shows its key as a column, beside what Search has in view', async () => {
  searchStore.set({ ...initialSearch, q: 'dur>5ms', cols: ['zone'] })
  span.attributes = attributes({ 'payment.bank': 'north', name: 'a b' })
  const { pane } = await open()
  const target = (name: string) => {
    const link = within(pane).getByRole('link', { name })
    return decodeURIComponent(link.getAttribute('href')!)
  }
  expect(target('Search for this value of payment.bank')).toBe(
    '/search?q=dur>5ms payment.bank=north&cols=zone',
  )
  expect(target('Exclude this value of payment.bank')).toBe('/search?q=dur>5ms payment.bank!=north&cols=zone')
  expect(target('Show payment.bank as a column of Search')).toBe('/search?q=dur>5ms&cols=zone,payment.bank')
  // In a query a bare `name` is the span's.
  expect(target('Exclude this value of name')).toBe('/search?q=dur>5ms "name"!="a b"&cols=zone')
})

it('begins a new query where the server refused the one in view', async () => {
  searchStore.set({ ...initialSearch, q: 'dur>', cols: ['zone'] })
  refusedStore.set('dur>')
  span.attributes = attributes({ 'payment.bank': 'north' })
  const { pane } = await open()
  const link = within(pane).getByRole('link', { name: 'Search for this value of payment.bank' })
  expect(decodeURIComponent(link.getAttribute('href')!)).toBe('/search?q=payment.bank=north&cols=zone')
  refusedStore.set(null)
})

it('searches for values of events as those of events, and makes no columns of them', async () => {
  searchStore.set({ ...initialSearch, q: '', cols: [] })
  span.events = [{ name: 'retry', attributes: attributes({ attempt: 2, 'two words': 1 }) }]
  const { pane } = await open()
  fireEvent.click(within(pane).getByRole('tab', { name: 'Events 1' }))
  const hrefs = within(pane)
    .getAllByRole('link')
    .map((link) => link.getAttribute('href'))
  expect(hrefs).toEqual(['/search?q=event.attempt%3D2', '/search?q=event.attempt%21%3D2'])
})

it('links to what a span links to, and to the traces that link to it', async () => {
  const other = 'b'.repeat(32)
  const spans = fetch
  vi.stubGlobal('fetch', (url: string) => {
    const address = new URL(url)
    if (!address.pathname.endsWith('/traces')) return spans(url)
    expect(address.searchParams.get('q')).toBe(`link.trace=${TRACE_ID}`)
    const traces = [{ trace_id: 'c'.repeat(32), root_name: 'process', root_service: 'worker' }]
    return Promise.resolve(new Response(JSON.stringify({ traces, complete: true, reason: null, next: null })))
  })
  span.links = [
    { traceId: other, spanId: idOfRow(7) },
    { traceId: TRACE_ID, spanId: idOfRow(3) },
  ]
  const { pane } = await open()
  fireEvent.click(within(pane).getByRole('tab', { name: 'Links 2' }))
  await within(pane).findByRole('heading', { name: 'Traces that link to this one' })
  expect(
    within(pane)
      .getAllByRole('link')
      .map((link) => link.getAttribute('href')),
  ).toEqual([
    `/trace/${other}?span=${idOfRow(7)}`,
    `/trace/${TRACE_ID}?span=${idOfRow(3)}`,
    `/trace/${'c'.repeat(32)}`,
  ])
})

it('marks an event that came as a log record', async () => {
  span.events = [
    { name: 'exception', attributes: attributes({ 'clew.from': 'log', 'exception.type': 'KeyError' }) },
  ]
  const { pane } = await open()
  fireEvent.click(within(pane).getByRole('tab', { name: 'Events 1' }))
  expect(within(pane).getByText('from a log')).toBeTruthy()
})

it('shows a span that ends before it begins with its negative length', async () => {
  const { pane } = await open({ duration: -200e6 })
  expect(within(pane).getByText('−200 ms')).toBeTruthy()
  expect(pane.textContent).toContain('ends before it begins, as sent')
})

it('tells of a group what its members took, and opens and closes it', async () => {
  const onToggle = vi.fn()
  const summary = { count: 214, total: 1.86e9, min: 2e6, median: 8e6, max: 30e6, selfTime: 1.86e9 }
  const { pane } = await open({ group: { summary, isFolded: true, onToggle } })
  for (const text of ['1.86 s', '2.00 ms', '8.00 ms', '30.0 ms'])
    expect(within(pane).getByText(text)).toBeTruthy()
  fireEvent.click(within(pane).getByRole('button', { name: 'Show the 214 one by one' }))
  expect(onToggle).toHaveBeenCalled()
  cleanup()
  const again = await open({ group: { summary, isFolded: false, onToggle } })
  expect(within(again.pane).getByRole('button', { name: 'Close the group of 214' })).toBeTruthy()
  expect(within(again.pane).getByText('128 ms')).toBeTruthy()
})

it('is widened with the arrow keys of its edge', async () => {
  const { pane } = await open()
  const edge = within(pane).getByRole('separator', { name: 'Width of the details' })
  const before = Number(edge.getAttribute('aria-valuenow'))
  fireEvent.keyDown(edge, { key: 'ArrowLeft' })
  expect(Number(edge.getAttribute('aria-valuenow'))).toBe(before + 24)
  expect(pane.style.width).toBe(`${before + 24}px`)
})
