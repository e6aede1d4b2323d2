import { expect, it } from 'vitest'
import { histogramOf } from './histogram'

const usual = Array.from({ length: 99 }, (_, at) => 100e6 + at * 1e6)

it('holds every sample once, wherever the duration stands', () => {
  for (const duration of [0, 1e6, 150e6, 20e9]) {
    const made = histogramOf(usual, duration, 40)!
    expect(made.bars).toHaveLength(40)
    expect(Math.max(...made.bars)).toBe(1)
    expect(made.bars.every((height) => height >= 0)).toBe(true)
    for (const at of [made.at, made.p50, made.p99]) {
      expect(at).toBeGreaterThan(0)
      expect(at).toBeLessThan(1)
    }
    expect(made.p50).toBeLessThan(made.p99)
  }
})

it('places a duration among them and beyond them', () => {
  const among = histogramOf(usual, usual[49]!, 40)!
  expect(among.at).toBeCloseTo(among.p50)
  const beyond = histogramOf(usual, 2e9, 40)!
  expect(beyond.at).toBeGreaterThan(0.9)
  expect(beyond.bars.at(-2)).toBe(0)
})

it('bears samples that are all the same, and says nothing of too few', () => {
  const same = histogramOf(
    Array.from({ length: 99 }, () => 5e6),
    5e6,
    40,
  )!
  expect(same.bars.filter((height) => height > 0)).toEqual([1])
  expect(same.at).toBeCloseTo(0.5)
  expect(histogramOf([], 5e6, 40)).toBeNull()
})
