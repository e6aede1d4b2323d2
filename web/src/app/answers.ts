/** Where traces of a list failed and where their time went: asked for the rows in view, a few at a time. */
import type { TraceAnswer, TraceSummary } from '../api/types'
import { SERVICE_COLOURS } from '../model/colours'

/** So many traces a request: the first rows are answered soon. */
const AT_ONCE = 10

type Ask = (traceIds: string[], signal: AbortSignal) => Promise<TraceAnswer[]>

/** A trace that got more spans is another one: its answer may have changed. */
function keyOf(trace: TraceSummary): string {
  return `${trace.trace_id} ${trace.spans} ${trace.errors}`
}

/**
 * The answers that have come, and one request for those that are wanted. `onChange` is called after each request.
 * A request that nobody wants any more is aborted; traces whose request failed are not asked for again.
 */
export class Answers {
  private readonly answers = new Map<string, TraceAnswer | null>()
  private readonly colours = new Map<string, number>()
  private wanted: TraceSummary[] = []
  private running: { keys: string[]; abort: AbortController } | null = null

  constructor(
    private readonly ask: Ask,
    private readonly onChange: () => void,
  ) {}

  /** The answer about a trace; null where it could not be had, undefined while it is not there. */
  get(trace: TraceSummary): TraceAnswer | null | undefined {
    return this.answers.get(keyOf(trace))
  }

  /** The colour of a service, 1 to 8, or 0 for the one that all others share. Once given it stays. */
  colour(service: string): number {
    return this.colours.get(service) ?? 0
  }

  /** Says which rows are in view, the most urgent first. */
  want(traces: TraceSummary[]): void {
    this.wanted = traces
    const keys = new Set(traces.map(keyOf))
    if (this.running && !this.running.keys.some((key) => keys.has(key))) {
      this.running.abort.abort()
      this.running = null
    }
    void this.pump()
  }

  /** Ends what runs. */
  dispose(): void {
    this.wanted = []
    this.running?.abort.abort()
    this.running = null
  }

  private async pump(): Promise<void> {
    while (!this.running) {
      const next = this.wanted.filter((trace) => !this.answers.has(keyOf(trace))).slice(0, AT_ONCE)
      if (next.length === 0) return
      const mine = { keys: next.map(keyOf), abort: new AbortController() }
      this.running = mine
      let answers: TraceAnswer[] = []
      try {
        answers = await this.ask(
          next.map((trace) => trace.trace_id),
          mine.abort.signal,
        )
      } catch {
        // The columns keep what the search said of these rows; its own problems are shown by the page.
      }
      if (mine.abort.signal.aborted) return
      this.running = null
      const byId = new Map(answers.map((answer) => [answer.trace_id, answer]))
      for (const trace of next) this.answers.set(keyOf(trace), byId.get(trace.trace_id) ?? null)
      this.giveColours(next)
      this.onChange()
    }
  }

  /** New services get the colours that are left, those with most time first, then by name. */
  private giveColours(traces: TraceSummary[]): void {
    const time = new Map<string, number>()
    for (const trace of traces) {
      for (const { owner, share } of this.get(trace)?.shares ?? []) {
        time.set(owner, (time.get(owner) ?? 0) + share * Number(trace.duration_ns))
      }
    }
    const ranked = [...time].toSorted((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1))
    for (const [owner] of ranked) {
      if (this.colours.size >= SERVICE_COLOURS) return
      if (!this.colours.has(owner)) this.colours.set(owner, this.colours.size + 1)
    }
  }
}
