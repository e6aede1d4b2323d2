/** The query text: what a term means in words, how a term is added, and when it is really a trace id. */

export interface Term {
  key: string
  operator: string
  value: string
  from: number
  to: number
}

const TERM = /([^\s=<>!"]+)\s*(>=|<=|!=|=|>|<)\s*("(?:[^"\\]|\\.)*"|\S*)/g

/** Terms in the order they are written; text between them is left to the server to judge. */
export function parseTerms(text: string): Term[] {
  return [...text.matchAll(TERM)].map((match) => ({
    key: match[1] ?? '',
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

/** The query with one more condition; a condition that is there already is not repeated. */
export function withTerm(text: string, key: string, value: string): string {
  const present = parseTerms(text).some(
    (term) => term.key === key && term.operator === '=' && term.value === value,
  )
  if (present) return text
  return [text.trim(), `${key}=${quoted(value)}`].filter(Boolean).join(' ')
}

/** The query without any condition of the form `key=value`. */
export function withoutTerm(text: string, key: string, value: string): string {
  let rest = text
  for (const term of parseTerms(text).toReversed()) {
    if (term.key === key && term.operator === '=' && term.value === value) {
      rest = `${rest.slice(0, term.from)} ${rest.slice(term.to)}`
    }
  }
  return rest.replace(/\s+/g, ' ').trim()
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
