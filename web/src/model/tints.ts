/** Which colour each row has: by its service, or by something else that the reader chose. */
import type { SpanValues } from '../api/types'
import { colourKey, type ColourBy } from '../app/url'
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
  /** What a node's colour stands for, in words; null where the row says it, or where nothing is known. */
  colourWords: (node: number) => string | null
}

const unsaid = () => null

/** `colours` are those of the services; `values` are those of the attribute, where one colours the rows and they are there. */
export function tintsOf(
  model: TraceModel,
  colours: Uint8Array,
  by: ColourBy,
  values: SpanValues | null = null,
): Tints {
  const of = new Uint8Array(model.count)
  const legend: Tints['legend'] = []
  if (colourKey(by) !== '') {
    if (values !== null) return tintsOfValues(model, colourKey(by), values)
  } else if (by === 'status') {
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
  return { of, legend, colourWords: unsaid }
}

const ID_DIGITS = 16

/** The values with most self time have a colour each; all other spans share one. */
function tintsOfValues(model: TraceModel, key: string, values: SpanValues): Tints {
  const of = new Uint8Array(model.count)
  const groups = values.values.map(({ value, span_ids }) => {
    const nodes: number[] = []
    for (let at = 0; at < span_ids.length; at += ID_DIGITS) {
      // A span that is not among the rows arrived later.
      const node = model.nodeOf(span_ids.slice(at, at + ID_DIGITS))
      if (node >= 0) nodes.push(node)
    }
    return { value, nodes, time: nodes.reduce((sum, node) => sum + model.selfTime[node]!, 0) }
  })
  const said = new Map(groups.flatMap(({ value, nodes }) => nodes.map((node) => [node, value] as const)))
  const colourWords = (node: number) => {
    const value = said.get(node)
    return value === undefined ? null : `${key} = ${value}`
  }
  const ranked = groups.toSorted((a, b) => b.time - a.time || (a.value < b.value ? -1 : 1))
  const coloured = ranked.slice(0, SERVICE_COLOURS)
  const others = values.other > 0 || ranked.length > coloured.length
  const legend: Tints['legend'] = coloured.map(({ value, nodes }, rank) => {
    for (const node of nodes) of[node] = rank + 1
    return { label: visibleName(value, 'empty'), tint: rank + 1 }
  })
  if (others || values.without > 0) {
    const label = [others ? 'other values' : '', values.without > 0 ? 'none' : ''].filter(Boolean).join(', ')
    legend.push({ label, tint: 0 })
  }
  return { of, legend, colourWords }
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
