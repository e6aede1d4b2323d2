/** What may be written next in a query: what is being typed where the cursor stands, and the text once a suggestion is taken. */
import { attributeKey, OPERATOR_WORDS, quoted } from './query'
import { isWord, tokensOf, unquote, type Token } from './scanner'

/** What is being typed, and which part of the text it takes up. */
export interface Typing {
  what: 'key' | 'operator' | 'value'
  from: number
  to: number
  /** As far as it is typed, without quotes. */
  typed: string
  /** Of an operator or a value: the key it is for, as it is written. */
  key: string
  /** The operator before a value. */
  operator: string
}

export interface Suggestion {
  what: 'key' | 'operator' | 'value'
  /** As it is shown. */
  label: string
  /** As it is written into the query. */
  insert: string
  /** How many traces or spans have it; null where nobody counts. */
  count: number | null
  /** A few words beside it; empty for none. */
  note: string
}

const ATTRIBUTE = ['=', '!=', '>', '>=', '<', '<=', '=~', '!~', 'in', 'exists'] as const
const TEXT = ['=', '!=', '=~', '!~', 'in'] as const
const NUMBER = ['>', '>=', '<', '<=', '=', '!='] as const
const WORD = ['=', '!=', 'in'] as const
const BOOLEAN = ['=', '!='] as const

interface KeyOfLanguage {
  operators: readonly string[]
  note: string
  /** All values there are, or some that show the form. */
  values?: readonly string[]
}

/** Keys that mean something else than an attribute. */
const KEYS: Record<string, KeyOfLanguage> = {
  service: { operators: [...TEXT, 'exists'], note: 'name of the service' },
  name: { operators: TEXT, note: 'name of the operation' },
  status: { operators: WORD, note: 'status of the span', values: ['error', 'ok', 'unset'] },
  failed: { operators: BOOLEAN, note: 'in error by status, exception or code', values: ['true', 'false'] },
  dur: { operators: NUMBER, note: 'duration of the span', values: ['10ms', '100ms', '500ms', '1s', '5s'] },
  kind: {
    operators: WORD,
    note: 'kind of span',
    values: ['internal', 'server', 'client', 'producer', 'consumer', 'unspecified'],
  },
  root: { operators: BOOLEAN, note: 'whether it has no parent', values: ['true', 'false'] },
  'status.message': { operators: [...TEXT, 'exists'], note: 'message of the status' },
  event: { operators: [...TEXT, 'exists'], note: 'name of an event' },
  scope: { operators: [...TEXT, 'exists'], note: 'name of the instrumentation scope' },
  id: { operators: WORD, note: 'id of the span' },
  parent: { operators: [...WORD, 'exists'], note: 'id of the parent span' },
  'link.trace': { operators: [...WORD, 'exists'], note: 'trace of a link' },
  'trace.duration': {
    operators: NUMBER,
    note: 'duration of the trace',
    values: ['100ms', '500ms', '1s', '5s', '1m'],
  },
  'trace.spans': { operators: NUMBER, note: 'number of spans', values: ['1', '10', '100', '1000'] },
  'trace.errors': { operators: NUMBER, note: 'spans with status error', values: ['0', '1', '10'] },
  'trace.services': { operators: NUMBER, note: 'number of services', values: ['1', '2', '5', '10'] },
  'trace.root.service': { operators: TEXT, note: 'service of the root' },
  'trace.root.name': { operators: TEXT, note: 'operation of the root' },
  'trace.start': { operators: NUMBER, note: 'start of the trace', values: ['now-15m', 'now-1h', 'now-24h'] },
  'trace.id': { operators: WORD, note: 'id of the trace, or its beginning and *' },
}

const OPERATOR_NOTES: Record<string, string> = { ...OPERATOR_WORDS, '=~': 'matches a regular expression' }

function keyOf(key: string): KeyOfLanguage | undefined {
  return Object.hasOwn(KEYS, key) ? KEYS[key] : undefined
}

/** Whether the server knows the values of the key: those of the others are words of the language, or ids. */
export function hasValues(key: string): boolean {
  const known = keyOf(key)
  return known === undefined || (known.operators.includes('=~') && known.values === undefined)
}

/** Whether something may be typed that compares with the key. */
function isKeyToken(token: Token | undefined): token is Token {
  const isText = token?.kind === 'word' || token?.kind === 'quoted'
  return isText && !token.isValue && token.isClosed && !isWord(token, 'and', 'or', 'not', 'exists', 'in')
}

/** What the cursor stands in; null where nothing can be completed, as behind a quoted value. */
export function typingAt(text: string, cursor: number): Typing | null {
  const tokens = tokensOf(text)
  const at = tokens.findIndex(({ from, to, isClosed }) => from < cursor && (cursor <= to || !isClosed))
  const current = tokens[at]
  const isText = current !== undefined && (current.kind === 'word' || current.kind === 'quoted')
  // A closed quoted text that the cursor has left is complete.
  if (current?.kind === 'quoted' && current.isClosed && cursor === current.to) return null
  const before = at < 0 ? tokens.filter(({ to }) => to <= cursor) : tokens.slice(0, isText ? at : at + 1)
  const typed = isText ? typedOf(text, current, cursor) : ''
  const place = { from: isText ? current.from : cursor, to: isText ? current.to : cursor, typed }
  const last = before.at(-1)
  const list = listKey(before)
  if (list !== null) {
    if (last?.text !== '(' && last?.text !== ',') return null
    return { what: 'value', ...place, key: list, operator: 'in' }
  }
  if (last?.kind === 'other' && last.to === cursor && isKeyToken(before.at(-2))) {
    return {
      what: 'operator',
      from: last.from,
      to: cursor,
      typed: last.text,
      key: before.at(-2)!.text,
      operator: '',
    }
  }
  if (last?.kind === 'operator') {
    const key = before.at(-2)
    const exact = before.at(-5)
    if (key?.text === ')' && isWord(exact, 'exact'))
      return { what: 'value', ...place, key: text.slice(exact!.from, key.to), operator: last.text }
    if (!isKeyToken(key)) return null
    return { what: 'value', ...place, key: written(text, key), operator: last.text }
  }
  if (isWord(last, 'in')) return null
  return { what: 'key', ...place, key: '', operator: '' }
}

function written(text: string, token: Token): string {
  return token.kind === 'quoted' ? text.slice(token.from, token.to) : token.text
}

function typedOf(text: string, token: Token, cursor: number): string {
  const part = text.slice(token.from, cursor)
  return token.kind === 'quoted' ? unquote(part) : part
}

/** The key of the list that is open at the end of the tokens; null where none is. */
function listKey(tokens: readonly Token[]): string | null {
  const opened = tokens.findLastIndex(({ kind, text }) => kind === 'bracket' && text !== ',')
  if (tokens[opened]?.text !== '(' || !isWord(tokens[opened - 1], 'in')) return null
  const key = tokens[opened - 2]
  return isKeyToken(key) ? (key.kind === 'quoted' ? attributeKey(key.text) : key.text) : null
}

export interface Counted {
  text: string
  count: number | null
}

/** Better matches first: those that begin with what is typed, then those that hold it. Within each, as they came. */
function matching<T extends Counted>(all: readonly T[], typed: string): T[] {
  const wanted = typed.toLowerCase()
  const begin = all.filter(({ text }) => text.toLowerCase().startsWith(wanted))
  const hold = all.filter(
    ({ text }) => !text.toLowerCase().startsWith(wanted) && text.toLowerCase().includes(wanted),
  )
  return [...begin, ...hold]
}

/**
 * What can be taken where the cursor stands. `attributes` are keys as a query writes them, `values`
 * those of the key, as the server counted them.
 */
export function suggestions(
  typing: Typing,
  attributes: readonly Counted[],
  values: readonly Counted[],
): Suggestion[] {
  if (typing.what === 'value') return valueSuggestions(typing, values)
  if (typing.what === 'operator') return operatorSuggestions(typing.key, typing.typed)
  const ofLanguage = Object.keys(KEYS).map((text) => ({ text, count: null }))
  const known = new Set(ofLanguage.map(({ text }) => text))
  const all = [...ofLanguage, ...attributes.filter(({ text }) => !known.has(text))]
  const keys = matching(all, typing.typed).map(({ text, count }): Suggestion => {
    const own = keyOf(text)
    return { what: 'key', label: text, insert: text, count, note: own?.note ?? '' }
  })
  const isWhole = typing.typed !== '' && all.some(({ text }) => text === typing.typed)
  if (!isWhole) return keys
  return [...operatorSuggestions(typing.typed, ''), ...keys.filter(({ label }) => label !== typing.typed)]
}

function operatorSuggestions(key: string, typed: string): Suggestion[] {
  return (keyOf(key)?.operators ?? ATTRIBUTE)
    .filter((operator) => operator.startsWith(typed))
    .map((operator) => ({
      what: 'operator',
      label: operator,
      insert: /^\w/.test(operator) ? ` ${operator}${operator === 'in' ? ' (' : ' '}` : operator,
      count: null,
      note: OPERATOR_NOTES[operator] ?? '',
    }))
}

function valueSuggestions({ key, typed, operator }: Typing, values: readonly Counted[]): Suggestion[] {
  // Of an expression nothing is known: the values are no expressions.
  if (operator === '=~' || operator === '!~') return []
  const own = keyOf(key)
  const all = own?.values?.map((text) => ({ text, count: null })) ?? values
  return matching(all, typed).map(({ text, count }) => ({
    what: 'value',
    label: text,
    insert: quoted(text),
    count,
    note: '',
  }))
}

/** The text with the suggestion taken, and where the cursor then stands. */
export function taken(
  text: string,
  typing: Typing,
  { what, insert }: Suggestion,
): { text: string; cursor: number } {
  const isBesideKey = what === 'operator' && typing.what === 'key'
  const from = isBesideKey ? typing.to : typing.from
  const after = text.slice(typing.to)
  // After a whole condition the next one begins.
  const isEnd = what === 'value' && typing.operator !== 'in' && !/^[\s)}]/.test(after)
  const middle = `${insert}${isEnd ? ' ' : ''}`
  return { text: text.slice(0, from) + middle + after, cursor: from + middle.length }
}
