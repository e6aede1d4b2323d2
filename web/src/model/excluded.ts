/** Where nothing matches: the query without the condition that excludes most traces, or with the spelling that there is. */
import type { Excluded } from '../api/types'
import { quoted, withoutParts } from './query'
import { tokensOf, type Token } from './scanner'

/** Where the condition begins in `q`; null where it does not stand there as the server read it. */
function placeOf(q: string, { condition, position }: Excluded): number | null {
  // The server counts characters, a text here 16-bit units.
  const at = [...q].slice(0, position).join('').length
  return q.startsWith(condition, at) ? at : null
}

/** The query without the condition; null where it is not a part of its own, as within braces with others. */
export function withoutCondition(q: string, excluded: Excluded): string | null {
  const at = placeOf(q, excluded)
  if (at === null) return null
  if (excluded.condition === q.trim()) return ''
  const rest = withoutParts(q, ({ from, to }) => from === at && to === at + excluded.condition.length)
  return rest === q ? null : rest
}

/** What a token of the condition has to be replaced by to be spelled as it is known; null where none is alone to blame. */
function replacement(condition: string, { nearest, nearest_is: what }: Excluded): [Token, string] | null {
  if (nearest === null) return null
  const tokens = tokensOf(condition)
  const words = tokens.filter((token) => !token.isValue && ['word', 'quoted'].includes(token.kind))
  const key = words.find(({ text, kind }) => kind === 'quoted' || !/^(?:not|exact)$/i.test(text))
  if (what === 'key') return key ? [key, nearest] : null // as a query writes it
  const values = tokens.filter((token) => token.isValue)
  const value = values.length === 0 && words.length === 1 ? key : values.length === 1 ? values[0] : undefined
  return value ? [value, quoted(nearest)] : null
}

/** The condition as it would be spelled with what is known, and the query with it; null where there is nothing like it. */
export function respelled(q: string, excluded: Excluded): { condition: string; q: string } | null {
  const { condition } = excluded
  const at = placeOf(q, excluded)
  const found = replacement(condition, excluded)
  if (at === null || found === null) return null
  const [{ from, to }, text] = found
  const better = condition.slice(0, from) + text + condition.slice(to)
  return { condition: better, q: q.slice(0, at) + better + q.slice(at + condition.length) }
}
