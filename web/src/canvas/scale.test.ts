import { describe, expect, it } from 'vitest'
import { around, clampWindow, panned, ticks, zoomed } from './scale'

describe('ticks', () => {
  it('use one unit and name it once', () => {
    expect(ticks({ from: 0, to: 2.31e9 }, 5).map((tick) => tick.label)).toEqual([
      '0 s',
      '0.5',
      '1.0',
      '1.5',
      '2.0',
    ])
    expect(ticks({ from: 0, to: 41.2e6 }, 5).map((tick) => tick.label)).toEqual([
      '0 ms',
      '10',
      '20',
      '30',
      '40',
    ])
  })

  it('lie inside the window and are not too many', () => {
    for (let size = 10; size < 1e15; size *= 3.7) {
      const found = ticks({ from: size / 3, to: size / 3 + size }, 6)
      expect(found.length).toBeGreaterThan(0)
      expect(found.length).toBeLessThanOrEqual(8)
      expect(found.every((tick) => tick.at >= size / 3 - 1 && tick.at <= size / 3 + size + 1)).toBe(true)
    }
  })
})

describe('windows', () => {
  it('stay inside the trace and become null when they are all of it', () => {
    expect(clampWindow({ from: -50, to: 50 }, 1000)).toEqual({ from: 0, to: 100 })
    expect(clampWindow({ from: 980, to: 1080 }, 1000)).toEqual({ from: 900, to: 1000 })
    expect(clampWindow({ from: -1, to: 2000 }, 1000)).toBeNull()
  })

  it('keep the time under the pointer when they zoom', () => {
    const before = { from: 100, to: 500 }
    const after = zoomed(before, 0.5, 200, 1000)!
    expect((200 - after.from) / (after.to - after.from)).toBeCloseTo((200 - 100) / 400)
    expect(zoomed(before, 100, 200, 1000)).toBeNull()
    expect(zoomed(before, 1e-9, 200, 1000)!.to - zoomed(before, 1e-9, 200, 1000)!.from).toBe(10)
  })

  it('move by a share of themselves', () => {
    expect(panned({ from: 100, to: 200 }, 0.25, 1000)).toEqual({ from: 125, to: 225 })
    expect(panned({ from: 0, to: 200 }, -0.25, 1000)).toEqual({ from: 0, to: 200 })
  })

  it('leave room around a span', () => {
    expect(around(400, 100, 1000)).toEqual({ from: 395, to: 505 })
  })
})
