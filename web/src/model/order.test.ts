import { expect, test } from 'vitest'
import { onceEach } from './order'

test('a trace that is on two pages is listed once, where it is first', () => {
  const traces = ['a', 'b', 'a', 'c', 'b'].map((trace_id, at) => ({ trace_id, at }))
  expect(onceEach(traces).map(({ trace_id, at }) => `${trace_id}${at}`)).toEqual(['a0', 'b1', 'c3'])
})
