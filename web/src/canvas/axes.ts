/** The axes of the heatmap: round times of the day in the reader's zone, and 1, 3, 10, 30 … of a length. */
import { formatCount, formatDuration, type Zone } from '../model/format'

export interface AxisTick {
  /** From 0 at the beginning of the axis to 1 at its end. */
  at: number
  label: string
}

const S = 1000
const MIN = 60 * S
const H = 60 * MIN
const DAY = 24 * H
const STEPS_MS = [
  1,
  2,
  5,
  10,
  20,
  50,
  100,
  200,
  500,
  S,
  2 * S,
  5 * S,
  10 * S,
  15 * S,
  30 * S,
  MIN,
  2 * MIN,
  5 * MIN,
  10 * MIN,
  15 * MIN,
  30 * MIN,
  H,
  2 * H,
  3 * H,
  6 * H,
  12 * H,
  DAY,
  2 * DAY,
  7 * DAY,
  14 * DAY,
  30 * DAY,
  90 * DAY,
  365 * DAY,
]

/** At most `most` ticks between two times in milliseconds: times of the day, the day itself at its midnight, with the year where it is not this one. */
export function timeTicks(
  fromMs: number,
  toMs: number,
  most: number,
  zone: Zone,
  nowMs = Date.now(),
): AxisTick[] {
  const length = toMs - fromMs
  if (!(length > 0)) return []
  const step = STEPS_MS.find((one) => length / one <= most) ?? length
  // Round in the zone: midnight of the reader, not that of UTC, also behind a change of clocks.
  const offsetAt = (ms: number) => (zone === 'utc' ? 0 : -new Date(ms).getTimezoneOffset() * MIN)
  const days = [fromMs, toMs - 1, nowMs].map((ms) => new Date(ms + offsetAt(ms)).toISOString().slice(0, 10))
  const isOneDay = days[0] === days[1]
  const isThisYear = new Set(days.map((day) => day.slice(0, 4))).size === 1
  const labelOf = (wallMs: number) => {
    const iso = new Date(wallMs).toISOString()
    const isDay = step >= DAY || (!isOneDay && step >= MIN && iso.slice(11, 16) === '00:00')
    return isDay ? iso.slice(isThisYear ? 5 : 0, 10) : timeLabel(iso, step)
  }
  const ticks: AxisTick[] = []
  let last = -Infinity
  for (
    let at = Math.ceil((fromMs + offsetAt(fromMs)) / step) * step - offsetAt(fromMs);
    at <= toMs;
    at += step
  ) {
    const wall = at + offsetAt(at)
    at += Math.round(wall / step) * step - wall
    if (at <= last || at > toMs) continue
    last = at
    ticks.push({ at: (at - fromMs) / length, label: labelOf(at + offsetAt(at)) })
  }
  return ticks
}

function timeLabel(iso: string, step: number): string {
  if (step >= MIN) return iso.slice(11, 16)
  return step >= S ? iso.slice(11, 19) : iso.slice(17, 23)
}

export interface LengthTick {
  ns: number
  label: string
}

/**
 * Ticks of a logarithmic axis of lengths in nanoseconds: 1, 3 and 10 of each power of ten, or the powers alone where these
 * are many; both ends where there are fewer than two.
 */
export function lengthTicks(fromNs: number, toNs: number, most: number): LengthTick[] {
  const low = Math.log10(Math.max(1, fromNs))
  const high = Math.log10(Math.max(1, toNs))
  if (!(high > low)) return []
  const powers = Math.floor(high) - Math.ceil(low) + 1
  const factors = powers * 2 <= most ? [1, 3] : [1]
  const stride = Math.max(1, Math.ceil(powers / most))
  const ticks: LengthTick[] = []
  for (let power = Math.floor(low); power <= high; power += stride) {
    for (const factor of factors) {
      const ns = factor * 10 ** power
      if (ns >= fromNs && ns <= toNs) ticks.push({ ns, label: lengthLabel(ns) })
    }
  }
  if (ticks.length > 1) return ticks
  const ends = [fromNs, toNs].map((ns) => ({ ns, label: formatDuration(ns) }))
  return ends[0]!.label === ends[1]!.label ? ends.slice(0, 1) : ends
}

/** `1,000 s`, not `16 m 40 s`: as short and as round as the others. */
function lengthLabel(ns: number): string {
  return ns >= 60e9 ? `${formatCount(ns / 1e9)} s` : formatDuration(ns).replace(/\.0+(?= )/, '')
}
