/** Numbers, lengths and times as the UI writes them: three digits, one unit, the zone always known. */

export type Zone = 'local' | 'utc'

export const MISSING = '–'

const UNITS = [
  { size: 1, short: 'ns', long: 'nanosecond' },
  { size: 1e3, short: 'µs', long: 'microsecond' },
  { size: 1e6, short: 'ms', long: 'millisecond' },
  { size: 1e9, short: 's', long: 'second' },
] as const

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'] as const

/** Three significant digits of a number below 1000. */
function threeDigits(value: number): string {
  if (value < 9.995) return value.toFixed(2)
  if (value < 99.95) return value.toFixed(1)
  return value.toFixed(0)
}

interface Parts {
  number: string
  short: string
  long: string
}

function durationParts(ns: number): Parts {
  const size = Math.abs(ns)
  for (const unit of UNITS) {
    const number = unit.size === 1 ? String(Math.round(size)) : threeDigits(size / unit.size)
    if (Number(number) < 1000 || unit.short === 's') {
      return { number: ns < 0 ? `−${number}` : number, short: unit.short, long: unit.long }
    }
  }
  throw new Error('unreachable: the last unit takes everything')
}

/** A length such as `2.31 s`, `41.2 ms`, `2 m 05 s` or `1 h 12 m`; `–` when it is not known. */
export function formatDuration(ns: number | null | undefined): string {
  if (ns === null || ns === undefined || !Number.isFinite(ns)) return MISSING
  if (ns === 0) return '0'
  const seconds = Math.abs(ns) / 1e9
  const sign = ns < 0 ? '−' : ''
  if (seconds >= 59.95) {
    const whole = Math.round(seconds)
    if (whole >= 3600) {
      const minutes = Math.round(seconds / 60)
      return `${sign}${formatCount(Math.floor(minutes / 60))} h ${pad(minutes % 60)} m`
    }
    return `${sign}${Math.floor(whole / 60)} m ${pad(whole % 60)} s`
  }
  const parts = durationParts(ns)
  return `${parts.number} ${parts.short}`
}

/** A length in full words, for screen readers: `2.01 seconds`. */
export function durationInWords(ns: number): string {
  if (ns === 0) return '0 seconds'
  const seconds = Math.abs(ns) / 1e9
  if (seconds >= 59.95) {
    const whole = Math.round(seconds)
    const hours = Math.floor(whole / 3600)
    const minutes = Math.floor((whole % 3600) / 60)
    return hours > 0
      ? `${plural(hours, 'hour')} ${plural(minutes, 'minute')}`
      : `${plural(minutes, 'minute')} ${plural(whole % 60, 'second')}`
  }
  const parts = durationParts(ns)
  return `${parts.number} ${parts.long}${parts.number === '1' ? '' : 's'}`
}

/** `1 span`, `2 spans`, `183,402 spans`. */
export function plural(count: number, word: string): string {
  return `${formatCount(count)} ${word}${count === 1 ? '' : 's'}`
}

const UNSEEN = /^[\s\p{Cc}\p{Cf}]*$/u

/** A name that can be seen: `␣` for one made of blanks only, `empty` for none. */
export function visibleName(text: string, empty: string): string {
  if (text === '') return empty
  return UNSEEN.test(text) ? '␣'.repeat(Math.min(3, text.length)) : text
}

/** A length with every nanosecond: `9,800,412 ns`. */
export function exactDuration(ns: number): string {
  return `${groupDigits(Math.round(ns))} ns`
}

/** `183,402`, from a million `1.8 M`. */
export function formatCount(count: number | null | undefined): string {
  if (count === null || count === undefined) return MISSING
  if (count < 1e6) return groupDigits(count)
  if (count < 1e9) return `${trimmed(count / 1e6)} M`
  return `${trimmed(count / 1e9)} G`
}

function trimmed(value: number): string {
  return value < 99.95 ? value.toFixed(1).replace(/\.0$/, '') : value.toFixed(0)
}

function groupDigits(count: number): string {
  return String(count).replace(/\B(?=(\d{3})+(?!\d))/g, ',')
}

/** A share from 0 to 1 as percent, one digit below 10: `0.2 %`, `9.8 %`, `81 %`. */
export function formatPercent(ratio: number | null | undefined): string {
  if (ratio === null || ratio === undefined || !Number.isFinite(ratio)) return MISSING
  const percent = ratio * 100
  if (percent === 0) return '0 %'
  if (percent < 0.05) return '< 0.1 %'
  return `${percent < 9.95 ? percent.toFixed(1).replace(/\.0$/, '') : percent.toFixed(0)} %`
}

/** `120/s`, `3.4/min`. */
export function formatRate(perSecond: number | null | undefined): string {
  if (perSecond === null || perSecond === undefined) return MISSING
  if (perSecond === 0) return '0/s'
  if (perSecond >= 1) return `${perSecond < 9.95 ? trimmed(perSecond) : formatCount(Math.round(perSecond))}/s`
  return `${trimmed(perSecond * 60)}/min`
}

/** `1.4 MB`, in decimal units. */
export function formatBytes(bytes: number | null | undefined): string {
  if (bytes === null || bytes === undefined) return MISSING
  const units = ['B', 'kB', 'MB', 'GB', 'TB']
  let value = bytes
  let unit = 0
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000
    unit += 1
  }
  return `${unit === 0 ? String(value) : trimmed(value)} ${units[unit] ?? 'B'}`
}

/** A span of days, hours or minutes in words: `7 days`. */
export function formatRetention(seconds: number): string {
  if (seconds >= 172_800 && seconds % 86_400 === 0) return plural(seconds / 86_400, 'day')
  if (seconds >= 3600 && seconds % 3600 === 0) return plural(seconds / 3600, 'hour')
  return formatDuration(seconds * 1e9)
}

function pad(value: number, width = 2): string {
  return String(value).padStart(width, '0')
}

interface Wall {
  year: number
  month: number
  day: number
  clock: string
}

function wallTime(unixNano: bigint, zone: Zone): Wall {
  const ms = unixNano / 1_000_000n - (unixNano % 1_000_000n < 0n ? 1n : 0n)
  const date = new Date(Number(ms))
  const utc = zone === 'utc'
  const clock = [
    pad(utc ? date.getUTCHours() : date.getHours()),
    pad(utc ? date.getUTCMinutes() : date.getMinutes()),
    pad(utc ? date.getUTCSeconds() : date.getSeconds()),
  ].join(':')
  return {
    year: utc ? date.getUTCFullYear() : date.getFullYear(),
    month: utc ? date.getUTCMonth() : date.getMonth(),
    day: utc ? date.getUTCDate() : date.getDate(),
    clock: `${clock}.${pad(date.getUTCMilliseconds(), 3)}`,
  }
}

/** `12:04:31.207` today, `21 Nov 12:04:31.207` this year, with the year before that. */
export function formatTime(unixNano: string, zone: Zone, nowMs: number = Date.now()): string {
  const then = wallTime(BigInt(unixNano), zone)
  const now = wallTime(BigInt(Math.floor(nowMs)) * 1_000_000n, zone)
  if (then.year === now.year && then.month === now.month && then.day === now.day) return then.clock
  const day = `${then.day} ${MONTHS[then.month] ?? ''}`
  return then.year === now.year ? `${day} ${then.clock}` : `${day} ${then.year} ${then.clock}`
}

/** Date, time and zone: `22 Nov 2026 12:04:31.207 UTC`. */
export function formatFullTime(unixNano: string, zone: Zone): string {
  const wall = wallTime(BigInt(unixNano), zone)
  const name = zoneName(zone, new Date(Number(BigInt(unixNano) / 1_000_000n)))
  return `${wall.day} ${MONTHS[wall.month] ?? ''} ${wall.year} ${wall.clock} ${name}`
}

/** `UTC`, or the offset of this computer at that time: `UTC+01:00`. */
export function zoneName(zone: Zone, at: Date = new Date()): string {
  if (zone === 'utc') return 'UTC'
  const minutes = -at.getTimezoneOffset()
  if (minutes === 0) return 'UTC'
  const size = Math.abs(minutes)
  return `UTC${minutes < 0 ? '−' : '+'}${pad(Math.floor(size / 60))}:${pad(size % 60)}`
}

/** ISO 8601 in UTC with all nine digits, for the clipboard. */
export function isoTime(unixNano: string): string {
  const value = BigInt(unixNano)
  const seconds = value / 1_000_000_000n
  const rest = value % 1_000_000_000n
  return `${new Date(Number(seconds) * 1000).toISOString().slice(0, 19)}.${String(rest).padStart(9, '0')}Z`
}

/** How long ago, in one unit: `just now`, `40 s ago`, `3 h ago`, `2 days ago`. */
export function formatAgo(unixNano: string, nowMs: number = Date.now()): string {
  const seconds = Math.round(nowMs / 1000 - Number(BigInt(unixNano) / 1_000_000_000n))
  if (seconds < 2) return 'just now'
  if (seconds < 60) return `${seconds} s ago`
  if (seconds < 3600) return `${Math.round(seconds / 60)} min ago`
  if (seconds < 86_400 * 2) return `${Math.round(seconds / 3600)} h ago`
  return `${formatCount(Math.round(seconds / 86_400))} days ago`
}

/** How old something is now: `12 s`, `37 min`, `3 h`, `5 days`. */
export function formatAge(unixNano: string, nowMs: number = Date.now()): string {
  return formatAgo(unixNano, nowMs).replace('just now', '1 s ago').replace(/ ago$/, '')
}

/** Nanoseconds from one time to another. */
export function durationBetween(fromUnixNano: string, toUnixNano: string): number {
  return Number(BigInt(toUnixNano) - BigInt(fromUnixNano))
}

/** Text of at most so many characters; what is left out at its end is shown as an ellipsis. */
export function shortened(text: string, most: number): string {
  return text.length > most ? `${text.slice(0, most)}…` : text
}

/** A name of at most so many characters, of which the middle is left out: `GET /api/v2/…/latest`. */
export function shortenedName(name: string, most: number): string {
  if (name.length <= most) return name
  const end = Math.floor(most / 2)
  return `${name.slice(0, most - end)}…${name.slice(name.length - end)}`
}

/** Of one attribute so many values are written. The server gives one more where there are more, which is said. */
const MOST_VALUES = 3

/** Values of one attribute with a sign between them. */
export function valuesText(values: readonly string[], between: string): string {
  const some = values.slice(0, MOST_VALUES)
  return (values.length > MOST_VALUES ? [...some, '…'] : some).join(between)
}
