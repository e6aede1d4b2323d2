import { expect, it } from 'vitest'
import type { AnyValue, TracesData } from '../api/otlp'
import { failureOf, kindWord, sortedAttributes, spansOf, valueText, webAddress } from './otlp'

it('writes every kind of value as text', () => {
  expect(valueText({ stringValue: 'a' })).toBe('a')
  expect(valueText({ intValue: '9223372036854775807' })).toBe('9223372036854775807')
  expect(valueText({ boolValue: false })).toBe('false')
  expect(valueText({ doubleValue: 0.5 })).toBe('0.5')
  expect(valueText({ bytesValue: 'AAE=' })).toBe('AAE=')
  expect(JSON.parse(valueText({ arrayValue: { values: [{ intValue: 1 }, { stringValue: 'b' }] } }))).toEqual([
    1,
    'b',
  ])
  expect(JSON.parse(valueText({ kvlistValue: { values: [{ key: 'k', value: {} }] } }))).toEqual({ k: null })
  expect(valueText(undefined)).toBe('')
})

it('brings back the empty keys that the JSON leaves out', () => {
  const text = `{"resourceSpans":[{"resource":{"attributes":[{"value":{"intValue":"1"}}]},"scopeSpans":[{"spans":[{"attributes":[{"key":"a"},{}],
    "events":[{"attributes":[{}]}],"links":[{"attributes":[{}]}]},{}],"scope":{"attributes":[{}]}}]}]}`
  const [first, second] = spansOf(JSON.parse(text) as TracesData)
  expect(first?.resource).toEqual([{ key: '', value: { intValue: '1' } }])
  expect(first?.scope.attributes).toEqual([{ key: '' }])
  expect(first?.span.attributes).toEqual([{ key: 'a' }, { key: '' }])
  expect(first?.span.events).toEqual([{ attributes: [{ key: '' }] }])
  expect(first?.span.links).toEqual([{ attributes: [{ key: '' }] }])
  expect(second?.span).toEqual({})
  const map = JSON.parse('{"kvlistValue":{"values":[{"value":{"stringValue":"v"}}]}}') as AnyValue
  expect(valueText(map)).toBe('{\n  "": "v"\n}')
})

it('takes the last exception, else the status', () => {
  const span = { traceId: 't', spanId: 's' }
  const exception = (type: string) => ({
    name: 'exception',
    attributes: [{ key: 'exception.type', value: { stringValue: type } }],
  })
  expect(failureOf({ ...span, events: [exception('First'), exception('Last')] })?.type).toBe('Last')
  expect(failureOf({ ...span, status: { code: 2, message: 'no' } })).toEqual({
    type: 'failed',
    message: 'no',
    stack: '',
  })
  expect(failureOf(span)).toBeNull()
})

it.each([
  ['exception', '17', 'ValueError'],
  ['db.client.operation.exception', '17', 'ValueError'],
  ['db.client.operation.exception', undefined, 'ValueError'],
  ['exception', '13', undefined],
  ['db.client.operation.exception', '9', undefined],
])('takes an exception of a log record named %s of severity %s for %s', (name, severity, type) => {
  const attributes = [
    { key: 'exception.type', value: { stringValue: 'ValueError' } },
    { key: 'clew.from', value: { stringValue: 'log' } },
    ...(severity === undefined ? [] : [{ key: 'log.severity_number', value: { intValue: severity } }]),
  ]
  expect(failureOf({ traceId: 't', spanId: 's', events: [{ name, attributes }] })?.type).toBe(type)
})

it('gives each span its resource and scope', () => {
  const [first] = spansOf({
    resourceSpans: [
      {
        resource: { attributes: [{ key: 'service.name', value: { stringValue: 'a' } }] },
        scopeSpans: [{ scope: { name: 'lib', version: '1' }, spans: [{ traceId: 't', spanId: 's' }] }],
      },
    ],
  })
  expect(first?.scope.name).toBe('lib')
  expect(first?.resource[0]?.key).toBe('service.name')
  expect(spansOf({})).toEqual([])
})

it('sorts attributes by key', () => {
  expect(sortedAttributes([{ key: 'b' }, { key: 'a' }]).map((item) => item.key)).toEqual(['a', 'b'])
})

it('makes links of http and https only', () => {
  expect(webAddress('https://example.org/a')).toBe('https://example.org/a')
  expect(webAddress('javascript:alert(1)')).toBeNull()
  expect(webAddress('data:text/html,x')).toBeNull()
  expect(webAddress('http://')).toBeNull()
})

it('has words for kinds', () => {
  expect([1, 2, 3, undefined, 'SPAN_KIND_SERVER'].map(kindWord)).toEqual([
    'internal',
    'server',
    'client',
    'unspecified',
    'server',
  ])
})
