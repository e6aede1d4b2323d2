import { cleanup, configure, fireEvent, render, screen, waitFor } from '@testing-library/react'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { App, createQueryClient } from '../app/App'
import { PAY_SKELETON, payExplanation } from '../model/explanation.fixture'

configure({ asyncUtilTimeout: 10_000 })
vi.setConfig({ testTimeout: 30_000 })

const TRACE = {
  trace_id: 'a'.repeat(32),
  skeleton: PAY_SKELETON,
  explanation: payExplanation(),
  otlp: { resourceSpans: [] },
}

let answer: Response
let asked: string[] = []

beforeEach(() => {
  sessionStorage.clear()
  asked = []
  document.head.innerHTML = '<base href="/">'
  vi.stubGlobal('fetch', (url: string) => {
    asked.push(new URL(url).pathname)
    return Promise.resolve(url.endsWith('/decode') ? answer : new Response('{}', { status: 404 }))
  })
})

afterEach(() => {
  cleanup()
  vi.unstubAllGlobals()
})

async function drop() {
  history.replaceState(null, '', '/trace?upload')
  render(<App client={createQueryClient()} />)
  const input = await screen.findByLabelText('Choose a file')
  fireEvent.change(input, { target: { files: [new File(['{}'], 'trace.json')] } })
}

it('shows the trace of a file without asking the server for it', async () => {
  answer = new Response(JSON.stringify({ traces: [TRACE], left_out: 0, unread: null }))
  await drop()
  expect(await screen.findByRole('heading', { name: 'POST /pay', level: 1 })).toBeTruthy()
  expect(screen.getByText('TimeoutError')).toBeTruthy()
  expect(screen.getByText('trace.json')).toBeTruthy()
  expect(asked.filter((path) => path.includes('/traces/'))).toEqual([])
})

it('lets the reader choose where a file holds several traces', async () => {
  answer = new Response(
    JSON.stringify({
      traces: [TRACE, { ...TRACE, trace_id: 'b'.repeat(32) }],
      left_out: 3,
      unread: '1 span could not be read',
    }),
  )
  await drop()
  await screen.findByText('5 traces in the file')
  expect(screen.getByText('Of the file, 1 span could not be read.')).toBeTruthy()
  fireEvent.click(screen.getAllByRole('button', { name: 'POST /pay · gateway' })[1]!)
  await waitFor(() => expect(screen.getByText('b'.repeat(32))).toBeTruthy())
})

it('says what is wrong with a file', async () => {
  answer = new Response(JSON.stringify({ error: { code: 'no_spans', message: 'The file holds no span.' } }), {
    status: 400,
  })
  await drop()
  const problem = await screen.findByRole('region', { name: 'Server problem' })
  expect(problem.textContent).toContain('The file holds no span.')
})
