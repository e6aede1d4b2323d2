/** Which of the eight service colours a service has in one view. */
import type { TraceModel } from './trace'

export const SERVICE_COLOURS = 8

/**
 * For each service of the trace a number from 1 to 8, or 0 for the colour all others share. The eight with most
 * self time get one; on equal time the name decides, so that the same trace always looks the same.
 */
export function serviceColours(model: TraceModel): Uint8Array {
  const names = model.skeleton.services
  const selfTime = new Float64Array(names.length)
  for (let node = 0; node < model.count; node++) {
    const service = model.service[node]!
    if (service >= 0) selfTime[service]! += model.selfTime[node]!
  }
  const ranked = names
    .map((name, service) => ({ name, service, time: selfTime[service] ?? 0 }))
    .toSorted((a, b) => b.time - a.time || (a.name < b.name ? -1 : 1))
  const colours = new Uint8Array(names.length)
  ranked.slice(0, SERVICE_COLOURS).forEach(({ service }, rank) => {
    colours[service] = rank + 1
  })
  return colours
}
