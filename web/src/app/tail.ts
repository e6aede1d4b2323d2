/** One live tail: the connection, which comes back by itself, and what it has brought. */
import { ApiError, nextToken } from '../api/client'
import type { TailCounts, TailOpen, TailTrace } from '../api/types'
import { EventReader } from '../model/events'
import { addCounts, BAR_SECONDS, LiveList, NO_COUNTS, RateMeter, ServiceColours } from '../model/live'

const TICK_MS = 1000
const FIRST_WAIT_MS = 1000
const LONGEST_WAIT_MS = 30_000
/** The server sends something every ten seconds. */
const SILENCE_MS = 30_000
/** Traces for which it is not known yet whether they are shown. */
const MOST_ASKED = 500

/** `token`: the server wants one; `refused`: it will not answer this query; `lost`: it is tried again. */
export type Phase = 'connecting' | 'live' | 'lost' | 'token' | 'refused'

interface Options {
  /** `lastEventId`: what came last on a connection that broke; empty for none. */
  open: (signal: AbortSignal, lastEventId: string) => Promise<ReadableStream<Uint8Array>>
  /** Whether a trace that came is shown. */
  isWanted?: (trace: TailTrace) => Promise<boolean>
  now?: () => number
}

/** What comes in this time is drawn together. */
const DRAWS_EVERY_MS = 150

export class Tail {
  readonly list = new LiveList()
  readonly rates = new RateMeter()
  readonly colours = new ServiceColours()
  phase: Phase = 'connecting'
  problem: ApiError | null = null
  /** When it is tried again; null while it is not waited for. */
  nextTryMs: number | null = null
  readonly sinceMs: number
  private counted: TailCounts = NO_COUNTS
  private before: TailCounts = NO_COUNTS
  private lostMs: number | null = null
  /** The server said that it stops. */
  private wasStopped = false
  private lastEventId = ''
  /** The connection goes on from where the last one was, and nothing was counted on it yet. */
  private isCaughtUp = true
  private lastByteMs = 0
  private asked = 0
  private ticks = 0
  /** Which start it is; 0 while it is ended. */
  private started = 0
  private starts = 0
  private version = 0
  private readonly watchers = new Set<() => void>()
  private drawing: ReturnType<typeof setTimeout> | undefined
  private timer: ReturnType<typeof setInterval> | undefined
  private connection: AbortController | null = null
  private hurry: () => void = () => {}
  private readonly now: () => number

  constructor(private readonly options: Options) {
    this.now = options.now ?? Date.now
    this.sinceMs = this.now()
  }

  start(): void {
    this.timer = setInterval(() => this.tick(), TICK_MS)
    void this.run()
  }

  /** Calls when there is something new to draw; returns the function that ends that. */
  subscribe = (watcher: () => void): (() => void) => {
    this.watchers.add(watcher)
    return () => this.watchers.delete(watcher)
  }

  /** Another number each time there is something new to draw. */
  drawn = (): number => this.version

  /** Of all connections together: one that goes on from where another was counts on. */
  get counts(): TailCounts {
    return addCounts(this.before, this.counted)
  }

  /** Connects now, without waiting longer. */
  retry(): void {
    if (this.phase === 'refused') {
      this.phase = 'connecting'
      this.problem = null
      void this.run()
    }
    this.hurry()
  }

  /** Ends it; it can be started again. */
  stop(): void {
    this.started = 0
    clearInterval(this.timer)
    clearTimeout(this.drawing)
    this.drawing = undefined
    this.connection?.abort()
    this.hurry()
  }

  private changed(): void {
    this.drawing ??= setTimeout(() => {
      this.drawing = undefined
      this.version += 1
      for (const watcher of this.watchers) watcher()
    }, DRAWS_EVERY_MS)
  }

  private tick(): void {
    if (this.phase === 'live' && this.now() - this.lastByteMs > SILENCE_MS) this.connection?.abort()
    this.ticks += 1
    if (this.ticks % BAR_SECONDS === 0) this.rates.tick(this.counts, this.phase === 'live')
    this.changed()
  }

  private async run(): Promise<void> {
    this.starts += 1
    const mine = this.starts
    this.started = mine
    let waitMs = FIRST_WAIT_MS
    while (this.started === mine) {
      const connection = new AbortController()
      this.connection = connection
      let error: unknown = null
      try {
        await this.read(await this.options.open(connection.signal, this.lastEventId), connection.signal)
      } catch (caught) {
        error = caught
      }
      connection.abort()
      if (this.started !== mine) return
      const wasLive = this.phase === 'live'
      if (wasLive) {
        this.lostMs = this.now()
        waitMs = FIRST_WAIT_MS
      }
      this.problem =
        error instanceof ApiError ? error : new ApiError('The connection was lost.', 0, 'offline')
      if (this.problem.status === 401) {
        this.phase = 'token'
        this.changed()
        await nextToken()
        continue
      }
      if (!this.problem.isOutage) {
        this.phase = 'refused'
        this.changed()
        return
      }
      this.phase = 'lost'
      await this.wait(waitMs)
      waitMs = Math.min(2 * waitMs, LONGEST_WAIT_MS)
    }
  }

  private async wait(ms: number): Promise<void> {
    this.nextTryMs = this.now() + ms
    this.changed()
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms)
      this.hurry = () => {
        clearTimeout(timer)
        resolve()
      }
    })
    this.nextTryMs = null
  }

  private async read(body: ReadableStream<Uint8Array>, signal: AbortSignal): Promise<void> {
    const reader = body.getReader()
    const decoder = new TextDecoder()
    const events = new EventReader()
    for (;;) {
      const { done, value } = await reader.read()
      if (done || signal.aborted) return
      this.lastByteMs = this.now()
      for (const { name, data, id } of events.push(decoder.decode(value, { stream: true }))) {
        if (id !== '') this.lastEventId = id
        this.take(name, data)
      }
    }
  }

  private take(name: string, data: unknown): void {
    if (name === 'open') this.opened(data as TailOpen)
    else if (name === 'trace') void this.add(data as TailTrace)
    else if (name === 'gone') this.list.remove((data as { trace_id: string }).trace_id)
    else if (name === 'end') this.wasStopped = true
    else if (name === 'counts') {
      this.counted = data as TailCounts
      if (!this.isCaughtUp) this.rates.catchUp(this.counts)
      this.isCaughtUp = true
    }
    this.changed()
  }

  private opened({ resumed: isResumed, missed }: TailOpen): void {
    this.phase = 'live'
    this.problem = null
    if (!isResumed) {
      this.before = this.counts
      this.counted = NO_COUNTS
    }
    this.isCaughtUp = !isResumed
    if (this.lostMs === null) return
    const toMs = this.now()
    const perSecond = this.rates.rates?.traces ?? 0
    const about = isResumed ? missed : Math.round((perSecond * (toMs - this.lostMs)) / 1000)
    this.list.gap({
      kind: 'gap',
      id: `gap ${toMs}`,
      fromMs: this.lostMs,
      toMs,
      about: about > 0 ? about : null,
      isFilled: isResumed && missed === 0,
      wasStopped: this.wasStopped,
    })
    this.lostMs = null
    this.wasStopped = false
  }

  private async add(trace: TailTrace): Promise<void> {
    const { isWanted } = this.options
    if (isWanted !== undefined) {
      if (this.asked >= MOST_ASKED) return
      this.asked += 1
      const wanted = await isWanted(trace).catch(() => false)
      this.asked -= 1
      if (!wanted || this.started === 0) return
    }
    for (const { owner } of trace.answer.shares) this.colours.of(owner)
    this.list.add(trace)
    this.changed()
  }
}
