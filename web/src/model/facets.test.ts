import { expect, it } from 'vitest'
import { chosenValues, isStrong, sharedFacets, withValue } from './facets'

it('adds a value to the query for any span of the trace, and takes it away again', () => {
  const one = withValue('', 'service', 'cart', true)
  expect(one).toBe('service=cart')
  const two = withValue(one, 'service', 'two words', true)
  expect(two).toBe('service in (cart, "two words")')
  expect(chosenValues(two, 'service')).toEqual(['cart', 'two words'])
  const failed = withValue(two, 'failed', 'true', true)
  expect(failed).toBe('{service in (cart, "two words")} {failed=true}')
  expect(withValue(failed, 'service', 'cart', false)).toBe('{failed=true} {service="two words"}')
  expect(withValue(withValue(failed, 'service', 'cart', false), 'service', 'two words', false)).toBe(
    '{failed=true}',
  )
})

it('leaves what else is asked as it is', () => {
  expect(withValue('a=1 or b=2', 'c', 'x', true)).toBe('{a=1 or b=2} {c=x}')
  expect(withValue('trace.duration>1s', 'c', 'x', true)).toBe('trace.duration>1s c=x')
  expect(withValue('status=error trace.duration>1s', 'c', 'x', true)).toBe(
    '{status=error} trace.duration>1s {c=x}',
  )
  expect(withValue('{a=1} > {b=2}', 'trace.root.name', 'GET /', true)).toBe(
    '{a=1} > {b=2} trace.root.name="GET /"',
  )
  expect(chosenValues('not service=cart service!=bank exact(a)=1 "service"=x', 'service')).toEqual([])
})

const facets = [
  {
    key: 'bank',
    difference: 0.87,
    values: [
      { value: 'north', count: 12, failed: 10, selected: 9 },
      { value: 'south', count: 88, failed: 0, selected: 1 },
    ],
    other: 3,
  },
]

it('compares a selection with all others', () => {
  const [bank] = sharedFacets(facets, { matched: 100, failed: 10, selected: 10 })
  expect(bank!.values[0]).toEqual({ value: 'north', share: 0.9, other: 3 / 90 })
  expect(bank!.values.map(isStrong)).toEqual([true, true])
  expect(bank).toMatchObject({ differs: true, more: 3 })
})

it('compares the matches with the failed ones where nothing is selected, and with nothing where none failed', () => {
  const [bank] = sharedFacets(facets, { matched: 100, failed: 10, selected: null })
  expect(bank!.values[0]).toEqual({ value: 'north', share: 0.12, other: 1 })
  expect(sharedFacets(facets, { matched: 100, failed: 0, selected: null })[0]!.values[0]!.other).toBeNull()
  expect(sharedFacets(facets, { matched: 0, failed: 0, selected: 0 })[0]!.values[0]!.share).toBe(0)
})
