/** What the receivers are called on the page. */
import type { Receiver } from '../api/types'
import { plural } from '../model/format'

interface ReceiverInfo {
  title: string
  transport: string
  note: string
}

const TITLES: Record<string, [title: string, note: string]> = {
  'otlp-grpc': ['OpenTelemetry', 'every SDK, the Collector'],
  'otlp-http': ['OpenTelemetry', 'protobuf or JSON'],
  zipkin: ['Zipkin', 'v1, v2, any encoding, SpanService'],
  'jaeger-http': ['Jaeger', 'thrift'],
  'jaeger-grpc': ['Jaeger', 'protobuf'],
  'jaeger-compact': ['Jaeger agent', 'compact'],
  'jaeger-binary': ['Jaeger agent', 'binary'],
  'jaeger-sampling': ['Jaeger', 'sampling strategies'],
  'skywalking-grpc': ['SkyWalking', ''],
  'skywalking-http': ['SkyWalking', ''],
  opencensus: ['OpenCensus', ''],
  datadog: ['Datadog', ''],
  sentry: ['Sentry', ''],
  pinpoint: ['Pinpoint', 'three ports'],
  'pinpoint-json': ['Pinpoint', 'Python, PHP'],
  cat: ['CAT', ''],
  'cat-router': ['CAT', 'router'],
  sofatracer: ['SOFATracer', 'digest logs'],
}

const TRANSPORTS: Record<string, string> = {
  grpc: 'gRPC',
  http: 'HTTP',
  udp: 'UDP',
  tcp: 'TCP',
  file: 'files',
}

export function receiverInfo(receiver: Receiver): ReceiverInfo {
  const [title, note] = TITLES[receiver.name] ?? [receiver.name, '']
  return { title, note, transport: TRANSPORTS[receiver.transport.toLowerCase()] ?? receiver.transport }
}

/** The address as an agent wants it: with a scheme where it speaks HTTP. Empty for one that is off. */
export function receiverAddress(receiver: Receiver): string {
  if (receiver.address === '') return ''
  const isHttp = receiver.transport.toLowerCase() === 'http'
  return isHttp && !receiver.address.includes('://') ? `http://${receiver.address}` : receiver.address
}

/** What came to an open receiver, else the note: what it takes. */
export function receiverNote(receiver: Receiver, note: string): string {
  const parts: string[] = []
  if (receiver.files > 0) parts.push(plural(receiver.files, 'file'))
  if (receiver.spans > 0) parts.push(plural(receiver.spans, 'span'))
  if (receiver.refused_requests > 0) parts.push(`${plural(receiver.refused_requests, 'request')} refused`)
  if (receiver.dropped_datagrams > 0) parts.push(`${plural(receiver.dropped_datagrams, 'datagram')} lost`)
  const notKept = Object.values(receiver.dropped).reduce((sum, count) => sum + count, 0)
  if (notKept > 0) parts.push(`${plural(notKept, 'other message')} counted, not kept`)
  if (receiver.unnamed_spans > 0) parts.push(`${plural(receiver.unnamed_spans, 'span')} before their names`)
  return parts.join(', ') || note
}
