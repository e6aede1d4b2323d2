/** Which colour each row has: by its service, or by something else that the reader chose. */
import type { ColourBy } from '../app/url'
import { SERVICE_COLOURS } from './colours'
import { kindWord } from './otlp'
import { visibleName } from './format'
import type { TraceModel } from './trace'

/** The colour of failures, beside those of services. */
export const FAILED_TINT = SERVICE_COLOURS + 1

export interface Tints {
  /** One number a node: a colour of services, 0 for the one that all others share, or `FAILED_TINT`. */
  of: Uint8Array
  /** What the colours stand for, where no row says it. */
  legend: { label: string; tint: number }[]
}

/** `colours` are those of the services. */
export function tintsOf(model: TraceModel, colours: Uint8Array, by: ColourBy): Tints {
  const of = new Uint8Array(model.count)
  const legend: Tints['legend'] = []
  if (by === 'status') {
    for (let node = 0; node < model.count; node++) if (model.isFailed(node)) of[node] = FAILED_TINT
    legend.push({ label: 'failed', tint: FAILED_TINT }, { label: 'not failed', tint: 0 })
  } else if (by === 'kind') {
    const present = new Set<number>()
    for (let node = 0; node < model.count; node++) {
      if (model.isPlaceholder(node)) continue
      const kind = model.skeleton.kind[model.row[node]!] ?? 0
      of[node] = kind
      present.add(kind)
    }
    for (const kind of [...present].toSorted()) legend.push({ label: kindWord(kind), tint: kind })
  } else if (by === 'operation') {
    const ranked = ranks(model)
    for (let node = 0; node < model.count; node++) of[node] = ranked.indexOf(model.name[node]!) + 1
    for (const [at, name] of ranked.entries()) {
      legend.push({ label: visibleName(model.skeleton.names[name] ?? '', 'no name'), tint: at + 1 })
    }
  } else {
    for (let node = 0; node < model.count; node++) of[node] = colours[model.service[node]!] ?? 0
  }
  return { of, legend }
}

/** The names with most self time, as many as there are colours. */
function ranks(model: TraceModel): number[] {
  const { names } = model.skeleton
  const time = new Float64Array(names.length)
  for (let node = 0; node < model.count; node++) {
    if (model.name[node]! >= 0) time[model.name[node]!]! += model.selfTime[node]!
  }
  return [...time.keys()]
    .toSorted((a, b) => time[b]! - time[a]! || (names[a]! < names[b]! ? -1 : 1))
    .slice(0, SERVICE_COLOURS)
}
