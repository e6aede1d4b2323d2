/** Single traces and new versions, placed on the heatmap of a search. */
import type { Points, Version } from '../api/types'
import { formatDuration } from './format'
import { placeIn, type Heat } from './heat'

/** Traces by column: where each lies, from 0 to 1 of the time and of the rows of lengths. */
export interface PlacedPoints {
  x: Float32Array
  y: Float32Array
  failed: Uint8Array
  lengths: Float64Array
  ids: readonly string[]
}

/** Those of the points that lie on the heatmap: the traces that arrived after it was counted may lie beside it. */
export function placed(points: Points, heat: Heat): PlacedPoints {
  const inside: number[] = []
  const [xs, ys]: [number[], number[]] = [[], []]
  points.trace_id.forEach((_, at) => {
    const place = placeIn(heat, BigInt(points.start_unix_nano[at]!), BigInt(points.duration_ns[at]!))
    if (place === null) return
    inside.push(at)
    xs.push(place.x)
    ys.push(place.y)
  })
  return {
    x: Float32Array.from(xs),
    y: Float32Array.from(ys),
    failed: Uint8Array.from(inside, (at) => points.failed[at]!),
    lengths: Float64Array.from(inside, (at) => Number(points.duration_ns[at])),
    ids: inside.map((at) => points.trace_id[at]!),
  }
}

/** The point nearest to a place, both in pixels, that is at most so far away; -1 where there is none. */
export function nearestPoint(
  points: PlacedPoints,
  width: number,
  height: number,
  x: number,
  y: number,
  within: number,
): number {
  let [found, best] = [-1, within * within]
  for (let at = 0; at < points.ids.length; at++) {
    const distance = (points.x[at]! * width - x) ** 2 + ((1 - points.y[at]!) * height - y) ** 2
    if (distance <= best) [found, best] = [at, distance]
  }
  return found
}

/** `1.2 s, failed, 4bf92f35…`. */
export function pointInWords(points: PlacedPoints, at: number): string {
  const failed = points.failed[at] ? 'failed, ' : ''
  return `${formatDuration(points.lengths[at]!)}, ${failed}${points.ids[at]!.slice(0, 8)}…`
}

/** A version that came up, at a part of the time from 0 to 1. */
export interface VersionMark {
  at: number
  label: string
}

/** Marks of the versions of these services (null: of all), from left to right. */
export function versionMarks(
  versions: readonly Version[],
  heat: Heat,
  services: readonly string[] | null,
): VersionMark[] {
  return versions.flatMap(({ service, version, first_unix_nano }) => {
    if (services !== null && !services.includes(service)) return []
    const place = placeIn(heat, BigInt(first_unix_nano), heat.lengths[0] ?? 0n)
    return place === null ? [] : [{ at: place.x, label: `${service} ${version}` }]
  })
}
