/** Facets: how values are shared among the traces, and the query when one is chosen. */
import type { Facet } from '../api/types'
import { quoted, withoutParts, withPart } from './query'
import { outlineOf, unquote, type Part } from './scanner'

function isOf(part: Part, key: string): boolean {
  const { term } = part
  if (term === null || part.isNegated || term.isExact) return false
  const isKey = term.key === unquote(key) && term.isQuoted === key.startsWith('"')
  return isKey && (term.operator === '=' || term.operator === 'in')
}

/** The values of a key that the whole query asks for. The key as a query writes it, here and below. */
export function chosenValues(text: string, key: string): string[] {
  const parts = outlineOf(text)?.parts ?? []
  return [...new Set(parts.filter((part) => isOf(part, key)).flatMap(({ term }) => term!.values))]
}

/**
 * The query that also asks for this value of a key, or no longer does. Of one key any of its chosen values may hold. The span that
 * has it may be another one than that of the other conditions: so the facets count.
 */
export function withValue(text: string, key: string, value: string, isChosen: boolean): string {
  const others = chosenValues(text, key).filter((one) => one !== value)
  const values = isChosen ? [...others, value] : others
  const rest = withoutParts(text, (part) => isOf(part, key))
  if (values.length === 0) return rest
  const list = values.map(quoted)
  const term = list.length === 1 ? `${key}=${list[0]}` : `${key} in (${list.join(', ')})`
  if (key.startsWith('trace.')) return withPart(rest, term, true)
  const isAlone = (outlineOf(rest)?.parts ?? []).every((part) => part.term?.key.startsWith('trace.'))
  return withPart(rest, isAlone ? term : `{${term}}`)
}

export interface FacetValue {
  value: string
  /** Of the selection, or of all matches where nothing is selected; from 0 to 1. */
  share: number
  /** What it is compared with: the matches that are not selected, or the failed ones; null where there are none. */
  other: number | null
}

export interface SharedFacet {
  key: string
  /** Whether it tells something about the selection, or about the failed ones. */
  differs: boolean
  values: FacetValue[]
  /** How many values are not listed. */
  more: number
}

/** The traces that the facets are counted in; `selected` is null where nothing is selected. */
export interface Totals {
  matched: number
  failed: number
  selected: number | null
}

function shareOf(part: number, whole: number): number {
  return whole === 0 ? 0 : part / whole
}

/** The facets as shares, in the order of the server: the most different on top. */
export function sharedFacets(facets: readonly Facet[], { matched, failed, selected }: Totals): SharedFacet[] {
  return facets.map(({ key, difference, values, other }) => ({
    key,
    differs: difference > 0,
    more: other,
    values: values.map((one): FacetValue => {
      if (selected === null) {
        return {
          value: one.value,
          share: shareOf(one.count, matched),
          other: failed > 0 ? one.failed / failed : null,
        }
      }
      const rest = matched - selected
      return {
        value: one.value,
        share: shareOf(one.selected, selected),
        other: rest > 0 ? (one.count - one.selected) / rest : null,
      }
    }),
  }))
}

function differenceOf({ share, other }: FacetValue): number {
  return other === null ? 0 : Math.abs(share - other)
}

/** Over so much a difference is strong. */
const STRONG = 0.3

export function isStrong(value: FacetValue): boolean {
  return differenceOf(value) > STRONG
}
