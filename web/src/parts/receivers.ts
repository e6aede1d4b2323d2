/** What the receivers are called on the page. */
import type { Receiver } from '../api/types'

interface ReceiverInfo {
  title: string
  transport: string
  note: string
}

const TITLES: Record<string, [title: string, note: string]> = {
  'otlp-grpc': ['OpenTelemetry', 'every SDK, the Collector'],
  'otlp-http': ['OpenTelemetry', 'protobuf or JSON'],
  zipkin: ['Zipkin', 'v1, v2, any encoding'],
  'jaeger-http': ['Jaeger', 'thrift'],
  'jaeger-grpc': ['Jaeger', 'protobuf'],
  'jaeger-compact': ['Jaeger agent', 'compact'],
  'jaeger-binary': ['Jaeger agent', 'binary'],
  'jaeger-sampling': ['Jaeger', 'sampling strategies'],
  'skywalking-grpc': ['SkyWalking', ''],
  'skywalking-http': ['SkyWalking', ''],
  opencensus: ['OpenCensus', ''],
  pinpoint: ['Pinpoint', ''],
  'pinpoint-json': ['Pinpoint', 'JSON'],
  cat: ['CAT', ''],
  'cat-router': ['CAT', 'router'],
}

const TRANSPORTS: Record<string, string> = { grpc: 'gRPC', http: 'HTTP', udp: 'UDP', tcp: 'TCP' }

export function receiverInfo(receiver: Receiver): ReceiverInfo {
  const [title, note] = TITLES[receiver.name] ?? [receiver.name, '']
  return { title, note, transport: TRANSPORTS[receiver.transport.toLowerCase()] ?? receiver.transport }
}

/** The address as an agent wants it: with a scheme where it speaks HTTP. */
export function receiverAddress(receiver: Receiver): string {
  const isHttp = receiver.transport.toLowerCase() === 'http'
  return isHttp && !receiver.address.includes('://') ? `http://${receiver.address}` : receiver.address
}
