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

/** The value as it is written in a query: quoted, unless it is a plain word. */
export function quoted(value: string): string {
  return /^[\w.:/@+-]+$/.test(value) ? value : `"${value.replace(/(["\\])/g, '\\$1')}"`
}

/** Keys that ask for something else than an attribute of that name, unless they are quoted. */
const WORDS = /^(?:service|name|operation|kind|status|dur|event|event\..+|trace\.duration)$/

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
  let rest = text
  const terms = parseTerms(text).filter(
    (term) => term.key === unquote(key) && term.operator === operator && term.value === value,
  )
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

const COMPARISON: Record<string, string> = {
  '=': 'is',
  '!=': 'is not',
  '>': 'over',
  '>=': 'at least',
  '<': 'under',
  '<=': 'at most',
}

/** The query as a phrase: `service is payment, failed, span duration over 500ms`. */
export function queryInWords(text: string): string {
  const terms = parseTerms(text)
  if (terms.length === 0) return text.trim()
  return terms
    .map(({ key, operator, value }) => {
      if (key === 'status' && operator === '=' && value === 'error') return 'failed'
      const name = key === 'dur' ? 'span duration' : key === 'trace.duration' ? 'trace duration' : key
      return `${name} ${COMPARISON[operator] ?? operator} ${value === '' ? 'empty' : value}`
    })
    .join(', ')
}

/** The trace id that the text is, lower-case without dashes, or null when it is something else. */
export function traceIdFrom(text: string): string | null {
  const id = text.trim().replaceAll('-', '').toLowerCase()
  return /^[0-9a-f]{32}$/.test(id) ? id : null
}
