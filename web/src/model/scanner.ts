/** The words of a query and its conditions, each with its place, as the server's scanner reads them. */

export interface Token {
  kind: 'word' | 'quoted' | 'operator' | 'bracket' | 'other'
  /** Without quotes and escapes; an operator or a bracket as it stands. */
  text: string
  from: number
  /** The place after it. */
  to: number
  /** False for a quoted text whose quotes are not closed yet. */
  isClosed: boolean
  /** Whether it is the value of a comparison, or of a list after `in`. */
  isValue: boolean
}

const OPERATOR = />>|>=|<=|!=|!~|=~|[=<>~]/y
const KEY = /[^\s"(){},=<>!~]+/y
const VALUE = /(?:\\.|[^\s"(){},])+/sy
const BLANK = /\s+/y
const ESCAPES: Record<string, string> = { n: '\n', t: '\t' }

function matchAt(pattern: RegExp, text: string, at: number): string | null {
  pattern.lastIndex = at
  return pattern.exec(text)?.[0] ?? null
}

/** The text that a quoted one stands for; `text` with its opening quotes, and its closing ones if it has them. */
export function unquote(text: string): string {
  if (!text.startsWith('"')) return text
  let out = ''
  for (let at = 1; at < text.length && text[at] !== '"'; at++) {
    if (text[at] !== '\\') {
      out += text[at]
      continue
    }
    at += 1
    const code = text[at] === 'u' ? /^[0-9a-fA-F]{4}/.exec(text.slice(at + 1))?.[0] : undefined
    if (code === undefined) out += ESCAPES[text[at] ?? ''] ?? text[at] ?? ''
    else {
      out += String.fromCharCode(parseInt(code, 16))
      at += 4
    }
  }
  return out
}

function quotedAt(text: string, from: number): Token {
  let to = from + 1
  while (to < text.length && text[to] !== '"') to += text[to] === '\\' ? 2 : 1
  const isClosed = to < text.length
  to = Math.min(text.length, to + 1)
  return { kind: 'quoted', text: unquote(text.slice(from, to)), from, to, isClosed, isValue: false }
}

function isComparison(token: Token | undefined, before: Token | undefined): boolean {
  return token?.kind === 'operator' && before?.kind !== 'bracket'
}

/** All tokens. What is not understood becomes a token of one character: the server says what is wrong with it. */
export function tokensOf(text: string): Token[] {
  const tokens: Token[] = []
  let inList = false
  for (let at = 0; at < text.length;) {
    const blank = matchAt(BLANK, text, at)
    if (blank !== null) {
      at += blank.length
      continue
    }
    const [before, last] = [tokens.at(-2), tokens.at(-1)]
    // A closing bracket ends `exact(key)` or `}`: an operator after the first compares, after the second it joins braces.
    const isAfterOperator = isComparison(last, before?.text === ')' ? undefined : before)
    const isValue = isAfterOperator || (inList && (last?.text === '(' || last?.text === ','))
    const character = text[at]!
    let token: Token
    if (character === '"') token = quotedAt(text, at)
    else if ('(){},'.includes(character)) token = plain('bracket', character, at)
    else {
      const operator = isValue ? null : matchAt(OPERATOR, text, at)
      const word = matchAt(isValue ? VALUE : KEY, text, at)
      if (operator !== null) token = plain('operator', operator, at)
      else if (word !== null) token = plain('word', word, at)
      else token = plain('other', character, at)
    }
    token.isValue = isValue && (token.kind === 'word' || token.kind === 'quoted')
    if (token.kind === 'bracket') {
      if (token.text === '(') inList = isWord(last, 'in') && before !== undefined
      else if (token.text !== ',') inList = false
    }
    tokens.push(token)
    at = token.to
  }
  return tokens
}

function plain(kind: Token['kind'], text: string, from: number): Token {
  return { kind, text, from, to: from + text.length, isClosed: true, isValue: false }
}

/** Whether the token is a word of the language, in any case. */
export function isWord(token: Token | undefined, ...words: string[]): boolean {
  return token?.kind === 'word' && !token.isValue && words.includes(token.text.toLowerCase())
}

/** One condition: a comparison, or a text that is sought in names (its key and operator are empty). */
export interface Term {
  key: string
  /** Whether the key is in quotes: then it is an attribute, whatever it is called. */
  isQuoted: boolean
  isExact: boolean
  operator: string
  /** Of a list its values; of `exists` none. */
  values: string[]
  from: number
  to: number
}

/** A part of the query that must hold as a whole. */
export interface Part {
  from: number
  to: number
  isNegated: boolean
  /** Of a single condition, or of braces that hold nothing else. */
  term: Term | null
  isBraced: boolean
}

export interface Outline {
  /** The parts that are joined by `and`; only one where there is an `or` among them. */
  parts: Part[]
  hasOr: boolean
  /** Whether any braces are in it. */
  hasBraces: boolean
}

/** Reads the parts of a query from its tokens, from where it stands. */
export class TermReader {
  at = 0
  constructor(readonly tokens: readonly Token[]) {}

  peek(ahead = 0): Token | undefined {
    return this.tokens[this.at + ahead]
  }

  /** Goes past a bracket that opens to the one that closes it; false where none does. */
  skipBrackets(): boolean {
    let depth = 0
    for (; this.at < this.tokens.length; this.at++) {
      const { kind, text } = this.tokens[this.at]!
      if (kind !== 'bracket') continue
      if (text === '(' || text === '{') depth += 1
      else if (text !== ',') depth -= 1
      if (depth === 0) {
        this.at += 1
        return true
      }
    }
    return false
  }

  /** The condition that begins here; null where none does. */
  condition(): Term | null {
    const first = this.peek()
    if (first === undefined || (first.kind !== 'word' && first.kind !== 'quoted') || !first.isClosed)
      return null
    if (isWord(first, 'and', 'or', 'not', 'exists', 'in')) return null
    let key = first
    const isExact = isWord(first, 'exact') && this.peek(1)?.text === '(' && this.peek(1)?.from === first.to
    if (isExact) {
      key = this.peek(2) ?? first
      if (this.peek(3)?.text !== ')') return null
      this.at += 4
    } else this.at += 1
    const made = (operator: string, values: string[], to: number): Term => ({
      key: key.text,
      isQuoted: key.kind === 'quoted',
      isExact,
      operator,
      values,
      from: first.from,
      to,
    })
    const next = this.peek()
    if (isWord(next, 'exists')) {
      this.at += 1
      return made('exists', [], next!.to)
    }
    if (isWord(next, 'in')) return this.list(made)
    if (next?.kind === 'operator') {
      const value = this.peek(1)
      if (value === undefined || !value.isValue || !value.isClosed) return null
      this.at += 2
      return made(next.text, [value.text], value.to)
    }
    return { ...made('', [first.text], first.to), key: '' }
  }

  private list(made: (operator: string, values: string[], to: number) => Term): Term | null {
    this.at += 1
    if (this.peek()?.text !== '(') return null
    const values: string[] = []
    for (this.at += 1; this.at < this.tokens.length; this.at++) {
      const token = this.tokens[this.at]!
      if (token.isValue) values.push(token.text)
      else if (token.text === ')') {
        this.at += 1
        return made('in', values, token.to)
      } else if (token.text !== ',') return null
    }
    return null
  }

  part(): Part | null {
    const from = this.peek()?.from ?? 0
    let isNegated = false
    while (isWord(this.peek(), 'not')) {
      isNegated = !isNegated
      this.at += 1
    }
    const opened = this.peek()
    if (opened?.kind === 'bracket') {
      if (opened.text !== '(' && opened.text !== '{') return null
      const start = this.at
      if (!this.skipBrackets()) return null
      let term = opened.text === '{' ? onlyTerm(this.tokens.slice(start + 1, this.at - 1)) : null
      while (this.peek()?.kind === 'operator' && this.peek(1)?.text === '{') {
        term = null
        this.at += 1
        if (!this.skipBrackets()) return null
      }
      return { from, to: this.tokens[this.at - 1]!.to, isNegated, term, isBraced: opened.text === '{' }
    }
    const term = this.condition()
    return term && { from, to: term.to, isNegated, term, isBraced: false }
  }
}

function onlyTerm(tokens: readonly Token[]): Term | null {
  const reader = new TermReader(tokens)
  const term = reader.condition()
  return term !== null && reader.at === tokens.length ? term : null
}

/** What the query is made of at its outermost level; null for one that is not complete or not understood. */
export function outlineOf(text: string): Outline | null {
  const tokens = tokensOf(text)
  const hasBraces = tokens.some(({ kind, text: one }) => kind === 'bracket' && one === '{')
  const reader = new TermReader(tokens)
  const parts: Part[] = []
  let hasOr = false
  while (reader.peek() !== undefined) {
    if (parts.length > 0 && isWord(reader.peek(), 'and', 'or')) {
      hasOr ||= isWord(reader.peek(), 'or')
      reader.at += 1
    }
    const part = reader.part()
    if (part === null) return null
    parts.push(part)
  }
  if (!hasOr) return { parts, hasOr, hasBraces }
  const whole: Part = {
    from: parts[0]!.from,
    to: parts.at(-1)!.to,
    isNegated: false,
    term: null,
    isBraced: false,
  }
  return { parts: [whole], hasOr, hasBraces }
}

/** All comparisons in the order they are written, at any depth; text between them is left to the server to judge. */
export function termsOf(text: string): Term[] {
  const reader = new TermReader(tokensOf(text))
  const terms: Term[] = []
  while (reader.peek() !== undefined) {
    const start = reader.at
    const term = reader.condition()
    if (term !== null && term.operator !== '') terms.push(term)
    if (term === null) reader.at = start + 1
  }
  return terms
}
