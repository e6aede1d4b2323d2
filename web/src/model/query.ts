/** The query text: what a term means in words, how a term is added, and when it is really a trace id. */

export interface Term {
  key: string
  operator: string
  value: string
  from: number
  to: number
}

const TERM = /("(?:[^"\\]|\\.)*"|[^\s=<>!"]+)\s*(>=|<=|!=|=|>|<)\s*("(?:[^"\\]|\\.)*"|\S*)/g

/** Terms in the order they are written; text between them is left to the server to judge. */
export function parseTerms(text: string): Term[] {
  return [...text.matchAll(TERM)].map((match) => ({
    key: unquote(match[1] ?? ''),
    operator: match[2] ?? '=',
    value: unquote(match[3] ?? ''),
    from: match.index,
    to: match.index + match[0].length,
  }))
}

function unquote(text: string): string {
  if (!text.startsWith('"')) return text
  return text.slice(1, text.endsWith('"') ? -1 : undefined).replace(/\\(.)/g, '$1')
}

/** What joins conditions, in any case. */
const OPERATORS = /^(?:and|or|not|exists|in)$/i

/** The value as it is written in a query: quoted, unless it is a plain word. */
export function quoted(value: string): string {
  return /^[\w.:/@+-]+$/.test(value) && !OPERATORS.test(value)
    ? value
    : `"${value.replace(/(["\\])/g, '\\$1')}"`
}

/** Keys that ask for something else than an attribute of that name, unless they are quoted. */
const WORDS =
  /^(?:service|name|operation|kind|status|status\.message|dur|id|parent|root|failed|event|exact|and|or|not|exists|in|(?:event|link|span|resource|scope|trace)\..+|scope)$/i

/** The key of an attribute as it is written in a query: quoted where it would mean something else, or nothing. */
export function attributeKey(key: string): string {
  return /^[\w.:/@+-]+$/.test(key) && !WORDS.test(key) ? key : `"${key.replace(/(["\\])/g, '\\$1')}"`
}

/** The same for an attribute of an event; null for a key that a query cannot ask for. */
export function eventKey(key: string): string | null {
  return /^[^\s"=<>!~()]+$/.test(key) ? `event.${key}` : null
}

export type Equality = '=' | '!='

/**
 * The query with one more condition; one that is there already is not repeated, and the opposite one goes. The key as it is
 * written: `attributeKey` of an attribute.
 */
export function withTerm(text: string, key: string, value: string, operator: Equality = '='): string {
  const same = parseTerms(text).filter((term) => unquote(key) === term.key && term.value === value)
  if (same.some((term) => term.operator === operator)) return text
  const rest = withoutTerm(text, key, value, operator === '=' ? '!=' : '=')
  return [rest.trim(), `${key}${operator}${quoted(value)}`].filter(Boolean).join(' ')
}

/** The query without any condition of the form `key=value`, or `key!=value`. */
export function withoutTerm(text: string, key: string, value: string, operator: Equality = '='): string {
  return withoutTerms(
    text,
    (term) => term.key === unquote(key) && term.operator === operator && term.value === value,
  )
}

function withoutTerms(text: string, isGone: (term: Term) => boolean): string {
  let rest = text
  const terms = parseTerms(text).filter(isGone)
  if (terms.length === 0) return text
  for (const term of terms.toReversed())
    rest = `${rest.slice(0, term.from).trimEnd()} ${rest.slice(term.to).trimStart()}`
  return rest.trim()
}

/** Whether the query asks for failed spans. */
export function asksForFailed(text: string): boolean {
  return parseTerms(text).some(
    (term) => term.key === 'status' && term.operator === '=' && term.value === 'error',
  )
}

/** The condition that leaves out traces of one span. */
const LONGER = { key: 'trace.spans', operator: '>', value: '1' }

function isLonger({ key, operator, value }: Term): boolean {
  return key === LONGER.key && operator === LONGER.operator && value === LONGER.value
}

/** Whether the query leaves out traces of one span. */
export function hidesSingles(text: string): boolean {
  return parseTerms(text).some(isLonger)
}

/** The query that leaves out traces of one span, or no longer does. */
export function withSinglesHidden(text: string, isHidden: boolean): string {
  if (hidesSingles(text) === isHidden) return text
  if (isHidden)
    return [text.trim(), `${LONGER.key}${LONGER.operator}${LONGER.value}`].filter(Boolean).join(' ')
  return withoutTerms(text, isLonger)
}

const COMPARISON: Record<string, string> = {
  '=': 'is',
  '!=': 'is not',
  '>': 'over',
  '>=': 'at least',
  '<': 'under',
  '<=': 'at most',
}

const NAMES: Record<string, string> = {
  dur: 'span duration',
  'trace.duration': 'trace duration',
  'trace.spans': 'spans of the trace',
}

/** The query as a phrase: `service is payment, failed, span duration over 500ms`. */
export function queryInWords(text: string): string {
  const terms = parseTerms(text)
  if (terms.length === 0) return text.trim()
  return terms
    .map(({ key, operator, value }) => {
      if (key === 'status' && operator === '=' && value === 'error') return 'failed'
      const name = NAMES[key] ?? key
      return `${name} ${COMPARISON[operator] ?? operator} ${value === '' ? 'empty' : value}`
    })
    .join(', ')
}

/** The trace id that the text is, lower-case without dashes, or null when it is something else. */
export function traceIdFrom(text: string): string | null {
  const id = text.trim().replaceAll('-', '').toLowerCase()
  return /^[0-9a-f]{32}$/.test(id) ? id : null
}
