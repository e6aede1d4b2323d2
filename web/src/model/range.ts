/** Time ranges of a search: relative ends stay relative, `all` has no beginning. */
import { zoneName, type Zone } from './format'

export interface Range {
  from: string
  to: string
}

export const DEFAULT_RANGE: Range = { from: 'now-1h', to: 'now' }

export const RANGES: readonly { from: string; label: string }[] = [
  { from: 'now-15m', label: 'Last 15 min' },
  { from: 'now-1h', label: 'Last 1 h' },
  { from: 'now-6h', label: 'Last 6 h' },
  { from: 'now-24h', label: 'Last 24 h' },
  { from: 'now-7d', label: 'Last 7 days' },
  { from: 'all', label: 'All time' },
]

const MINUTE_MS = 60_000
/** Ends that are nearer to each other are written with milliseconds. */
const SHORT_MS = 10_000
const UNIT_MS: Record<string, number> = { s: 1e3, m: 6e4, h: 3.6e6, d: 8.64e7 }
const RELATIVE = /^now(?:-(\d{1,6})([smhd]))?$/
const ISO = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:\d\d)$/

/** Whether the text is an end of a range: `now`, `now-15m`, ISO with a zone. */
export function isTime(text: string): boolean {
  return RELATIVE.test(text) || (ISO.test(text) && !Number.isNaN(Date.parse(text)))
}

/** Milliseconds since the epoch of one end of a range, or null for `all`. */
export function timeMs(text: string, nowMs: number): number | null {
  if (text === 'all') return null
  const relative = RELATIVE.exec(text)
  if (relative) {
    const [, amount, unit] = relative
    return amount === undefined || unit === undefined ? nowMs : nowMs - Number(amount) * (UNIT_MS[unit] ?? 0)
  }
  return Date.parse(text)
}

/** The same range with fixed ends, for a link that shows the same traces tomorrow. */
export function fixedRange(range: Range, nowMs: number): Range {
  const from = timeMs(range.from, nowMs)
  const to = timeMs(range.to, nowMs) ?? nowMs
  return { from: from === null ? 'all' : new Date(from).toISOString(), to: new Date(to).toISOString() }
}

/** The range moved by its own length, into the past or (not beyond now) the future. */
export function shiftedRange(range: Range, direction: -1 | 1, nowMs: number): Range {
  const from = timeMs(range.from, nowMs)
  const to = timeMs(range.to, nowMs)
  if (from === null || to === null || to <= from) return range
  const length = to - from
  const end = Math.min(nowMs, to + direction * length)
  return { from: new Date(end - length).toISOString(), to: new Date(end).toISOString() }
}

/** What the range control says: `Last 1 h`, or both ends. */
export function rangeLabel(range: Range, zone: Zone): string {
  const last = range.to === 'now' ? RELATIVE.exec(range.from) : null
  const known = RANGES.find((item) => item.from === range.from)
  if (range.to === 'now') {
    if (known) return known.label
    return last === null ? `Since ${endText(range.from, range, zone)}` : `Last ${lengthText(last)}`
  }
  return bothEnds(range, zone, 'to')
}

/** When, as the end of a sentence: `in the last hour`, `between … and …`, `at any time`. */
export function rangeInWords(range: Range, zone: Zone): string {
  const last = /^now-(\d+)([smhd])$/.exec(range.from)
  if (range.to === 'now') {
    if (range.from === 'all') return 'at any time'
    if (last === null) return `since ${endText(range.from, range, zone)}`
    const unit = { s: 'second', m: 'minute', h: 'hour', d: 'day' }[last[2]!]!
    return last[1] === '1' ? `in the last ${unit}` : `in the last ${last[1]} ${unit}s`
  }
  return range.from === 'all'
    ? `before ${endText(range.to, range, zone)}`
    : `between ${bothEnds(range, zone, 'and')}`
}

/** Both ends; the day and the zone once where they are those of both. */
function bothEnds(range: Range, zone: Zone, joined: 'to' | 'and'): string {
  const [from, to] = [endText(range.from, range, zone), endText(range.to, range, zone)]
  const [day, time, name] = from.split(' ')
  const [toDay, toTime, toName] = to.split(' ')
  if (!isFixed(range.from) || !isFixed(range.to) || name !== toName) return `${from} ${joined} ${to}`
  return `${day} ${time} ${joined} ${day === toDay ? toTime : `${toDay} ${toTime}`} ${name}`
}

function isFixed(end: string): boolean {
  return ISO.test(end)
}

/** `15 min`, of a relative time. */
function lengthText([, amount, unit]: RegExpExecArray): string {
  const words = { s: 's', m: 'min', h: 'h', d: amount === '1' ? 'day' : 'days' }
  return `${amount} ${words[unit as keyof typeof words]}`
}

/** One end, in the zone: as exact as both ends of the range need to be told apart. */
function endText(end: string, { from, to }: Range, zone: Zone): string {
  if (end === 'all') return 'the beginning'
  const relative = RELATIVE.exec(end)
  if (relative) return end === 'now' ? end : `${lengthText(relative)} ago`
  const ms = Date.parse(end)
  const fixed = [from, to].filter(isFixed).map((one) => Date.parse(one))
  const length = fixed.length === 2 ? Math.abs(fixed[1]! - fixed[0]!) : Infinity
  const digits = length < SHORT_MS ? 23 : fixed.every((one) => one % MINUTE_MS === 0) ? 16 : 19
  return `${wallText(ms, zone).slice(0, digits).replace('T', ' ')} ${zoneName(zone, new Date(ms))}`
}

/** The time on a clock of the zone, as ISO writes it, without the zone. */
function wallText(ms: number, zone: Zone): string {
  const shifted = zone === 'utc' ? ms : ms - new Date(ms).getTimezoneOffset() * MINUTE_MS
  return new Date(shifted).toISOString().slice(0, -1)
}

/** A time as `<input type="datetime-local">` writes it: whole seconds in the zone, without it. */
export function toInput(ms: number, zone: Zone): string {
  return wallText(ms, zone).slice(0, 19)
}

/** The ISO time of what stands in such an input; null for none. */
export function fromInput(text: string, zone: Zone): string | null {
  const ms = Date.parse(zone === 'utc' ? `${text}Z` : text)
  return text === '' || Number.isNaN(ms) ? null : new Date(ms).toISOString()
}

/**
 * The end that a reader chose in such an input, which showed `shown` of the end as it was written. One that is not touched stays as it
 * was: the input has whole seconds only, and in the hour that a change of clocks repeats it cannot say which.
 */
export function chosenEnd(text: string, shown: string, written: string, zone: Zone): string | null {
  return text === shown && isFixed(written) ? written : fromInput(text, zone)
}

/** What is wrong with a range that a reader chose; null for one that holds some time. */
export function rangeProblem(range: Range, nowMs: number): string | null {
  const from = timeMs(range.from, nowMs)
  const to = timeMs(range.to, nowMs) ?? nowMs
  return from !== null && from >= to ? 'The beginning must be before the end.' : null
}
