/** Typed state in the address: unknown keys are kept, bad values are ignored and named, defaults are left out. */
import type { Selection } from '../model/heat'
import { DEFAULT_RANGE, isTime } from '../model/range'

export interface Field<T> {
  initial: T
  /** Undefined when the text is not a value of this field. */
  parse(text: string): T | undefined
  format(value: T): string
  /** It changes while the reader moves on the page or types: Back does not go through its values. */
  isPassing?: true
  /** It is about the values of these fields: where one of them changes, it is as at first again. */
  of?: readonly string[]
}

export type AnyFields = { [key: string]: Field<any> }
export type StateOf<F extends AnyFields> = { [K in keyof F]: F[K]['initial'] }

function field<T>(
  initial: T,
  parse: (text: string) => T | undefined,
  format: (value: T) => string,
): Field<T> {
  return { initial, parse, format }
}

function passing<T>(one: Field<T>): Field<T> {
  return { ...one, isPassing: true }
}

const text = field<string>('', (value) => value, String)

function choice<T extends string>(initial: T, ...others: T[]): Field<T> {
  const all: readonly string[] = [initial, ...others]
  return field<T>(initial, (value) => (all.includes(value) ? (value as T) : undefined), String)
}

/** In which order traces are listed; the first is the usual one. */
export const SORTS = ['-start', 'start', '-dur', 'dur', '-spans'] as const
export type Sort = (typeof SORTS)[number]

/** A column that only the rows which are shown can be ordered by: the server has no order for it. */
export type RowColumn = 'name' | 'service' | 'failed' | 'time' | 'services' | `attr:${string}`
/** How the rows that are shown are ordered; empty as the server lists them, with a minus the other way round. */
export type RowOrder = '' | RowColumn | `-${RowColumn}`

/** As many as the server answers at once. */
export const MOST_COLUMNS = 10

/** What is asked; how many rows of the answer are shown is not. */
export const QUESTION = ['q', 'from', 'to', 'sort', 'sel'] as const
/** Pages of rows that an address opens at once. */
export const MOST_PAGES = 20

const keys = field<readonly string[]>(
  [],
  (value) => {
    const found = value.split(',').map(plain)
    return found.length <= MOST_COLUMNS && found.every((key) => key !== undefined && key !== '')
      ? [...new Set(found as string[])]
      : undefined
  },
  (value) => value.map((key) => key.replaceAll('%', '%25').replaceAll(',', '%2C')).join(','),
)

export const SEARCH_FIELDS = {
  q: text,
  from: field<string>(
    DEFAULT_RANGE.from,
    (value) => (value === 'all' || isTime(value) ? value : undefined),
    String,
  ),
  to: field<string>(DEFAULT_RANGE.to, (value) => (isTime(value) ? value : undefined), String),
  sort: choice<Sort>(...SORTS),
  /** How the rows that are shown are ordered; those of an attribute are its column's. */
  order: field<RowOrder>(
    '',
    (value) =>
      /^-?(name|service|failed|time|services|attr:.+)$/s.test(value) ? (value as RowOrder) : undefined,
    String,
  ),
  /** Keys of attributes that are shown as columns. */
  cols: keys,
  /** Facets that were added, as a query writes their keys. */
  facet: keys,
  /** A part of the heatmap: start and length in nanoseconds, each from and before. */
  sel: field<Selection | null>(
    null,
    (value) => {
      const [t0, t1, d0, d1, ...more] = value.split(',')
      const isWhole = [t0, t1, d0, d1].every((one) => one !== undefined && /^\d{1,19}$/.test(one))
      if (!isWhole || more.length > 0) return undefined
      return BigInt(t0!) < BigInt(t1!) && BigInt(d0!) < BigInt(d1!)
        ? { t0: t0!, t1: t1!, d0: d0!, d1: d1! }
        : undefined
    },
    (value) => (value ? `${value.t0},${value.t1},${value.d0},${value.d1}` : ''),
  ),
  /** So many pages of rows are shown. */
  pages: {
    ...passing(
      field<number>(
        1,
        (value) => (/^[1-9]\d{0,2}$/.test(value) && Number(value) <= MOST_PAGES ? Number(value) : undefined),
        (value) => String(Math.min(value, MOST_PAGES)),
      ),
    ),
    of: QUESTION,
  },
  /** What shows all matches: the heatmap, single traces on it, or the table of its columns. */
  view: choice<'heat' | 'points' | 'table'>('heat', 'points', 'table'),
}

export const LIVE_FIELDS = {
  q: text,
  /** Which of the traces that match are shown. */
  show: choice<'all' | 'failed' | 'slow'>('all', 'failed', 'slow'),
}

export type LiveState = StateOf<typeof LIVE_FIELDS>

/** A key with its commas again; undefined for what is none. */
function plain(written: string): string | undefined {
  try {
    return decodeURIComponent(written)
  } catch {
    return undefined
  }
}

export type SearchState = StateOf<typeof SEARCH_FIELDS>

/** A part of the trace's time, in nanoseconds from its start. */
export interface TimeWindow {
  from: number
  to: number
}

/** Rows that are closed: everything at `level` or deeper (null: nothing), except the spans in `toggled`. */
export interface Collapse {
  level: number | null
  toggled: string[]
}

/** Equal siblings that are shown one by one: all of them or none, except the groups in `toggled`. */
export interface Unfolding {
  all: boolean
  /** Span ids of groups' first members. */
  toggled: string[]
}

/** Which spans are rows: all, those on the critical path, failed ones. */
export type Only = '' | 'crit' | 'err'

/** What the trace is shown as; empty for the waterfall. */
export type TraceTab = '' | 'flame' | 'stats' | 'events' | 'services'

/** What colours the rows: empty for the service, `attr:KEY` for an attribute. */
export type ColourBy = '' | 'kind' | 'operation' | 'status' | `attr:${string}`

const COLOURS: readonly string[] = ['kind', 'operation', 'status']
const LONGEST_KEY = 200

/** The attribute that colours the rows; empty where something else does. */
export function colourKey(by: ColourBy): string {
  return by.startsWith('attr:') ? by.slice('attr:'.length) : ''
}

/** Whether the server takes it for the key of an attribute. */
export function isColourKey(key: string): boolean {
  return key !== '' && key.length <= LONGEST_KEY
}

const MAX_TOGGLED = 100

export const TRACE_FIELDS = {
  span: passing(field<string>('', (value) => (/^[0-9a-f]{16}$/.test(value) ? value : undefined), String)),
  t: passing(
    field<TimeWindow | null>(
      null,
      (value) => {
        const match = /^(\d{1,16}),(\d{1,16})$/.exec(value)
        const window = { from: Number(match?.[1]), to: Number(match?.[2]) }
        return match && window.from < window.to ? window : undefined
      },
      (value) => (value ? `${Math.floor(value.from)},${Math.ceil(value.to)}` : ''),
    ),
  ),
  collapse: passing(
    field<Collapse>(
      { level: null, toggled: [] },
      (value) => {
        const parts = value.split(',')
        const level = /^level:(\d{1,4})$/.exec(parts[0] ?? '')
        const toggled = level ? parts.slice(1) : parts
        if (!toggled.every((id) => /^[0-9a-f]{16}$/.test(id))) return undefined
        return { level: level ? Number(level[1]) : null, toggled }
      },
      (value) =>
        [
          ...(value.level === null ? [] : [`level:${value.level}`]),
          ...value.toggled.slice(0, MAX_TOGGLED),
        ].join(','),
    ),
  ),
  siblings: passing(
    field<Unfolding>(
      { all: false, toggled: [] },
      (value) => {
        const parts = value.split(',')
        const all = parts[0] === 'all'
        const toggled = all ? parts.slice(1) : parts
        return toggled.every((id) => /^[0-9a-f]{16}$/.test(id)) ? { all, toggled } : undefined
      },
      (value) => [...(value.all ? ['all'] : []), ...value.toggled.slice(0, MAX_TOGGLED)].join(','),
    ),
  ),
  filter: passing(text),
  only: choice<Only>('', 'crit', 'err'),
  tab: choice<TraceTab>('', 'flame', 'stats', 'events', 'services'),
  focus: field<string>('', (value) => (/^[0-9a-f]{16}$/.test(value) ? value : undefined), String),
  /** Where the find text is sought: in names, or in all that is stored of a span. */
  findin: passing(choice<'' | 'all'>('', 'all')),
  clock: choice<'' | 'aligned'>('', 'aligned'),
  colour: field<ColourBy>(
    '',
    (value) =>
      COLOURS.includes(value) || isColourKey(colourKey(value as ColourBy)) ? (value as ColourBy) : undefined,
    String,
  ),
  /** Spans shorter than so many percent of the trace are no rows. */
  min: field<number>(0, (value) => (/^\d{1,2}(\.\d{1,3})?$/.test(value) ? Number(value) : undefined), String),
}

export type TraceState = StateOf<typeof TRACE_FIELDS>

export interface ReadState<S> {
  state: S
  /** One entry for each value that was ignored, as it stands in the address. */
  ignored: string[]
}

/** The state that a query string holds; `search` with or without the question mark. */
export function readState<F extends AnyFields>(fields: F, search: string): ReadState<StateOf<F>> {
  const params = new URLSearchParams(search)
  const ignored: string[] = []
  const state = {} as StateOf<F>
  for (const [key, one] of Object.entries(fields)) {
    const raw = params.get(key)
    const value = raw === null || raw === '' ? one.initial : one.parse(raw)
    if (value === undefined) ignored.push(`${key}=${raw}`)
    state[key as keyof F] = value === undefined ? one.initial : value
  }
  return { state, ignored }
}

/** The query string with some fields changed: `''` or `?…`. Keys of other pages and versions stay. */
export function writeState<F extends AnyFields>(
  fields: F,
  search: string,
  patch: Partial<StateOf<F>>,
): string {
  const params = new URLSearchParams(search)
  for (const [key, value] of Object.entries(patch)) {
    const one = fields[key]
    if (one === undefined) continue
    const formatted = value === undefined ? '' : one.format(value)
    if (formatted === '' || formatted === one.format(one.initial)) params.delete(key)
    else params.set(key, formatted)
  }
  for (const [key, one] of Object.entries(fields))
    if (!(key in patch) && one.of?.some((other) => other in patch)) params.delete(key)
  // Blanks as %20 and bare commas, colons and slashes: the address is meant to be read.
  const written = params
    .toString()
    .replaceAll('+', '%20')
    .replaceAll('%2C', ',')
    .replaceAll('%3A', ':')
    .replaceAll('%2F', '/')
  return written === '' ? '' : `?${written}`
}
