import { describe, expect, it } from 'vitest'
import {
  durationInWords,
  exactDuration,
  formatAge,
  formatAgo,
  formatBytes,
  formatCount,
  formatDuration,
  formatFullTime,
  formatPercent,
  formatRate,
  formatRetention,
  formatTime,
  isoTime,
  shortenedName,
} from './format'

describe('durations', () => {
  it.each([
    [0, '0'],
    [1, '1 ns'],
    [999, '999 ns'],
    [1000, '1.00 µs'],
    [800_000, '800 µs'],
    [2_200_000, '2.20 ms'],
    [9_999_000, '10.0 ms'],
    [41_200_000, '41.2 ms'],
    [128_000_000, '128 ms'],
    [999_600_000, '1.00 s'],
    [2_310_000_000, '2.31 s'],
    [59_940_000_000, '59.9 s'],
    [59_960_000_000, '1 m 00 s'],
    [125_000_000_000, '2 m 05 s'],
    [3_599_800_000_000, '1 h 00 m'],
    [4_320_000_000_000, '1 h 12 m'],
    [-1_500_000, '−1.50 ms'],
  ])('%d ns is %s', (ns, text) => expect(formatDuration(ns)).toBe(text))

  it('never has more than three digits below a minute', () => {
    for (let ns = 1; ns < 5e10; ns = Math.ceil(ns * 1.37)) {
      expect(formatDuration(ns).replace(/\D/g, '').length, String(ns)).toBeLessThanOrEqual(3)
    }
  })

  it('is a dash when it is not known', () => {
    expect(formatDuration(null)).toBe('–')
    expect(formatDuration(undefined)).toBe('–')
  })

  it('has full words for people who hear it', () => {
    expect(durationInWords(2_010_000_000)).toBe('2.01 seconds')
    expect(durationInWords(1)).toBe('1 nanosecond')
    expect(durationInWords(61e9)).toBe('1 minute 1 second')
    expect(durationInWords(3_720e9)).toBe('1 hour 2 minutes')
  })

  it('is exact in the tooltip', () => expect(exactDuration(9_800_412)).toBe('9,800,412 ns'))
})

describe('numbers', () => {
  it('groups counts and shortens them from a million', () => {
    expect(formatCount(183_402)).toBe('183,402')
    expect(formatCount(0)).toBe('0')
    expect(formatCount(1_800_000)).toBe('1.8 M')
    expect(formatCount(null)).toBe('–')
  })

  it('gives percent one digit below 10', () => {
    expect([0, 0.0002, 0.0024, 0.098, 0.81, 1].map((ratio) => formatPercent(ratio))).toEqual([
      '0 %',
      '< 0.1 %',
      '0.2 %',
      '9.8 %',
      '81 %',
      '100 %',
    ])
  })

  it('writes rates per second or per minute', () => {
    expect(formatRate(120)).toBe('120/s')
    expect(formatRate(3.4 / 60)).toBe('3.4/min')
  })

  it('writes bytes in decimal units', () => {
    expect(formatBytes(1_400_000)).toBe('1.4 MB')
    expect(formatBytes(20e9)).toBe('20 GB')
    expect(formatBytes(12)).toBe('12 B')
  })

  it('writes how long data is kept', () => {
    expect(formatRetention(604_800)).toBe('7 days')
    expect(formatRetention(86_400)).toBe('24 hours')
  })
})

describe('times', () => {
  const at = '1795349071207123456' // 2026-11-22T12:04:31.207123456Z
  const sameDay = Date.UTC(2026, 10, 22, 20)

  it('leaves out the date today and the year this year', () => {
    expect(formatTime(at, 'utc', sameDay)).toBe('12:04:31.207')
    expect(formatTime(at, 'utc', sameDay + 864e5)).toBe('22 Nov 12:04:31.207')
    expect(formatTime(at, 'utc', sameDay + 864e5 * 60)).toBe('22 Nov 2026 12:04:31.207')
  })

  it('names the zone', () => expect(formatFullTime(at, 'utc')).toBe('22 Nov 2026 12:04:31.207 UTC'))
  it('keeps every digit on copy', () => expect(isoTime(at)).toBe('2026-11-22T12:04:31.207123456Z'))
  it('bears a time of 0', () => expect(formatFullTime('0', 'utc')).toBe('1 Jan 1970 00:00:00.000 UTC'))

  it('says how long ago in one unit', () => {
    expect(formatAgo(at, Date.UTC(2026, 10, 22, 15, 4, 31))).toBe('3 h ago')
    expect(formatAgo(at, Date.UTC(2026, 10, 22, 12, 5, 11))).toBe('40 s ago')
  })
})

it('says how old something is', () => {
  const now = 1_795_349_071_000
  const age = (seconds: number) => formatAge(String(BigInt(now - seconds * 1000) * 1_000_000n), now)
  expect([0, 12, 37 * 60, 3 * 3600].map(age)).toEqual(['1 s', '12 s', '37 min', '3 h'])
})

it('shortens a name in its middle', () => {
  expect(shortenedName('GET /users', 10)).toBe('GET /users')
  expect(shortenedName('GET /api/v2/deployments/latest', 15)).toBe('GET /api…/latest')
  expect(shortenedName('abcd', 1)).toBe('a…')
})
