/** The usual durations of an operation as bars over a logarithmic axis, and where one duration stands among them. */

export interface Histogram {
  /** Heights from 0 to 1. */
  bars: number[]
  /** Where the duration is on the axis, from 0 to 1; likewise the percentiles. */
  at: number
  p50: number
  p99: number
}

/** Room beside the outermost values, as a part of the axis. */
const MARGIN = 0.06

/**
 * `percentiles` are the 1st to the 99th in nanoseconds: between two of them lies one in a hundred. Null where there are
 * none: too few samples.
 */
export function histogramOf(
  percentiles: readonly number[],
  duration: number,
  bars: number,
): Histogram | null {
  if (percentiles.length < 2) return null
  const scaled = percentiles.map(logarithm)
  const mark = logarithm(duration)
  const low = Math.min(scaled[0]!, mark)
  const high = Math.max(scaled.at(-1)!, mark)
  const length = Math.max(high - low, 0.1) / (1 - 2 * MARGIN)
  const from = (low + high) / 2 - length / 2
  const place = (value: number) => (value - from) / length
  const heights = Array.from({ length: bars }, () => 0)
  for (let index = 1; index < scaled.length; index++) {
    const left = place(scaled[index - 1]!) * bars
    const right = place(scaled[index]!) * bars
    const first = Math.floor(left)
    if (right - left < 1e-9) {
      heights[first]! += 1
      continue
    }
    for (let bar = first; bar < Math.min(bars, right); bar++) {
      heights[bar]! += (Math.min(right, bar + 1) - Math.max(left, bar)) / (right - left)
    }
  }
  const most = Math.max(...heights)
  return {
    bars: heights.map((height) => height / most),
    at: place(mark),
    p50: place(scaled[Math.floor(scaled.length / 2)]!),
    p99: place(scaled.at(-1)!),
  }
}

function logarithm(ns: number): number {
  return Math.log10(Math.max(1, ns))
}
