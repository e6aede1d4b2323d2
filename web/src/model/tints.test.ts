import { expect, it } from 'vitest'
import { serviceColours } from './colours'
import { FAILED_TINT, tintsOf } from './tints'
import { TraceModel } from './trace'
import { skeletonOf } from './traces.fixture'

const skeleton = skeletonOf([
  {
    service: 'shop',
    name: 'GET /',
    start: 0,
    duration: 100,
    missingParent: '00000000000000aa',
    children: [
      { service: 'shop', name: 'SELECT', start: 10, duration: 50, flags: 3 },
      { service: 'cart', name: 'GET', start: 70, duration: 20 },
    ],
  },
])
skeleton.kind = [2, 3, 3]
const model = new TraceModel(skeleton)
const colours = serviceColours(model)

it('colours rows by service, kind, operation and status', () => {
  const tints = (by: Parameters<typeof tintsOf>[2]) => [...tintsOf(model, colours, by).of].slice(1)
  expect(tints('')).toEqual([1, 1, 2])
  expect(tints('kind')).toEqual([2, 3, 3])
  expect(tints('operation')).toEqual([2, 1, 3])
  expect(tints('status')).toEqual([0, FAILED_TINT, 0])
})

it('says what the colours stand for, but for services, which the rows name', () => {
  const labels = (by: Parameters<typeof tintsOf>[2]) =>
    tintsOf(model, colours, by).legend.map(({ label }) => label)
  expect(labels('')).toEqual([])
  expect(labels('kind')).toEqual(['server', 'client'])
  expect(labels('operation')).toEqual(['SELECT', 'GET /', 'GET'])
  expect(labels('status')).toEqual(['failed', 'not failed'])
})

it('colours rows by the values of an attribute, those with most self time first', () => {
  const id = (node: number) => model.spanId(node)
  const values = {
    values: [
      { value: 'north', span_ids: id(3) },
      { value: 'south', span_ids: id(2) + 'ffffffffffffffff' },
    ],
    other: 0,
    without: 1,
  }
  const tints = tintsOf(model, colours, 'attr:bank', values)
  expect([...tints.of].slice(1)).toEqual([0, 1, 2])
  expect([0, 1, 2, 3].map(tints.colourWords)).toEqual([null, null, 'bank = south', 'bank = north'])
  expect(tints.legend).toEqual([
    { label: 'south', tint: 1 },
    { label: 'north', tint: 2 },
    { label: 'none', tint: 0 },
  ])
  expect(tintsOf(model, colours, 'attr:bank').legend).toEqual([])
})

it('gives a colour to eight values and says that there are others', () => {
  const many = new TraceModel(
    skeletonOf([
      {
        service: 'shop',
        name: 'root',
        start: 0,
        duration: 1000,
        children: Array.from({ length: 12 }, (_, n) => ({
          service: 'shop',
          name: `call ${n}`,
          start: n * 50,
          duration: 40 - n,
        })),
      },
    ]),
  )
  const values = {
    values: Array.from({ length: 12 }, (_, n) => ({ value: `v${n}`, span_ids: many.spanId(n + 1) })),
    other: 3,
    without: 1,
  }
  const { of, legend } = tintsOf(many, serviceColours(many), 'attr:shard', values)
  expect([...of]).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0])
  expect(legend.at(-1)).toEqual({ label: 'other values, none', tint: 0 })
})
