export function TracePage({ traceId }: { traceId: string }) {
  return <p>{traceId}</p>
}
