/** Reads spans of OTLP JSON for the details: values as text, the exception, the span's surroundings. */
import type { AnyValue, KeyValue, Span, SpanEvent, TracesData } from '../api/otlp'

const MOST_JSON = 500_000

export interface SpanDetails {
  span: Span
  resource: KeyValue[]
  scope: { name: string; version: string; attributes: KeyValue[] }
}

/** All spans of an answer, each with its resource and scope; all attributes with their keys. */
export function spansOf(data: TracesData): SpanDetails[] {
  return (data.resourceSpans ?? []).flatMap((resource) =>
    (resource.scopeSpans ?? []).flatMap((scoped) =>
      (scoped.spans ?? []).map((span) => ({
        span: {
          ...keyed(span),
          ...(span.events && { events: span.events.map(keyed) }),
          ...(span.links && { links: span.links.map(keyed) }),
        },
        resource: keyed(resource.resource ?? {}).attributes ?? [],
        scope: {
          name: scoped.scope?.name ?? '',
          version: scoped.scope?.version ?? '',
          attributes: keyed(scoped.scope ?? {}).attributes ?? [],
        },
      })),
    ),
  )
}

/** The same with a key in each attribute: OTLP's JSON leaves out a key that is empty. */
function keyed<T extends { attributes?: KeyValue[] }>(one: T): T {
  if (one.attributes?.every(({ key }: Partial<KeyValue>) => key !== undefined) ?? true) return one
  return {
    ...one,
    attributes: one.attributes?.map((item) => ({ ...item, key: item.key ?? '' })),
  }
}

/** A plain JavaScript value; integers stay exact as text where a number could not hold them. */
export function plainValue(value: AnyValue | undefined): unknown {
  if (value === undefined) return null
  if (value.stringValue !== undefined) return value.stringValue
  if (value.boolValue !== undefined) return value.boolValue
  if (value.intValue !== undefined) {
    const number = Number(value.intValue)
    return Number.isSafeInteger(number) ? number : String(value.intValue)
  }
  if (value.doubleValue !== undefined) return value.doubleValue
  if (value.bytesValue !== undefined) return value.bytesValue
  if (value.arrayValue !== undefined) return (value.arrayValue.values ?? []).map(plainValue)
  if (value.kvlistValue !== undefined) {
    return Object.fromEntries(
      (value.kvlistValue.values ?? []).map((item) => [item.key ?? '', plainValue(item.value)]),
    )
  }
  return null
}

/** A value as it is shown and copied; lists and maps as indented JSON. */
export function valueText(value: AnyValue | undefined): string {
  const bare = plainValue(value)
  if (bare === null) return ''
  return typeof bare === 'object' ? JSON.stringify(bare, null, 2) : String(bare)
}

/** Whether the value is one that the search compares as text. */
export function isScalar(value: AnyValue | undefined): boolean {
  return value !== undefined && value.arrayValue === undefined && value.kvlistValue === undefined
}

/** Attributes by key. */
export function sortedAttributes(attributes: readonly KeyValue[] | undefined): KeyValue[] {
  return (attributes ?? []).toSorted((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0))
}

function attribute(attributes: readonly KeyValue[] | undefined, key: string): string {
  return valueText(attributes?.find((item) => item.key === key)?.value)
}

export interface Failure {
  type: string
  message: string
  stack: string
}

const SEVERITY_ERROR = 17

/** As the server reads it: of events that came as log records any with an exception, but not one logged below ERROR. */
function isException(event: SpanEvent): boolean {
  const fromLog = event.attributes?.some((item) => item.key === 'clew.from') ?? false
  const severity = Number(attribute(event.attributes, 'log.severity_number'))
  if (fromLog && severity > 0 && severity < SEVERITY_ERROR) return false
  if (event.name === 'exception') return true
  return (
    fromLog &&
    attribute(event.attributes, 'exception.type') + attribute(event.attributes, 'exception.message') !== ''
  )
}

/** The last exception of the span, else what its status says; null for a span that did not fail. */
export function failureOf(span: Span): Failure | null {
  const exception = (span.events ?? []).findLast(isException)
  const failed = span.status?.code === 2 || span.status?.code === 'STATUS_CODE_ERROR'
  if (exception) {
    return {
      type: attribute(exception.attributes, 'exception.type') || 'exception',
      message: attribute(exception.attributes, 'exception.message'),
      stack: attribute(exception.attributes, 'exception.stacktrace'),
    }
  }
  if (!failed) return null
  return {
    type: attribute(span.attributes, 'error.type') || 'failed',
    message: span.status?.message ?? '',
    stack: '',
  }
}

const KINDS = ['unspecified', 'internal', 'server', 'client', 'producer', 'consumer']

/** OTLP's number or name of a kind as a word. */
export function kindWord(kind: number | string | undefined): string {
  if (typeof kind === 'string') return kind.replace('SPAN_KIND_', '').toLowerCase()
  return KINDS[kind ?? 0] ?? 'unspecified'
}

/** The value as an address that may become a link, or null: only http and https do. */
export function webAddress(text: string): string | null {
  if (!/^https?:\/\//i.test(text)) return null
  try {
    return new URL(text).href
  } catch {
    return null
  }
}

/** Text that holds a JSON object or list, indented; null for any other text, and for what is too long to be worth it. */
export function prettyJson(text: string): string | null {
  if (text.length > MOST_JSON || !/^\s*[[{]/.test(text)) return null
  try {
    const pretty = JSON.stringify(JSON.parse(text), null, 2)
    return pretty === text ? null : pretty
  } catch {
    return null
  }
}

/** Whether an event came as a log record of the span. */
export function isFromLog(event: SpanEvent): boolean {
  return attribute(event.attributes, 'clew.from') === 'log'
}
