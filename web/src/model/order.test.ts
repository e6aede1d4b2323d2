import { expect, test } from 'vitest'
import { onceEach } from './order'

test('a trace that is on two pages is listed once, where it is first', () => {
  const page = (ids: string, number: number) => [...ids].map((trace_id) => ({ trace_id, number }))
  const pages = onceEach([page('ab', 1), page('acb', 2), page('', 3)])
  expect(pages.map((one) => one.map(({ trace_id, number }) => `${trace_id}${number}`))).toEqual([
    ['a1', 'b1'],
    ['c2'],
    [],
  ])
})
