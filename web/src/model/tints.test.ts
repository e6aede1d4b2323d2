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
