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
  /** Of a key: its quotes, which make it an attribute's. */
  quotes: 'none' | 'open' | 'closed'
  /** Of a key: whether it stands in `exact( )`, where there are attributes only. */
  isExact: boolean
  /** Of a key: what stands alone before it and is compared by what is typed where it is a key, and where that ends; null for none. */
  alone: { key: string; to: number } | null
  /** Of a key: whether an operator follows already. */
  isCompared: boolean
  /** Whether braces are written and this is not in them: only conditions on the trace may stand there. */
  isBesideBraces: boolean
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
  /** An operator of the key before, from which blanks part it. */
  isApart?: true
}

const ATTRIBUTE = ['=', '!=', '>', '>=', '<', '<=', '=~', '!~', 'in', 'exists'] as const
const TEXT = ['=', '!=', '=~', '!~', 'in'] as const
const NUMBER = ['>', '>=', '<', '<=', '=', '!='] as const
const WORD = ['=', '!=', 'in'] as const
const BOOLEAN = ['=', '!='] as const

/** Attributes of one place; `exact( )` knows those of a span and of its resource, without it. */
const OF_A_PLACE = /^(?:event|link|scope|resource|span)\./

interface KeyOfLanguage {
  operators: readonly string[]
  note: string
  /** All values there are, or some that show the form. */
  values?: readonly string[]
}

/** Keys that mean something else than an attribute. */
const KEYS: Record<string, KeyOfLanguage> = {
  service: { operators: TEXT, note: 'name of the service' },
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
  // A closed quoted value that the cursor has left is complete.
  const isLeft = current?.kind === 'quoted' && current.isClosed && cursor === current.to
  if (isLeft && current.isValue) return null
  const before = at < 0 ? tokens.filter(({ to }) => to <= cursor) : tokens.slice(0, isText ? at : at + 1)
  const after = tokens.filter(({ from }) => from >= cursor)
  const last = before.at(-1)
  const isExact = opensExact(before)
  const [next, then] = isExact && after[0]?.text === ')' ? after.slice(1) : after
  const typing = {
    from: isText ? current.from : cursor,
    to: isText ? current.to : cursor,
    typed: isText ? typedOf(text, current, cursor) : '',
    key: '',
    operator: '',
    quotes: quotesOf(current),
    alone: null,
    isExact,
    // Before braces it is a relation.
    isCompared: (next?.kind === 'operator' && then?.text !== '{') || isWord(next, 'in', 'exists'),
    isBesideBraces: isBesideBraces(tokens, before),
  }
  const list = listKey(before)
  if (list !== null) {
    if (last?.text !== '(' && last?.text !== ',') return null
    return { ...typing, what: 'value', key: list, operator: 'in' }
  }
  if (last?.to === cursor && !isText) {
    const isBegun = last.kind === 'other'
    const ends = isBegun ? before.slice(0, -1) : before
    const exact = exactKey(text, ends)
    const key = exact ?? (isBegun && isKeyToken(ends.at(-1)) ? ends.at(-1)!.text : null)
    if (key !== null) {
      if (typing.isCompared) return null
      const typed = isBegun ? { from: last.from, typed: last.text } : {}
      return { ...typing, what: 'operator', ...typed, key }
    }
  }
  if (last?.kind === 'operator') {
    const key = before.at(-2)
    const exact = exactKey(text, before.slice(0, -1))
    if (exact !== null) return { ...typing, what: 'value', key: exact, operator: last.text }
    if (!isKeyToken(key)) return null
    return { ...typing, what: 'value', key: written(text, key), operator: last.text }
  }
  if (isWord(last, 'in')) return null
  return { ...typing, what: 'key', alone: aloneBefore(text, before, typing.from) }
}

/** What the tokens end with, where that may be a key that nothing is compared with yet. */
function aloneBefore(text: string, before: readonly Token[], from: number): Typing['alone'] {
  const last = before.at(-1)
  if (last === undefined || last.to === from) return null
  const key = exactKey(text, before) ?? (isKeyToken(last) ? written(text, last) : null)
  return key === null ? null : { key, to: last.to }
}

/** Whether the tokens end where the key of `exact( )` is to be. */
function opensExact(tokens: readonly Token[]): boolean {
  return (
    tokens.at(-1)?.text === '(' && isWord(tokens.at(-2), 'exact') && tokens.at(-2)!.to === tokens.at(-1)!.from
  )
}

/** The `exact(key)` that the tokens end with, as it is written; null where they end with something else. */
function exactKey(text: string, tokens: readonly Token[]): string | null {
  const end = tokens.at(-1)
  if (end?.text !== ')' || end.kind !== 'bracket' || !opensExact(tokens.slice(0, -2))) return null
  return text.slice(tokens.at(-4)!.from, end.to)
}

function quotesOf(token: Token | undefined): Typing['quotes'] {
  if (token?.kind !== 'quoted') return 'none'
  return token.isClosed ? 'closed' : 'open'
}

function isBrace({ kind, text }: Token): boolean {
  return kind === 'bracket' && (text === '{' || text === '}')
}

function isBesideBraces(tokens: readonly Token[], before: readonly Token[]): boolean {
  return tokens.some(isBrace) && before.findLast(isBrace)?.text !== '{'
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
function matching<T extends Counted>(all: readonly T[], typed: string, textOf: (one: T) => string): T[] {
  const wanted = typed.toLowerCase()
  const placed = all.map((one) => ({ one, place: textOf(one).toLowerCase().indexOf(wanted) }))
  const begin = placed.filter(({ place }) => place === 0)
  const hold = placed.filter(({ place }) => place > 0)
  return [...begin, ...hold].map(({ one }) => one)
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
  const ofAttributes = attributes.filter(({ text }) => !known.has(text))
  const all = typing.isExact
    ? ofAttributes.filter(({ text }) => !OF_A_PLACE.test(text))
    : typing.isBesideBraces
      ? ofLanguage.filter(({ text }) => text.startsWith('trace.'))
      : [...ofLanguage, ...ofAttributes]
  const named = matching(all, typing.typed, ({ text }) => unquote(text)).map(
    ({ text, count }): Suggestion => {
      const own = keyOf(text)
      return { what: 'key', label: text, insert: text, count, note: own?.note ?? '' }
    },
  )
  const keys = [...operatorsApart(typing, attributes), ...named]
  // Behind quotes that are open nothing but their text can be written.
  if (typing.typed === '' || typing.quotes === 'open' || typing.isExact || typing.isCompared) return keys
  const isQuoted = typing.quotes === 'closed'
  // In quotes it is an attribute, also where it is called as a key of the language.
  const isWhole = isQuoted
    ? ofAttributes.some(({ text }) => unquote(text) === typing.typed) && !typing.isBesideBraces
    : all.some(({ text }) => text === typing.typed)
  if (!isWhole) return keys
  const key = isQuoted ? attributeKey(typing.typed) : typing.typed
  const others = keys.filter(({ label }) => (isQuoted ? unquote(label) : label) !== typing.typed)
  return [...operatorSuggestions(key, ''), ...others]
}

/** Behind a key and blanks an operator is due, though the key may be meant as a text to search for. */
function operatorsApart(
  { alone, typed, quotes, isCompared }: Typing,
  attributes: readonly Counted[],
): Suggestion[] {
  if (alone === null || quotes !== 'none' || isCompared) return []
  const { key } = alone
  const isKey =
    keyOf(key) !== undefined || key.startsWith('exact(') || attributes.some(({ text }) => text === key)
  return isKey ? operatorSuggestions(key, typed).map((one) => ({ ...one, isApart: true })) : []
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
  return matching(all, typed, ({ text }) => text).map(({ text, count }) => ({
    what: 'value',
    label: text,
    insert: quoted(text),
    count,
    note: '',
  }))
}

/** What is written where a suggestion is taken: the part of the text that gives way, and what comes instead. */
export interface Taken {
  from: number
  to: number
  inserted: string
}

export function taken(text: string, typing: Typing, { what, insert, isApart }: Suggestion): Taken {
  const isBesideKey = what === 'operator' && typing.what === 'key'
  const from = isApart && typing.alone ? typing.alone.to : isBesideKey ? typing.to : typing.from
  const after = text.slice(typing.to)
  const isClosing = what === 'key' && typing.isExact && !/^\s*\)/.test(after)
  // After a whole condition the next one begins.
  const isEnd = what === 'value' && typing.operator !== 'in' && !/^[\s)}]/.test(after)
  return { from, to: typing.to, inserted: `${insert}${isClosing ? ')' : ''}${isEnd ? ' ' : ''}` }
}
