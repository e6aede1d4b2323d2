import { expect, it } from 'vitest'
import { hasValues, suggestions, taken, typingAt, type Counted } from './complete'

const ATTRIBUTES: Counted[] = [
  { text: 'http.route', count: 90 },
  { text: '"a key"', count: 2 },
  { text: 'name', count: 1 },
]

/** What is typed where the bar stands. */
function at(text: string) {
  return typingAt(text.replace('|', ''), text.indexOf('|'))
}

it('knows what is being typed: a key, an operator, a value of which key', () => {
  for (const [text, what, typed, key] of [
    ['|', 'key', '', ''],
    ['ser|', 'key', 'ser', ''],
    ['service=ca|', 'value', 'ca', 'service'],
    ['service=|', 'value', '', 'service'],
    ['service= |', 'value', '', 'service'],
    ['service!|', 'operator', '!', 'service'],
    ['service=cart sta|', 'key', 'sta', ''],
    ['{service=cart} > {na|', 'key', 'na', ''],
    ['http.route="/a b|', 'value', '/a b', 'http.route'],
    ['kind in (ser|', 'value', 'ser', 'kind'],
    ['kind in (server, |', 'value', '', 'kind'],
    ['"a key"=x|', 'value', 'x', '"a key"'],
    ['exact(http.method)=G|', 'value', 'G', 'exact(http.method)'],
    ['not ser|', 'key', 'ser', ''],
  ] as const) {
    expect(at(text), text).toMatchObject({ what, typed, key })
  }
  for (const text of ['a="x"|', 'kind in |', '{a=1} > |']) expect(at(text), text).toBeNull()
  expect(at('kind in (server)|')?.what).toBe('key')
})

it('suggests keys of the language and attributes, those that begin with the text first', () => {
  const labels = (text: string) => suggestions(at(text)!, ATTRIBUTES, []).map(({ label }) => label)
  expect(labels('ro|')).toEqual([
    'root',
    'trace.errors',
    'trace.root.service',
    'trace.root.name',
    'http.route',
  ])
  expect(labels('ke|')).toContain('"a key"')
  expect(labels('nam|').filter((label) => label === 'name')).toEqual(['name'])
})

it('goes on with the operators that the key takes, and with its values', () => {
  const labels = (text: string, values: Counted[] = []) =>
    suggestions(at(text)!, ATTRIBUTES, values).map(({ label }) => label)
  expect(labels('dur|').slice(0, 6)).toEqual(['>', '>=', '<', '<=', '=', '!='])
  expect(labels('failed!|')).toEqual(['!='])
  // Behind a key and a blank an operator is due; what is no key is a text to search for.
  expect(labels('kind |').slice(0, 4)).toEqual(['=', '!=', 'in', 'service'])
  expect(labels('kind i|').slice(0, 2)).toEqual(['in', 'id'])
  expect(labels('http.route e|')[0]).toBe('exists')
  expect(labels('exact(http.route) e|')[0]).toBe('exists')
  expect(labels('service=kind i|')[0]).toBe('id')
  expect(labels('pay i|')[0]).toBe('id')
  expect(labels('status=|')).toEqual(['error', 'ok', 'unset'])
  expect(
    labels('service=b|', [
      { text: 'bank', count: 3 },
      { text: 'cart', count: 9 },
    ]),
  ).toEqual(['bank'])
  expect(labels('service=~b|', [{ text: 'bank', count: 3 }])).toEqual([])
})

it('writes what is taken, quoted where it must be, and begins the next condition after a value', () => {
  const take = (text: string, label: string, values: Counted[] = []) => {
    const typing = at(text)!
    const found = suggestions(typing, ATTRIBUTES, values).find((one) => one.label === label)!
    const { from, to, inserted } = taken(text.replace('|', ''), typing, found)
    const written = text.replace('|', '')
    return `${written.slice(0, from)}${inserted}|${written.slice(to)}`
  }
  expect(take('ser|', 'service')).toBe('service|')
  expect(take('service|', '=')).toBe('service=|')
  expect(take('http.route|', 'in')).toBe('http.route in (|')
  expect(take('http.route|', 'exists')).toBe('http.route exists |')
  expect(take('dur!|', '!=')).toBe('dur!=|')
  expect(take('root=true kind  i|', 'in')).toBe('root=true kind in (|')
  expect(take('kind |', '=')).toBe('kind=|')
  expect(take('http.route=|', '/a b', [{ text: '/a b', count: 1 }])).toBe('http.route="/a b" |')
  expect(take('http.route="/a|', '/a b', [{ text: '/a b', count: 1 }])).toBe('http.route="/a b" |')
  expect(take('service=ca|rt status=error', 'card', [{ text: 'card', count: 1 }])).toBe(
    'service=card| status=error',
  )
  expect(take('{service=c|}', 'cart', [{ text: 'cart', count: 1 }])).toBe('{service=cart|}')
  expect(take('kind in (s|', 'server')).toBe('kind in (server|')
  expect(take('exact(rou|', 'http.route')).toBe('exact(http.route)|')
  expect(take('exact(rou|)=x', 'http.route')).toBe('exact(http.route|)=x')
  expect(take('exact("a k|', '"a key"')).toBe('exact("a key")|')
  expect(take('exact("a key")|', '!=')).toBe('exact("a key")!=|')
  expect(take('"a key"|', '=')).toBe('"a key"=|')
})

it('suggests what makes a query only: one operator a key, attributes in exact( ), the trace beside braces', () => {
  const odd = [...ATTRIBUTES, { text: '"name"', count: 1 }, { text: '"two\\nlines"', count: 1 }]
  const attributes = [...odd, { text: 'event.route', count: 1 }]
  const labels = (text: string) => suggestions(at(text)!, attributes, []).map(({ label }) => label)
  expect(labels('"a key"|').slice(0, 3)).toEqual(['=', '!=', '>'])
  // In quotes it is an attribute, which takes more operators than the key of the language.
  expect(labels('"name"|')).toContain('>')
  expect(labels('name|')).not.toContain('>')
  expect(labels('"nobody"|')).toEqual([])
  expect(labels('"a key|')).toEqual(['"a key"'])
  expect(labels('"service|')).not.toContain('=')
  for (const text of ['name|=x', 'name| =x', '"a key"|=x', 'name| in (a)', 'name| exists'])
    expect(labels(text), text).not.toContain('=')
  for (const text of ['exact(name)|=x', 'a="x"|']) expect(at(text), text).toBeNull()
  expect(labels('{a=1} > {name|} > {b=1}')).toContain('=')
  expect(labels('exact(|')).toEqual(['http.route', '"a key"', '"name"', '"two\\nlines"'])
  expect(labels('exact(http.route|')).toEqual(['http.route'])
  expect(labels('exact(http.route)|')).toContain('exists')
  expect(labels('exact(http.route)!|')).toEqual(['!=', '!~'])
  expect(labels('{a=1} |').every((label) => label.startsWith('trace.'))).toBe(true)
  expect(labels('| {a=1}').every((label) => label.startsWith('trace.'))).toBe(true)
  expect(labels('{a=1} name|').filter((label) => label === 'name' || label === '=')).toEqual([])
  expect(labels('{a=1 nam|}')).toContain('name')
})

it('finds a key by what it is called, not by how its quotes are written', () => {
  const attributes = [
    { text: '"say \\"hi\\""', count: 1 },
    { text: '"two\\nlines"', count: 1 },
    { text: 'has.two', count: 9 },
  ]
  const labels = (text: string) => suggestions(at(text)!, attributes, []).map(({ label }) => label)
  expect(labels('"say \\"h|')).toEqual(['"say \\"hi\\""'])
  expect(labels('"two\\nl|')).toEqual(['"two\\nlines"'])
  expect(labels('two|')).toEqual(['"two\\nlines"', 'has.two'])
})

it('asks the server for values of attributes and names only', () => {
  expect(['service', 'name', 'http.route', 'trace.root.name', '"name"'].every(hasValues)).toBe(true)
  expect(['dur', 'status', 'kind', 'failed', 'trace.start', 'trace.id', 'id'].some(hasValues)).toBe(false)
})
