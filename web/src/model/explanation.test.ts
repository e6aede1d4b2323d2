import { describe, expect, it } from 'vitest'
import { originsIn } from './explanation'
import { payExplanation } from './explanation.fixture'
import { TraceModel } from './trace'
import { idOfRow, skeletonOf } from './traces.fixture'

/** A root and calls that fail, of which only the first is explained. */
const model = new TraceModel(
  skeletonOf([
    {
      service: 'web',
      name: 'GET /',
      start: 0,
      duration: 100,
      flags: 1,
      children: [1, 2, 3].map((at) => ({
        service: 'web',
        name: `call ${at}`,
        start: at,
        duration: 1,
        flags: 3,
      })),
    },
  ]),
)
const explained = payExplanation({
  origin: [idOfRow(1)],
  failures: [
    { span_id: idOfRow(1), role: 'origin', type: 'E', message: 'no', service: 'web', operation: 'call 1' },
  ],
})

describe('where it failed', () => {
  it('is what the server explains', () => {
    expect(originsIn(explained, model).map(({ spanId }) => spanId)).toEqual([idOfRow(1)])
  })

  it('goes on with the rows that are marked where the server left some out', () => {
    const leftOut = { origin: 2, failures: 2, sections: 0, sections_ns: '0' }
    const origins = originsIn({ ...explained, left_out: leftOut }, model)
    expect(origins.map(({ spanId, type }) => [spanId, type])).toEqual([
      [idOfRow(1), 'E'],
      [idOfRow(2), ''],
      [idOfRow(3), ''],
    ])
  })
})
