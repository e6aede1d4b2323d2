/** What the rest of a query asks for where one condition of it is being written: that with which its keys and values are to occur together. */
import type { Typing } from './complete'
import { isWord, TermReader, tokensOf, type Token } from './scanner'

/** Stands for the condition that is being written; a text that nobody searches for. */
const WRITTEN = '\ue000'

/**
 * The conditions that hold wherever the one that is being written is needed, as a query; empty where there are none, or where
 * the rest is not complete. What it may stand in for (the other sides of an `or`), and all beside it under a `not`, is left out.
 */
export function contextOf(text: string, typing: Typing): string {
  const { from, to } = conditionAt(text, typing)
  const marked = closed(`${text.slice(0, from)} "${WRITTEN}" ${text.slice(to)}`)
  const reader = new Context(marked)
  const whole = reader.or()
  return whole !== null && whole.isWritten && reader.isAtEnd ? whole.text : ''
}

/** The part of the text that the condition takes up. */
function conditionAt(text: string, { what, from, to, operator }: Typing): { from: number; to: number } {
  const tokens = tokensOf(text)
  const before = tokens.filter((token) => token.to <= from)
  const after = tokens.filter((token) => token.from >= to)
  let first: Token | undefined
  // `exact` and its bracket belong to the key.
  const isExact = before.at(-1)?.text === '(' && isWord(before.at(-2), 'exact')
  if (what === 'operator') first = before.at(-1)?.text === ')' ? before.at(-4) : before.at(-1)
  else if (what === 'value' && operator === 'in') first = before[before.findLastIndex(isOpening) - 2]
  else if (what === 'value') first = before.at(-2)?.text === ')' ? before.at(-5) : before.at(-2)
  let end = to
  const take = () => {
    end = after.shift()!.to
  }
  if (what === 'key' && isExact) {
    first = before.at(-2)
    if (after[0]?.text === ')') take()
  }
  if (what === 'key' && after[0]?.kind === 'operator' && after[1]?.text !== '{') take()
  if (what === 'key' && isWord(after[0], 'exists')) take()
  if (what === 'key' && isWord(after[0], 'in') && after[1]?.text === '(') {
    take()
    take()
  }
  while (after[0]?.isValue || after[0]?.text === ',') take()
  const isInList =
    (what === 'value' && operator === 'in') || tokens.findLast((one) => one.to === end)?.isValue
  if (isInList && after[0]?.text === ')' && isListOpen(text.slice(0, end))) take()
  return { from: first?.from ?? from, to: end }
}

function isOpening({ kind, text }: Token): boolean {
  return kind === 'bracket' && text === '('
}

/** Whether a list after `in` begins and does not end in the text. */
function isListOpen(text: string): boolean {
  const tokens = tokensOf(text)
  const opened = tokens.findLastIndex(({ kind, text: one }) => kind === 'bracket' && one !== ',')
  return tokens[opened]?.text === '(' && isWord(tokens[opened - 1], 'in')
}

/** The text with the brackets closed that are open at its end, as they are while one writes. */
function closed(text: string): string {
  const open: string[] = []
  for (const token of tokensOf(text)) {
    if (token.kind !== 'bracket') continue
    if (token.text === '(') open.push(')')
    else if (token.text === '{') open.push('}')
    else if (token.text !== ',') open.pop()
  }
  return text + open.toReversed().join('')
}

/** A part of the query: whole, or, where the condition that is written stands in it, what remains of it. */
interface Kept {
  text: string
  isWritten: boolean
}

/** Each method reads what its name says from where the reader stands; null where that is not there. */
class Context extends TermReader {
  constructor(private readonly text: string) {
    super(tokensOf(text))
  }

  get isAtEnd(): boolean {
    return this.peek() === undefined
  }

  or(): Kept | null {
    const start = this.at
    let written: Kept | null = null
    for (;;) {
      const side = this.and()
      if (side === null) return null
      if (side.isWritten) written = side
      if (!isWord(this.peek(), 'or')) return written ?? this.since(start)
      this.at += 1
    }
  }

  private and(): Kept | null {
    const start = this.at
    const parts: Kept[] = []
    do {
      if (parts.length > 0 && isWord(this.peek(), 'and')) this.at += 1
      const part = this.not()
      if (part === null) return null
      parts.push(part)
    } while (!this.isAtEnd && !isWord(this.peek(), 'or') && !this.isBefore(')', '}'))
    if (!parts.some(({ isWritten }) => isWritten)) return this.since(start)
    const texts = parts.map(({ text }) => text).filter((text) => text !== '')
    return { text: texts.join(' '), isWritten: true }
  }

  private not(): Kept | null {
    const start = this.at
    while (isWord(this.peek(), 'not')) this.at += 1
    const isNegated = this.at > start
    const part = this.primary()
    if (part === null) return null
    if (part.isWritten) return isNegated ? { text: '', isWritten: true } : part
    return this.since(start)
  }

  private primary(): Kept | null {
    if (this.isBefore('{')) return this.relation()
    if (this.isBefore('(')) return this.inside(')')
    const start = this.at
    const term = this.condition()
    if (term === null) return null
    if (term.operator === '' && term.values[0] === WRITTEN) return { text: '', isWritten: true }
    return this.since(start)
  }

  private relation(): Kept | null {
    const start = this.at
    let text = ''
    let isWritten = false
    let count = 0
    for (;;) {
      const from = this.at
      const braces = this.isBefore('{') ? this.inside('}') : null
      if (braces === null) return null
      text += braces.isWritten ? `{${braces.text}}` : this.since(from).text
      isWritten ||= braces.isWritten
      count += 1
      if (this.peek()?.kind !== 'operator' || this.peek(1)?.text !== '{') break
      text += ` ${this.peek()!.text} `
      this.at += 1
    }
    if (!isWritten) return this.since(start)
    // Any span at all is no condition.
    return { text: count === 1 && text === '{}' ? '' : text, isWritten }
  }

  /** Brackets, and what stands between them. */
  private inside(end: ')' | '}'): Kept | null {
    const start = this.at
    this.at += 1
    const isEmpty = end === '}' && this.isBefore(end)
    const inner = isEmpty ? { text: '', isWritten: false } : this.or()
    if (inner === null || !this.isBefore(end)) return null
    this.at += 1
    return inner.isWritten ? inner : this.since(start)
  }

  private isBefore(...brackets: string[]): boolean {
    const next = this.peek()
    return next?.kind === 'bracket' && brackets.includes(next.text)
  }

  private since(start: number): Kept {
    const from = this.tokens[start]!.from
    return { text: this.text.slice(from, this.tokens[this.at - 1]!.to), isWritten: false }
  }
}
