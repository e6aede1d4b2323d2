import { expect, it } from 'vitest'
import { outlineOf, termsOf, tokensOf } from './scanner'

it('reads every form of a condition', () => {
  const text = 'a=1 b!=~x c=~^G|P d in (x, "y z") e exists exact(f)>=2 "g h"<3 word "two words"'
  const terms = outlineOf(text)!.parts.map(({ term }) => term!)
  expect(terms.map(({ key, operator, values }) => [key, operator, ...values])).toEqual([
    ['a', '=', '1'],
    ['b', '!=', '~x'],
    ['c', '=~', '^G|P'],
    ['d', 'in', 'x', 'y z'],
    ['e', 'exists'],
    ['f', '>=', '2'],
    ['g h', '<', '3'],
    ['', '', 'word'],
    ['', '', 'two words'],
  ])
  expect(terms.map(({ from, to }) => text.slice(from, to))).toContain('d in (x, "y z")')
  expect(terms[5]!.isExact).toBe(true)
})

it('sees what must hold as a whole: braces, relations, groups, negations', () => {
  const outline = outlineOf('{a=1} > {b=2} and not (c=3 or d=4) {e=5}')!
  expect(outline.parts.map(({ isBraced, isNegated, term }) => [isBraced, isNegated, term?.key])).toEqual([
    [true, false, undefined],
    [false, true, undefined],
    [true, false, 'e'],
  ])
  expect(outline.hasOr).toBe(false)
  expect(outlineOf('a=1 or b=2')).toMatchObject({ hasOr: true, parts: [{ from: 0, to: 10, term: null }] })
})

it('says of what is not complete that it is not', () => {
  for (const text of ['a=', 'a="x', '{a=1', 'a in (x', 'not', 'a=1 or', ')', 'a ! b', 'exact(a']) {
    expect(outlineOf(text), text).toBeNull()
  }
  expect(outlineOf('')).toMatchObject({ parts: [] })
})

it('ends on any text, and covers it', () => {
  const alphabet = [
    'a',
    '=',
    '"',
    '\\',
    '(',
    ')',
    '{',
    '}',
    ',',
    ' ',
    'in ',
    'not ',
    '~',
    '!',
    '>',
    'exact(',
    'é',
  ]
  let seed = 7
  const next = () => (seed = (seed * 48271) % 2147483647) / 2147483647
  for (let round = 0; round < 300; round++) {
    const text = Array.from({ length: 12 }, () => alphabet[Math.floor(next() * alphabet.length)]).join('')
    let at = 0
    for (const { from, to } of tokensOf(text)) {
      expect(text.slice(at, from).trim()).toBe('')
      expect(to).toBeGreaterThan(from)
      at = to
    }
    expect(text.slice(at).trim()).toBe('')
    outlineOf(text)
    termsOf(text)
  }
})
