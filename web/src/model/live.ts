/** The list of a live tail: the newest rows, what waits while it is paused, gaps, and how much comes. */
import type { TailCounts, TailTrace } from '../api/types'
import { SERVICE_COLOURS } from './colours'

export const MOST_ROWS = 1000

export interface LiveRow {
  kind: 'trace'
  id: string
  trace: TailTrace
  /** Shown while the list was paused, and no longer a match. */
  isGone: boolean
}

/** A time in which the connection was lost. */
export interface Gap {
  kind: 'gap'
  id: string
  fromMs: number
  toMs: number
  /** About how many traces came meanwhile; null where that is not known. */
  about: number | null
  /** What came meanwhile was sent after all. */
  isFilled: boolean
  /** The server said that it stops, before. */
  wasStopped: boolean
}

export type LiveItem = LiveRow | Gap

/** The newest first. While it is paused nothing moves: what comes waits, and what is shown may only change in its place. */
export class LiveList {
  private shown: LiveItem[] = []
  /** The oldest first. */
  private waiting: LiveItem[] = []
  private readonly rows = new Map<string, LiveRow>()
  private dropped = 0
  private paused = false

  get items(): readonly LiveItem[] {
    return this.shown
  }

  /** How many traces came since it was paused, also those for which there is no room. */
  get waitingTraces(): number {
    return this.dropped + this.waiting.filter((item) => item.kind === 'trace').length
  }

  get isPaused(): boolean {
    return this.paused
  }

  pause(paused: boolean): void {
    this.paused = paused
    if (!paused) this.show()
  }

  /** Puts what waits on top, and takes away what is gone. */
  show(): void {
    this.put(this.waiting)
    this.waiting = []
    this.dropped = 0
    if (this.shown.some((item) => item.kind === 'trace' && item.isGone)) {
      this.shown = this.shown.filter((item) => {
        if (item.kind === 'gap' || !item.isGone) return true
        this.rows.delete(item.id)
        return false
      })
    }
  }

  /** A trace that came, or grew. */
  add(trace: TailTrace): void {
    const known = this.rows.get(trace.trace_id)
    if (known !== undefined) {
      const next = { ...known, trace, isGone: false }
      this.rows.set(next.id, next)
      this.replace(known, next)
      return
    }
    const row: LiveRow = { kind: 'trace', id: trace.trace_id, trace, isGone: false }
    this.rows.set(row.id, row)
    this.insert(row)
  }

  /** A trace that does not match any more. */
  remove(traceId: string): void {
    const row = this.rows.get(traceId)
    if (row === undefined) return
    const waits = this.waiting.indexOf(row)
    if (waits >= 0) this.waiting.splice(waits, 1)
    if (waits < 0 && this.paused) {
      const gone = { ...row, isGone: true }
      this.rows.set(traceId, gone)
      this.replace(row, gone)
      return
    }
    this.rows.delete(traceId)
    this.shown = this.shown.filter((item) => item !== row)
  }

  gap(gap: Gap): void {
    this.insert(gap)
  }

  private insert(item: LiveItem): void {
    if (!this.paused) {
      this.put([item])
      return
    }
    this.waiting.push(item)
    if (this.waiting.length <= MOST_ROWS) return
    const dropped = this.waiting.shift()
    if (dropped?.kind !== 'trace') return
    this.dropped += 1
    this.rows.delete(dropped.id)
  }

  private put(items: readonly LiveItem[]): void {
    if (items.length === 0) return
    const all = [...items.toReversed(), ...this.shown]
    for (const item of all.slice(MOST_ROWS)) if (item.kind === 'trace') this.rows.delete(item.id)
    this.shown = all.slice(0, MOST_ROWS)
  }

  private replace(row: LiveRow, next: LiveRow): void {
    const list = this.waiting.includes(row) ? this.waiting : this.shown
    const at = list.indexOf(row)
    if (list === this.shown) this.shown = this.shown.with(at, next)
    else this.waiting[at] = next
  }
}

export const NO_COUNTS: TailCounts = {
  traces: 0,
  spans: 0,
  failed: 0,
  skipped: 0,
  skipped_failed: 0,
  unread_spans: 0,
  lost_spans: 0,
}

export function addCounts(a: TailCounts, b: TailCounts): TailCounts {
  const sum = { ...a }
  for (const key of Object.keys(a) as (keyof TailCounts)[]) sum[key] += b[key]
  return sum
}

export const BARS = 30
/** Of a bar. The server counts about once a second, so that a shorter one would often be empty. */
export const BAR_SECONDS = 2
/** A rate is that of the last bars. */
const RATE_BARS = 5

export interface Rates {
  traces: number
  spans: number
  failed: number
}

/** How much came a second in each of the last times of `BAR_SECONDS`; null for one without a connection. */
export class RateMeter {
  private last = NO_COUNTS
  private times: (Rates | null)[] = []

  /** Every `BAR_SECONDS`; `counts` are of all that came so far. */
  tick(counts: TailCounts, isConnected: boolean): void {
    const { traces, spans, failed } = counts
    const rates = {
      traces: (traces - this.last.traces) / BAR_SECONDS,
      spans: (spans - this.last.spans) / BAR_SECONDS,
      failed: (failed - this.last.failed) / BAR_SECONDS,
    }
    this.last = counts
    this.times = [...this.times, isConnected ? rates : null].slice(-BARS)
  }

  /** What came while there was no connection has come after all; `counts` are of all so far. It came at an even pace, for all that is known. */
  catchUp(counts: TailCounts): void {
    const first = this.times.findLastIndex((one) => one !== null) + 1
    const lost = this.times.length - first
    if (lost === 0) return
    const over = (lost + 1) * BAR_SECONDS
    const { traces, spans, failed } = counts
    const rates = {
      traces: (traces - this.last.traces) / over,
      spans: (spans - this.last.spans) / over,
      failed: (failed - this.last.failed) / over,
    }
    this.times = this.times.map((one, at) => (at < first ? one : rates))
    this.last = {
      ...this.last,
      traces: traces - rates.traces * BAR_SECONDS,
      spans: spans - rates.spans * BAR_SECONDS,
      failed: failed - rates.failed * BAR_SECONDS,
    }
  }

  /** Null before some time has passed with a connection. */
  get rates(): Rates | null {
    const counted = this.times.slice(-RATE_BARS).filter((one) => one !== null)
    if (counted.length === 0) return null
    const mean = (key: keyof Rates) => counted.reduce((sum, one) => sum + one[key], 0) / counted.length
    return { traces: mean('traces'), spans: mean('spans'), failed: mean('failed') }
  }

  /** Traces a second, the oldest first. */
  get bars(): readonly (number | null)[] {
    return this.times.map((one) => one?.traces ?? null)
  }
}

/** `51`, `9.4`, `0.2`: a rate of which the unit stands beside it. */
export function rateText(perSecond: number): string {
  return perSecond >= 9.95 || Number.isInteger(perSecond)
    ? String(Math.round(perSecond))
    : perSecond.toFixed(1)
}

/** One logarithmic scale for the durations of all rows; its ends are 1, 2 or 5 times a power of ten, in nanoseconds. */
export interface LogScale {
  from: number
  to: number
}

export function logScale(durations: readonly number[]): LogScale | null {
  const positive = durations.filter((one) => one > 0)
  if (positive.length === 0) return null
  const from = roundDown(Math.min(...positive))
  const to = roundUp(Math.max(...positive))
  return { from, to: to > from ? to : from * 10 }
}

/** Where on the scale it lies, 0 to 1; what is shown at all has some length. */
export function lengthOn(scale: LogScale | null, duration: number): number {
  if (scale === null || duration <= 0) return 0
  const share = Math.log(duration / scale.from) / Math.log(scale.to / scale.from)
  return Math.min(1, Math.max(0.02, share))
}

function roundDown(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value))
  return (value >= 5 * power ? 5 : value >= 2 * power ? 2 : 1) * power
}

function roundUp(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value))
  return (value <= power ? 1 : value <= 2 * power ? 2 : value <= 5 * power ? 5 : 10) * power
}

/** Colours of services, given in the order in which they come; once given they stay. 0 is the colour of all others. */
export class ServiceColours {
  private readonly given = new Map<string, number>()

  of(service: string): number {
    const known = this.given.get(service)
    if (known !== undefined) return known
    if (this.given.size >= SERVICE_COLOURS) return 0
    this.given.set(service, this.given.size + 1)
    return this.given.size
  }
}
