import { expect, it } from 'vitest'
import { keptByBoth, keptFailed, keptLong } from './filters'
import { Groups } from './groups'
import { TraceModel } from './trace'
import { skeletonOf } from './traces.fixture'

const calls = Array.from({ length: 6 }, (_, at) => ({
  service: 'db',
  name: 'SELECT',
  start: 100 + at * 20,
  duration: 20,
}))
const model = new TraceModel(
  skeletonOf([
    {
      service: 'shop',
      name: 'GET /',
      start: 0,
      duration: 1000,
      children: [
        { service: 'shop', name: 'load', start: 90, duration: 140, children: calls },
        {
          service: 'shop',
          name: 'short',
          start: 300,
          duration: 5,
          children: [{ service: 'queue', name: 'later', start: 302, duration: 400 }],
        },
        { service: 'shop', name: 'tiny', start: 800, duration: 1 },
        { service: 'shop', name: 'broken', start: 810, duration: 1, flags: 3 },
      ],
    },
  ]),
)
const groups = new Groups(model)
const names = (kept: Uint8Array) =>
  [...kept.keys()].filter((node) => kept[node] === 1).map((node) => model.spanName(node))

it('hides short spans, but none that failed, nor the way to a long one', () => {
  const all = Array.from(calls, () => 'SELECT')
  expect(names(keptLong(model, groups, 0.1))).toEqual(['GET /', 'load', ...all, 'short', 'later', 'broken'])
})

it('counts equal siblings together, since they are one row', () => {
  expect(names(keptLong(model, groups, 0.13))).toEqual(['GET /', 'load', 'short', 'later', 'broken'])
})

it('keeps what all filters keep', () => {
  const failed = keptFailed(model)
  expect(keptByBoth(null, failed)).toBe(failed)
  expect(keptByBoth(failed, null)).toBe(failed)
  expect(keptByBoth(null, null)).toBeNull()
  expect(names(keptByBoth(failed, keptLong(model, groups, 0.1))!)).toEqual(['GET /', 'broken'])
})
