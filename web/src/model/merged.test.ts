import { expect, it } from 'vitest'
import { mergedTree, operationRows, serviceCalls } from './merged'
import { TraceModel } from './trace'
import { randomSkeleton, skeletonOf } from './traces.fixture'

const model = new TraceModel(
  skeletonOf([
    {
      service: 'shop',
      name: 'GET /',
      start: 0,
      duration: 100,
      children: [
        { service: 'db', name: 'SELECT', start: 10, duration: 20, flags: 3 },
        { service: 'db', name: 'SELECT', start: 40, duration: 30 },
        { service: 'cart', name: 'GET', start: 70, duration: 10 },
      ],
    },
  ]),
)

it('merges equal siblings, with the self time of all that is below', () => {
  const tree = mergedTree(model)
  expect([...tree.parent]).toEqual([-1, 0, 0])
  expect([...tree.spans]).toEqual([1, 2, 1])
  expect([...tree.self]).toEqual([40, 50, 10])
  expect([...tree.total]).toEqual([100, 50, 10])
  expect([...tree.failed]).toEqual([0, 1, 0])
})

it('loses no self time and no span of any trace', () => {
  for (let seed = 1; seed < 20; seed++) {
    const random = new TraceModel(randomSkeleton(seed, 150))
    const all = random.selfTime.reduce((sum, one) => sum + one, 0)
    const tree = mergedTree(random)
    const roots = tree.total.reduce((sum, one, at) => sum + (tree.parent[at] === -1 ? one : 0), 0)
    expect(roots).toBeCloseTo(all)
    const rows = operationRows(random)
    expect(rows.reduce((sum, row) => sum + row.self, 0)).toBeCloseTo(all)
    expect(rows.reduce((sum, row) => sum + row.spans, 0)).toBe(random.skeleton.total)
  }
})

it('counts operations and the calls between services', () => {
  expect(
    operationRows(model).map((row) => [row.spans, row.total, row.self, row.longest, row.failed]),
  ).toEqual([
    [2, 50, 50, 30, 1],
    [1, 100, 40, 100, 0],
    [1, 10, 10, 10, 0],
  ])
  const { services, calls } = serviceCalls(model)
  expect(services.map(({ level }) => level)).toEqual([0, 1, 1])
  expect(calls.map(({ calls: count, failed, total }) => [count, failed, total])).toEqual([
    [2, 1, 50],
    [1, 0, 10],
  ])
})
