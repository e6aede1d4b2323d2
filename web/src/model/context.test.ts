import { expect, it } from 'vitest'
import { typingAt } from './complete'
import { contextOf } from './context'

/** The rest of a query in which the bar stands. */
function rest(marked: string): string {
  const text = marked.replace('|', '')
  return contextOf(text, typingAt(text, marked.indexOf('|'))!)
}

it.each([
  ['|', ''],
  ['ser|', ''],
  ['service=ca|', ''],
  ['service=cart |', 'service=cart'],
  ['service=cart na|', 'service=cart'],
  ['service=cart name=|', 'service=cart'],
  ['service=cart name!|', 'service=cart'],
  ['service=cart and name="GET /|', 'service=cart'],
  ['service=|cart status=error', 'status=error'],
  ['serv|ice=cart status=error', 'status=error'],
  ['kind in (server, |', ''],
  ['status=error kind in (server, |', 'status=error'],
  ['status=error kind in (ser|, client) dur>1s', 'status=error dur>1s'],
  ['(status=error kind in (ser|)) dur>1s', 'status=error dur>1s'],
  ['(status=error kind=ser|) dur>1s', 'status=error dur>1s'],
  ['a|a in (x, y) dur>1s', 'dur>1s'],
  ['a|a exists dur>1s', 'dur>1s'],
  ['dur>1s exact(http.method)=G|', 'dur>1s'],
  ['"a key"=x|  b=2', 'b=2'],
  ['"a key"|  b=2', 'b=2'],
  ['b=2 exact(ke|', 'b=2'],
  ['b=2 exact(ke|)=x dur>1s', 'b=2 dur>1s'],
  ['b=2 exact(key)|', 'b=2'],
  ['b=2 exact(key)!|', 'b=2'],
])('what stands beside a condition goes with it: %s', (marked, wanted) => {
  expect(rest(marked)).toBe(wanted)
})

it.each([
  ['a=1 or name=|', ''],
  ['(a=1 or name=|) b=2', 'b=2'],
  ['(a=1 or b=2) name=|', '(a=1 or b=2)'],
  ['c=3 (a=1 or b=2 name=|) d=4', 'c=3 b=2 d=4'],
  ['not name=|', ''],
  ['a=1 not name=|', 'a=1'],
  ['a=1 not (b=2 name=|)', 'a=1'],
  ['a=1 not b=2 name=|', 'a=1 not b=2'],
])('what it may stand in for, and what is negated with it, does not: %s', (marked, wanted) => {
  expect(rest(marked)).toBe(wanted)
})

it.each([
  ['{service=cart name=|', '{service=cart}'],
  ['{service=cart name=|}', '{service=cart}'],
  ['{name=|}', ''],
  ['{service=a} and {name=|}', '{service=a}'],
  ['{service=a} > {name=|', '{service=a} > {}'],
  ['{service=a name=|} >> {status=error} ~ {}', '{service=a} >> {status=error} ~ {}'],
  ['{a=1} not {service=b} > {name=|} trace.spans>1', '{a=1} trace.spans>1'],
  ['{a=1} and trace.root.name=|', '{a=1}'],
])('other spans of the trace stay in their braces: %s', (marked, wanted) => {
  expect(rest(marked)).toBe(wanted)
})

it.each(['a= name=|', 'a=1 ) name=|', 'or name=|', 'a="x name=|', '{a=1 b=|} {c=', 'a=1 and and b=|'])(
  'what is not complete is left out: %s',
  (marked) => {
    const text = marked.replace('|', '')
    const typing = typingAt(text, marked.indexOf('|'))
    if (typing !== null) expect(contextOf(text, typing)).toBe('')
  },
)
