/** The time axis: a window on the trace and its ticks, one unit for all of them. */
import type { TimeWindow } from '../app/url'

const MIN_WINDOW_NS = 10
const UNITS = [
  { size: 1, name: 'ns' },
  { size: 1e3, name: 'µs' },
  { size: 1e6, name: 'ms' },
  { size: 1e9, name: 's' },
  { size: 6e10, name: 'min' },
  { size: 3.6e12, name: 'h' },
] as const

export interface Tick {
  at: number
  label: string
}

/** At most `most` ticks at round values within the window; the first one names the unit. */
export function ticks(window: TimeWindow, most: number): Tick[] {
  const length = window.to - window.from
  const unit = UNITS.findLast((item) => item.size <= length) ?? UNITS[0]
  const rough = length / unit.size / Math.max(1, most)
  const power = 10 ** Math.floor(Math.log10(rough))
  const factor = [1, 2, 5, 10].find((step) => step * power >= rough * 0.999) ?? 10
  const step = factor * power
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9))
  const first = Math.ceil(window.from / unit.size / step - 1e-9)
  const last = Math.floor(window.to / unit.size / step + 1e-9)
  const found: Tick[] = []
  for (let index = first; index <= last; index++) {
    const value = index * step
    const text = value === 0 ? '0' : value.toFixed(digits)
    found.push({ at: value * unit.size, label: index === first ? `${text} ${unit.name}` : text })
  }
  return found
}

/** The window inside the trace, at least a few nanoseconds long; null for the whole trace. */
export function clampWindow(window: TimeWindow, length: number): TimeWindow | null {
  const size = Math.min(length, Math.max(MIN_WINDOW_NS, window.to - window.from))
  if (size >= length * 0.9999) return null
  const from = Math.min(Math.max(0, window.from), length - size)
  return { from, to: from + size }
}

/** The window made `factor` times as long (below 1: zoomed in), with the time `at` staying where it is. */
export function zoomed(window: TimeWindow, factor: number, at: number, length: number): TimeWindow | null {
  const size = Math.max(MIN_WINDOW_NS, (window.to - window.from) * factor)
  const share = (at - window.from) / (window.to - window.from)
  const from = at - share * size
  return clampWindow({ from, to: from + size }, length)
}

/** The window moved by a share of its own length. */
export function panned(window: TimeWindow, share: number, length: number): TimeWindow | null {
  const by = (window.to - window.from) * share
  return clampWindow({ from: window.from + by, to: window.to + by }, length)
}

/** The window around a span with some room beside it. */
export function around(start: number, duration: number, length: number): TimeWindow | null {
  const room = Math.max(duration * 0.05, MIN_WINDOW_NS / 2)
  return clampWindow({ from: start - room, to: start + duration + room }, length)
}
