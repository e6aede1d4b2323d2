/** The query text: what a term means in words, how a term is added, and when it is really a trace id. */
import { outlineOf, termsOf, unquote, type Outline, type Part, type Term } from './scanner'

/** The conditions in the order they are written, at any depth. */
export function parseTerms(text: string): Term[] {
  return termsOf(text)
}

/** What joins conditions, in any case. */
const OPERATORS = /^(?:and|or|not|exists|in)$/i

/** The value as it is written in a query: quoted, unless it is a plain word. */
export function quoted(value: string): string {
  return /^[\w.:/@+-]+$/.test(value) && !OPERATORS.test(value) ? value : inQuotes(value)
}

const ESCAPED: Record<string, string> = { '\n': '\\n', '\t': '\\t', '\r': '\\u000d' }

function inQuotes(text: string): string {
  // The box is one line: what would end it is written as an escape.
  return `"${text.replace(/(["\\])/g, '\\$1').replace(/[\n\t\r]/g, (one) => ESCAPED[one]!)}"`
}

/** Keys that ask for something else than an attribute of that name, unless they are quoted. */
const WORDS =
  /^(?:service|name|operation|kind|status|status\.message|dur|id|parent|root|failed|event|exact|and|or|not|exists|in|(?:event|link|span|resource|scope|trace)\..+|scope)$/i

/** The key of an attribute as it is written in a query: quoted where it would mean something else, or nothing. */
export function attributeKey(key: string): string {
  return /^[\w.:/@+-]+$/.test(key) && !WORDS.test(key) ? key : inQuotes(key)
}

/** The same for an attribute of an event; null for a key that a query cannot ask for. */
export function eventKey(key: string): string | null {
  return /^[^\s"=<>!~()]+$/.test(key) ? `event.${key}` : null
}

export type Equality = '=' | '!='

function isOfTrace(key: string): boolean {
  return key.startsWith('trace.')
}

/** The query with one more part that must hold, wherever the others stand: in braces, or joined by `or`. */
export function withPart(text: string, part: string, ofTrace = false): string {
  const outline = outlineOf(text)
  if (outline === null || outline.parts.length === 0) return [text.trim(), part].filter(Boolean).join(' ')
  const before = outline.hasOr ? `(${text.trim()})` : text.trim()
  const isBraced = part.startsWith('{')
  if (outline.hasBraces) return `${before} ${ofTrace || isBraced ? part : `{${part}}`}`
  return `${isBraced ? inBraces(text, outline) : before} ${part}`
}

function isLoose({ term }: Part): boolean {
  return term !== null && isOfTrace(term.key) && !term.isQuoted
}

/** The query with its conditions on one span in braces, beside which other braces may stand. */
function inBraces(text: string, { parts }: Outline): string {
  const written = (part: Part) => text.slice(part.from, part.to)
  const ofSpan = parts.filter((part) => !isLoose(part)).map(written)
  return [
    ...(ofSpan.length === 0 ? [] : [`{${ofSpan.join(' ')}}`]),
    ...parts.filter(isLoose).map(written),
  ].join(' ')
}

/** The query without the parts that `isGone`. */
export function withoutParts(text: string, isGone: (part: Part) => boolean): string {
  const parts = outlineOf(text)?.parts ?? []
  if (!parts.some(isGone)) return text
  let rest = ''
  let last = -1
  parts.forEach((part, at) => {
    if (isGone(part)) return
    const between = last === -1 ? '' : last === at - 1 ? text.slice(parts[last]!.to, part.from) : ' '
    rest += between + text.slice(part.from, part.to)
    last = at
  })
  return rest.trim()
}

function is(part: Part, key: string, value: string, operator: Equality): boolean {
  const { term } = part
  const isKey =
    term !== null && term.key === unquote(key) && term.isQuoted === key.startsWith('"') && !term.isExact
  const isSame = isKey && term.operator === operator && term.values[0] === value
  return isSame && !part.isNegated
}

/**
 * The query with one more condition; one that is there already is not repeated, and the opposite one goes. The key as it is
 * written: `attributeKey` of an attribute.
 */
export function withTerm(text: string, key: string, value: string, operator: Equality = '='): string {
  const parts = outlineOf(text)?.parts ?? []
  if (parts.some((part) => is(part, key, value, operator))) return text
  const rest = withoutTerm(text, key, value, operator === '=' ? '!=' : '=')
  return withPart(rest, `${key}${operator}${quoted(value)}`, isOfTrace(key))
}

/** The query without any condition of the form `key=value`, or `key!=value`, that it must fulfil. */
export function withoutTerm(text: string, key: string, value: string, operator: Equality = '='): string {
  return withoutParts(text, (part) => is(part, key, value, operator))
}

/** Whether the query asks for failed spans. */
export function asksForFailed(text: string): boolean {
  return outlineOf(text)?.parts.some((part) => is(part, 'status', 'error', '=')) ?? false
}

/** The condition that leaves out traces of one span. */
const LONGER = 'trace.spans>1'

function isLonger({ term, isNegated }: Part): boolean {
  return !isNegated && `${term?.key}${term?.operator}${term?.values[0]}` === LONGER
}

/** Whether the query leaves out traces of one span. */
export function hidesSingles(text: string): boolean {
  return outlineOf(text)?.parts.some(isLonger) ?? false
}

/** The query that leaves out traces of one span, or no longer does. */
export function withSinglesHidden(text: string, isHidden: boolean): string {
  if (hidesSingles(text) === isHidden) return text
  return isHidden ? withPart(text, LONGER, true) : withoutParts(text, isLonger)
}

/** What an operator says between a key and a value. */
export const OPERATOR_WORDS: Record<string, string> = {
  '=': 'is',
  '!=': 'is not',
  '>': 'over',
  '>=': 'at least',
  '<': 'under',
  '<=': 'at most',
  '=~': 'matches',
  '!~': 'does not match',
  in: 'is one of',
  exists: 'is there',
}

const NAMES: Record<string, string> = {
  dur: 'span duration',
  'trace.duration': 'trace duration',
  'trace.spans': 'spans of the trace',
}

/** The query as a phrase: `service is payment, failed, span duration over 500ms`; as it is written where that is more than a list. */
export function queryInWords(text: string): string {
  const outline = outlineOf(text)
  if (
    outline === null ||
    outline.hasBraces ||
    outline.parts.some((part) => part.term === null || part.isNegated)
  )
    return text.trim()
  return outline.parts.map(({ term }) => termInWords(term!)).join(', ')
}

function termInWords({ key, operator, values }: Term): string {
  if (operator === '') return `a name with ${values[0]}`
  const value = values.join(' or ')
  if (key === 'status' && operator === '=' && value === 'error') return 'failed'
  const name = `${NAMES[key] ?? key} ${OPERATOR_WORDS[operator] ?? operator}`
  return operator === 'exists' ? name : `${name} ${value === '' ? 'empty' : value}`
}

/** The trace id that the text is, lower-case without dashes, or null when it is something else. */
export function traceIdFrom(text: string): string | null {
  const id = text.trim().replaceAll('-', '').toLowerCase()
  return /^[0-9a-f]{32}$/.test(id) ? id : null
}

/** The trace id that an address means: as above, or 16 digits of a 64-bit one. */
export function traceIdInAddress(text: string): string | null {
  const id = text.trim().replaceAll('-', '').toLowerCase()
  return traceIdFrom(/^[0-9a-f]{16}$/.test(id) ? id.padStart(32, '0') : id)
}

/** Whether a text may be the beginning of a trace id. */
export function isPartOfTraceId(text: string): boolean {
  return /^[0-9a-f]{8,31}$/i.test(text.trim().replaceAll('-', ''))
}
