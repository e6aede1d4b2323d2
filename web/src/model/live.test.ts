import { expect, it } from 'vitest'
import { EventReader } from './events'
import { trace } from './live.fixture'
import {
  LiveList,
  MOST_ROWS,
  NO_COUNTS,
  RateMeter,
  ServiceColours,
  addCounts,
  lengthOn,
  logScale,
  rateText,
} from './live'

const ids = (list: LiveList) => list.items.map((item) => item.id)

it('puts events together from pieces, and leaves comments out', () => {
  const reader = new EventReader()
  expect(reader.push('retry: 1000\n\nevent: open\nda')).toEqual([])
  expect(reader.push('ta: {"q":""}\n\n:\n\nevent: gone\ndata: {"trace_id":"a"}\n\nevent: tr')).toEqual([
    { name: 'open', data: { q: '' }, id: '' },
    { name: 'gone', data: { trace_id: 'a' }, id: '' },
  ])
})

it('has the newest on top, changes what grows in its place and takes away what is gone', () => {
  const list = new LiveList()
  for (const id of ['a', 'b', 'c']) list.add(trace(id))
  list.add(trace('a', 5))
  list.remove('b')
  list.remove('unknown')
  expect(ids(list)).toEqual(['c', 'a'])
  expect(list.items[1]).toMatchObject({ trace: { spans: 5 } })
})

it('moves nothing while it is paused, and counts what waits', () => {
  const list = new LiveList()
  list.add(trace('a'))
  list.add(trace('b'))
  list.pause(true)
  list.add(trace('c'))
  list.add(trace('d'))
  list.add(trace('d', 3))
  list.remove('c')
  list.gap({
    kind: 'gap',
    id: 'gap',
    fromMs: 1,
    toMs: 2,
    about: null,
    isFilled: false,
    wasStopped: false,
  })
  list.remove('a')
  list.add(trace('b', 9))
  expect(ids(list)).toEqual(['b', 'a'])
  expect(list.items).toMatchObject([{ isGone: false, trace: { spans: 9 } }, { isGone: true }])
  expect(list.waitingTraces).toBe(1)
  list.show()
  expect(ids(list)).toEqual(['gap', 'd', 'b'])
  list.add(trace('e'))
  expect(list.waitingTraces).toBe(1)
  list.pause(false)
  expect(ids(list)).toEqual(['e', 'gap', 'd', 'b'])
  expect(list.waitingTraces).toBe(0)
})

it('keeps a thousand rows, and a thousand that wait', () => {
  const list = new LiveList()
  for (let number = 0; number < MOST_ROWS + 10; number++) list.add(trace(`a${number}`))
  expect(list.items).toHaveLength(MOST_ROWS)
  list.pause(true)
  for (let number = 0; number < MOST_ROWS + 10; number++) list.add(trace(`b${number}`))
  expect(list.waitingTraces).toBe(MOST_ROWS + 10)
  list.pause(false)
  expect(list.items).toHaveLength(MOST_ROWS)
  expect(list.items[0]!.id).toBe(`b${MOST_ROWS + 9}`)
  // One that was dropped comes as a new one.
  list.add(trace('a0', 2))
  expect(list.items[0]!.id).toBe('a0')
})

it('says how much comes in a second, and leaves times without a connection out', () => {
  const meter = new RateMeter()
  expect(meter.rates).toBeNull()
  meter.tick({ ...NO_COUNTS, traces: 10, spans: 100 }, true)
  meter.tick({ ...NO_COUNTS, traces: 10, spans: 100 }, false)
  meter.tick({ ...NO_COUNTS, traces: 40, spans: 200, failed: 1 }, true)
  expect(meter.rates).toEqual({ traces: 10, spans: 50, failed: 0.25 })
  expect(meter.bars).toEqual([5, null, 15])
  expect([0, 0.2, 3, 9.4, 51.2].map(rateText)).toEqual(['0', '0.2', '3', '9.4', '51'])
})

it('spreads what came after all over the time without a connection', () => {
  const meter = new RateMeter()
  const at = (traces: number) => ({ ...NO_COUNTS, traces, spans: traces })
  meter.tick(at(10), true)
  meter.tick(at(10), false)
  meter.tick(at(10), false)
  meter.catchUp(at(40))
  meter.tick(at(40), true)
  expect(meter.bars).toEqual([5, 5, 5, 5])
  // Without a time that was lost nothing is to be spread.
  meter.catchUp(at(60))
  meter.tick(at(60), true)
  expect(meter.bars.at(-1)).toBe(10)
})

it('adds what several connections counted', () => {
  expect(addCounts({ ...NO_COUNTS, skipped: 2 }, { ...NO_COUNTS, skipped: 3 }).skipped).toBe(5)
})

it('has all durations on one logarithmic scale', () => {
  expect(logScale([])).toBeNull()
  expect(logScale([0])).toBeNull()
  const scale = logScale([3.1e6, 4.2e9, 0])!
  expect(scale).toEqual({ from: 2e6, to: 5e9 })
  expect(lengthOn(scale, 5e9)).toBe(1)
  expect(lengthOn(scale, 1e8)).toBeCloseTo(0.5)
  expect(lengthOn(scale, 0)).toBe(0)
  expect(logScale([1e6])).toEqual({ from: 1e6, to: 1e7 })
})

it('gives a service its colour once', () => {
  const colours = new ServiceColours()
  const given = Array.from({ length: 10 }, (_, number) => colours.of(`s${number}`))
  expect(given).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 0, 0])
  expect(colours.of('s3')).toBe(4)
})
