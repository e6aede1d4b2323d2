/** Calls of the query API: addresses below the page's base, errors as one class, the token of this tab. */
import type { Selection } from '../model/heat'
import { decodedFind, decodedSpans, decodedTrace, decodedValues, type Decoded } from './decoded'
import type { TracesData } from './otlp'
import type {
  Baseline,
  ErrorAnswer,
  Explanation,
  FoundSpans,
  KeyValues,
  Page,
  Points,
  QueryKeys,
  SimilarTrace,
  Skeleton,
  SpanValues,
  Status,
  Summary,
  TraceAnswer,
  Versions,
} from './types'

/** An answer that is not the asked one, or none at all (`status` 0). */
export class ApiError extends Error {
  constructor(
    message: string,
    readonly status: number,
    readonly code: string,
    readonly position: number | null = null,
    readonly requestId: string | null = null,
    /** Traces that were probably meant. */
    readonly similar: readonly SimilarTrace[] = [],
  ) {
    super(message)
    this.name = 'ApiError'
  }

  /** The server did not answer, or answered that it cannot now. */
  get isOutage(): boolean {
    return this.status === 0 || this.status >= 500
  }
}

const TOKEN_KEY = 'clew.token'

let onUnauthorized: () => void = () => {}

/** Names what happens when the server wants a token. */
export function whenUnauthorized(action: () => void): void {
  onUnauthorized = action
}

const waitingForToken = new Set<() => void>()

/** Keeps the token for this tab only. */
export function keepToken(token: string): void {
  sessionStorage.setItem(TOKEN_KEY, token)
  for (const go of waitingForToken) go()
  waitingForToken.clear()
}

/** Waits until the reader has given a token, or another one. */
export function nextToken(): Promise<void> {
  return new Promise((resolve) => waitingForToken.add(resolve))
}

/** Whether this tab has given a token. */
export function hasToken(): boolean {
  return sessionStorage.getItem(TOKEN_KEY) !== null
}

/** The address of this server, as commands want it. */
export function serverUrl(): string {
  return new URL('.', document.baseURI).href.replace(/\/$/, '')
}

/** The address of an API path, whatever prefix the page is served under. */
export function apiUrl(path: string): string {
  return new URL(`api/v1/${path}`, document.baseURI).href
}

interface Options {
  signal?: AbortSignal
  headers?: Record<string, string>
  body?: unknown
  /** Sent as it is. */
  file?: Blob
}

async function call<T>(path: string, options: Options = {}): Promise<T> {
  const response = await request(path, options)
  try {
    return (await response.json()) as T
  } catch (error) {
    if (options.signal?.aborted) throw error
    throw new ApiError('The answer broke off or is not JSON.', 0, 'broken_answer')
  }
}

/** The answer to a request that went well. */
async function request(path: string, { signal, headers: more, body, file }: Options = {}): Promise<Response> {
  const headers = new Headers({ accept: 'application/json', ...more })
  const token = sessionStorage.getItem(TOKEN_KEY)
  if (token !== null) headers.set('authorization', `Bearer ${token}`)
  if (body !== undefined) headers.set('content-type', 'application/json')
  let response: Response
  try {
    response = await fetch(apiUrl(path), {
      headers,
      method: body === undefined && file === undefined ? 'GET' : 'POST',
      body: file ?? (body === undefined ? null : JSON.stringify(body)),
      signal: signal ?? null,
    })
  } catch (error) {
    if (signal?.aborted) throw error
    throw new ApiError('The server does not answer.', 0, 'offline')
  }
  if (response.ok) return response
  if (response.status === 401) onUnauthorized()
  throw await errorOf(response)
}

async function errorOf(response: Response): Promise<ApiError> {
  const requestId = response.headers.get('x-request-id')
  const fallback = `The server answered ${response.status} ${response.statusText}`.trim()
  try {
    const { error } = (await response.json()) as Partial<ErrorAnswer>
    return new ApiError(
      error?.message ?? fallback,
      response.status,
      error?.code ?? 'error',
      error?.position ?? null,
      requestId,
      error?.similar,
    )
  } catch {
    return new ApiError(fallback, response.status, 'error', null, requestId)
  }
}

export interface TraceQuery {
  q: string
  from: string
  to: string
  sort?: string
  cursor?: string | null
  limit?: number
}

/** The parameters of a search; an end that means "no limit" is left out. */
export function traceParams({ q, from, to, sort, cursor, limit }: TraceQuery): string {
  const params = new URLSearchParams()
  if (q.trim() !== '') params.set('q', q.trim())
  if (from !== 'all') params.set('from', from)
  if (to !== 'now') params.set('to', to)
  if (sort !== undefined && sort !== '-start') params.set('sort', sort)
  if (limit !== undefined) params.set('limit', String(limit))
  if (cursor) params.set('cursor', cursor)
  return params.toString()
}

/** What is being completed, and in which time. */
export interface CompletionQuery {
  from: string
  to: string
  prefix: string
  /** Only spans of traces that match. */
  q?: string
}

const MOST_COMPLETIONS = 100

function completionParams({ from, to, prefix, q = '' }: CompletionQuery): URLSearchParams {
  const params = new URLSearchParams(traceParams({ q, from, to, limit: MOST_COMPLETIONS }))
  if (prefix !== '') params.set('prefix', prefix)
  return params
}

/** What a live tail is asked for. */
export interface TailQuery {
  q: string
  failed: boolean
  /** What came last on a connection that broke; empty for none. */
  lastEventId: string
}

export const api = {
  /** Traces while they arrive: the bytes of server-sent events. */
  tail: async (
    { q, failed, lastEventId }: TailQuery,
    signal: AbortSignal,
  ): Promise<ReadableStream<Uint8Array>> => {
    const params = new URLSearchParams()
    if (q.trim() !== '') params.set('q', q.trim())
    if (failed) params.set('failed', 'true')
    const headers = lastEventId === '' ? null : { 'last-event-id': lastEventId }
    const { body } = await request(`tail?${params}`, { signal, ...(headers && { headers }) })
    if (body === null) throw new ApiError('The answer has no body.', 0, 'broken_answer')
    return body
  },
  /** What is usual for an operation now. */
  baseline: (service: string, operation: string, signal?: AbortSignal) =>
    call<Baseline>(`baseline?${new URLSearchParams({ service, operation })}`, { signal }),
  status: (signal?: AbortSignal) => call<Status>('status', { signal }),
  traces: (query: TraceQuery, signal?: AbortSignal) => call<Page>(`traces?${traceParams(query)}`, { signal }),
  /** All matches: counts, heatmap, facets. */
  summary: async (query: TraceQuery, sel: Selection | null, signal?: AbortSignal): Promise<Summary> => {
    const params = new URLSearchParams(traceParams(query))
    if (sel !== null) params.set('sel', `${sel.t0},${sel.t1},${sel.d0},${sel.d1}`)
    return call<Summary>(`traces/summary?${params}`, { signal })
  },
  /** Single traces that match, as points. */
  points: (query: TraceQuery, signal?: AbortSignal) =>
    call<Points>(`traces/points?${traceParams(query)}`, { signal }),
  /** Versions of services first seen in a time. */
  versions: ({ from, to }: Pick<TraceQuery, 'from' | 'to'>, signal?: AbortSignal) =>
    call<Versions>(`versions?${traceParams({ q: '', from, to })}`, { signal }),
  /** Keys that a query may ask for, as it writes them. */
  keys: (query: CompletionQuery, signal?: AbortSignal) =>
    call<QueryKeys>(`keys?${completionParams(query)}`, { signal }),
  /** Values of a key, which is written as in a query. */
  valuesOf: ({ key, ...query }: CompletionQuery & { key: string }, signal?: AbortSignal) => {
    const params = completionParams(query)
    params.set('key', key)
    return call<KeyValues>(`values?${params}`, { signal })
  },
  answers: async (
    traceIds: string[],
    columns: readonly string[],
    signal?: AbortSignal,
  ): Promise<TraceAnswer[]> =>
    (
      await call<{ answers: TraceAnswer[] }>('traces/answers', {
        signal,
        body: { trace_ids: traceIds, columns },
      })
    ).answers,
  skeleton: (traceId: string, signal?: AbortSignal) =>
    call<Skeleton>(`traces/${traceId}/skeleton`, { signal }),
  spans: async (traceId: string, spanIds: string[], signal?: AbortSignal): Promise<TracesData> =>
    decodedSpans(traceId, spanIds) ??
    call<TracesData>(`traces/${traceId}/spans`, { signal, body: { span_ids: spanIds } }),
  /** A file of spans as traces; nothing of it is kept. */
  decode: (file: Blob, signal?: AbortSignal) => call<Decoded>('decode', { signal, file }),
  /** The whole trace as a file of OTLP JSON, not parsed here. */
  traceFile: async (traceId: string): Promise<Blob> => {
    const decoded = decodedTrace(traceId)
    if (decoded !== null) return new Blob([JSON.stringify(decoded)], { type: 'application/json' })
    return (await request(`traces/${traceId}`)).blob()
  },
  find: async (traceId: string, text: string, signal?: AbortSignal): Promise<FoundSpans> =>
    decodedFind(traceId, text) ??
    call<FoundSpans>(`traces/${traceId}/find?${new URLSearchParams({ q: text })}`, { signal }),
  /** Which spans of a trace have which value of an attribute. */
  values: async (traceId: string, key: string, signal?: AbortSignal): Promise<SpanValues> =>
    decodedValues(traceId, key) ??
    call<SpanValues>(`traces/${traceId}/values?${new URLSearchParams({ key })}`, { signal }),
  /** Null from a server that does not explain traces. */
  explanation: async (traceId: string, signal?: AbortSignal): Promise<Explanation | null> => {
    try {
      return await call<Explanation>(`traces/${traceId}/explain`, { signal })
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) return null
      throw error
    }
  },
}
