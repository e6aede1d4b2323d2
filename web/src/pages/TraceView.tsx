/** The trace page with its data: state from the address, keys, and the parts side by side. */
import { useEffect, useMemo, useRef, useState } from 'react'
import type { Skeleton } from '../api/types'
import { announce } from '../app/announce'
import { ErrorBoundary } from '../app/ErrorBoundary'
import { Part, type LoadedPart } from '../app/Part'
import { useShortcuts, type Shortcuts } from '../app/shortcuts'
import {
  colourKey,
  TRACE_FIELDS,
  type TimeWindow,
  type TraceState,
  type TraceTab,
  type Unfolding,
} from '../app/url'
import { useUrlState } from '../app/useUrlState'
import { around, clampWindow, panned, zoomed } from '../canvas/scale'
import { clockShiftText, firstSpan, handledFailures, originsIn, UsualValues } from '../model/explanation'
import { serviceColours } from '../model/colours'
import { keptByBoth, keptFailed, keptLong, keptSpans } from '../model/filters'
import { formatAge, formatCount } from '../model/format'
import { foldedHeads, Groups, isWithin, unfoldedFor, withGroup } from '../model/groups'
import { Roles } from '../model/roles'
import { closedNodes, isCollapsed, opened, rowOf, toggled, visibleRows } from '../model/rows'
import { rowSentence } from '../model/sentence'
import { sectionsOf, threadOf } from '../model/thread'
import { tintsOf } from '../model/tints'
import { TraceModel } from '../model/trace'
import { HeldHeight, type Room } from '../parts/HeldHeight'
import { BelowNotice, HiddenNotice } from '../parts/HiddenNotice'
import { IgnoredNotice } from '../parts/IgnoredNotice'
import { SpanPane } from '../parts/SpanPane'
import { TintLegend } from '../parts/TintLegend'
import type { TabProps } from '../parts/tabs/types'
import { TraceHeader } from '../parts/TraceHeader'
import { TraceToolbar } from '../parts/TraceToolbar'
import { VerdictPanels, type ExplanationState } from '../parts/VerdictPanels'
import { WaterfallView, type WaterfallHandle } from '../parts/WaterfallView'
import { useFind } from './useFind'
import { useValues } from './useValues'

const URL_REST_MS = 200

/** What the trace can be shown as beside the waterfall; each part is loaded when it is first shown. */
const TABS: Record<Exclude<TraceTab, ''>, LoadedPart<TabProps>> = {
  flame: { name: 'flame', load: async () => (await import('../parts/tabs/FlameTab')).default },
  stats: { name: 'stats', load: async () => (await import('../parts/tabs/StatisticsTab')).default },
  events: { name: 'events', load: async () => (await import('../parts/tabs/EventsTab')).default },
  services: { name: 'services', load: async () => (await import('../parts/tabs/ServicesTab')).default },
}

/** Whether arrows and Enter belong to the control that has the focus, and not to the rows. */
function isForControl({ target }: KeyboardEvent): boolean {
  return (
    target instanceof Element &&
    target.closest('button, a, [role=tab], [role=separator], summary, pre') !== null
  )
}

interface Props {
  traceId: string
  skeleton: Skeleton
  /** The spans that are there by now; the rows follow when the reader asks. */
  newest: Skeleton
  young: boolean
  explanation: ExplanationState
  onShowNewest: () => void
}

export function TraceView({ traceId, skeleton, newest, young, explanation, onShowNewest }: Props) {
  const { state, ignored, change } = useUrlState(TRACE_FIELDS)
  const { collapse, filter, only, siblings, tab, clock, colour, min } = state
  const model = useMemo(() => new TraceModel(skeleton, clock === 'aligned'), [skeleton, clock])
  const colours = useMemo(() => serviceColours(model), [model])
  const values = useValues(traceId, newest.etag, colourKey(colour))
  const tints = useMemo(
    () => tintsOf(model, colours, colour, values.data ?? null),
    [model, colours, colour, values.data],
  )
  const handle = useRef<WaterfallHandle>(null)
  const [window, setWindow] = useTimeWindow(state.t, model.length, (t) => change({ t }))
  // On narrower screens the details lie over the rows, so they wait to be asked for, and one panel stands below the other.
  const [isWide] = useState(() => matchMedia('(min-width: 1200px)').matches)
  const [detailsOpen, setDetailsOpen] = useState(isWide)
  const [eventTimes, setEventTimes] = useState<readonly number[]>([])

  const closed = useMemo(() => closedNodes(model, collapse), [model, collapse])
  const groups = useMemo(() => new Groups(model), [model])
  const explained = explanation.value
  const first = useFirstSpan(explanation, model)
  const wanted = state.span === '' ? -1 : model.nodeOf(state.span)
  const selected = state.span === '' ? model.nodeOf(first) : wanted
  const folded = useMemo(() => {
    const byAddress = foldedHeads(model, groups, siblings)
    // What an address points at is never folded away.
    const unfolding = unfoldedFor(model, groups, byAddress, siblings, selected)
    return unfolding === siblings ? byAddress : foldedHeads(model, groups, unfolding)
  }, [model, groups, siblings, selected])
  const sections = useMemo(() => sectionsOf(model, explained), [model, explained])
  const roles = useMemo(() => new Roles(model, explained), [model, explained])
  const focused = state.focus === '' ? -1 : model.nodeOf(state.focus)
  const long = useMemo(() => (min === 0 ? null : keptLong(model, groups, min / 100)), [model, groups, min])
  const asked = useMemo(() => {
    if (only === 'err') return keptFailed(model)
    if (only !== 'crit' || sections.length === 0) return null
    return keptSpans(
      model,
      groups,
      sections.map(({ node }) => model.spanId(node)),
    )
  }, [model, only, groups, sections])
  const kept = useMemo(() => keptByBoth(asked, long), [asked, long])
  const rows = useMemo(
    () => visibleRows(model, closed, kept, groups, folded, focused),
    [model, closed, kept, groups, folded, focused],
  )
  const thread = useMemo(
    () => threadOf(model, sections, rows, (node) => groups.head[node]!),
    [model, sections, rows, groups],
  )
  const finding = useFind(traceId, model, filter, state.findin === 'all')
  const found = finding.nodes

  const usual = useMemo(() => new UsualValues(explained), [explained])
  const handled = useMemo(
    () => new Set(explained === null ? [] : handledFailures(explained).map((failure) => failure.span_id)),
    [explained],
  )
  // What the panels will say is not known yet: their room is what the rows foretell, and it stays.
  const [room, setRoom] = useState<Room>(() =>
    explanation.value !== null || !explanation.isLoading
      ? 'none'
      : model.origins.length > 0
        ? 'panels'
        : 'line',
  )
  const hasPanels = explained !== null || explanation.isLoading || explanation.error !== null
  const span = selected >= 0 && !model.isPlaceholder(selected) ? selected : -1
  const isOpen = detailsOpen && span >= 0
  const age = formatAge(String(BigInt(skeleton.t0) + BigInt(Math.round(model.earliest + model.length))))
  const unknown = state.span !== '' && wanted < 0 ? [`span=${state.span}`] : []

  // The keys of the rows work at once; a control that already has the focus keeps it.
  useEffect(() => {
    if (document.activeElement === null || document.activeElement === document.body)
      handle.current?.focus(true)
  }, [])

  useEffect(() => {
    if (tab === '' && selected >= 0) handle.current?.reveal(selected)
  }, [selected, tab])

  /** Selects a node, opening the way to it where it is hidden. */
  const select = (node: number, { open = true, speak = false } = {}) => {
    if (node < 0) return
    const patch: Partial<TraceState> = { span: model.spanId(node) }
    const unfolding = unfoldedFor(model, groups, folded, siblings, node)
    if (unfolding !== siblings) patch.siblings = unfolding
    const way = opened(model, collapse, [node])
    if (way !== collapse) patch.collapse = way
    if (asked !== null && asked[node] === 0) patch.only = ''
    if (long !== null && long[node] === 0) patch.min = 0
    if (focused >= 0 && (node < focused || node >= focused + model.subtreeSize[focused]!)) patch.focus = ''
    change(patch)
    if (open) setDetailsOpen(true)
    // The selection may stay the same and yet be out of sight.
    handle.current?.reveal(node)
    if (speak) announce(rowSentence(model, node, 0, roles.of(node)))
  }
  const toggleGroup = (head: number) => {
    const fold = folded[head] !== 1
    const patch: { siblings: Unfolding; span?: string } = {
      siblings: withGroup(model, siblings, head, fold),
    }
    if (fold && isWithin(model, groups, head, selected)) patch.span = model.spanId(head)
    change(patch)
  }
  const toggleAllGroups = () => change({ siblings: { all: !siblings.all, toggled: [] } })
  /** An open group is closed at its first member, by the mark of the row where that has no children of its own. */
  const toggle = (node: number) =>
    folded[node] === 1 || (groups.head[node] === node && model.childCount[node] === 0)
      ? toggleGroup(node)
      : change({ collapse: toggled(model, collapse, [node]) })
  const showBelow = (node: number) => {
    const failed: number[] = []
    for (let below = node + 1; below < node + model.subtreeSize[node]!; below++) {
      if (model.isFailed(below)) failed.push(below)
    }
    change({ collapse: opened(model, collapse, failed) })
  }
  const expandTo = (level: number | null) => change({ collapse: { level, toggled: [] } })
  const selectRow = (row: number) => {
    const next = rows[Math.min(rows.length - 1, Math.max(0, row))]
    if (next !== undefined) select(next, { open: false })
  }
  /** The row that stands for a node now. */
  const rowFor = (node: number) => {
    const head = groups.head[node]!
    return head >= 0 && folded[head] === 1 ? head : node
  }
  /** Selects the first of some spans, or the one after the selected one. */
  const selectSpans = (spanIds: readonly string[]) => {
    const nodes = [
      ...new Set(
        spanIds
          .map((id) => model.nodeOf(id))
          .filter((node) => node >= 0)
          .map(rowFor),
      ),
    ]
    const next = nodes[(nodes.indexOf(selected) + 1) % nodes.length]
    if (next !== undefined) return select(next, { speak: true })
    if (spanIds[0] === undefined) return
    // It arrived after the rows were drawn.
    onShowNewest()
    change({ span: spanIds[0] })
    setDetailsOpen(true)
  }
  const origins = useMemo(() => originsIn(explained, model), [explained, model])
  const originAt = origins.findIndex(({ spanId }) => model.nodeOf(spanId) === selected)
  const stepOrigin = (by: 1 | -1) => {
    const to = (originAt < 0 ? (by > 0 ? 0 : -1) : originAt + by) + origins.length
    const next = origins[to % origins.length]
    if (next !== undefined) selectSpans([next.spanId])
  }
  const critical = useMemo(() => explained?.critical_path.map((part) => part.span_id) ?? [], [explained])
  const criticalCount = useMemo(
    () => (sections.length === 0 ? null : new Set(sections.map(({ node }) => node)).size),
    [sections],
  )
  const criticalAt = useRef(-1)
  /** One row further along the critical path, which may pass a row several times. */
  const stepCritical = (by: 1 | -1) => {
    const path = critical
      .map((id) => model.nodeOf(id))
      .filter((node) => node >= 0)
      .map(rowFor)
    if (path.length === 0) return
    let at = path[criticalAt.current] === selected ? criticalAt.current : path.indexOf(selected)
    if (at < 0 && by < 0) at = 0
    const from = at
    do at = (at + by + path.length) % path.length
    while (path[at] === selected && at !== from)
    criticalAt.current = at
    select(path[at]!, { speak: true })
  }
  const step = (by: number) => {
    const row = rowOf(rows, selected)
    selectRow(row < 0 ? (by > 0 ? 0 : rows.length - 1) : row + by)
  }
  const page = () => handle.current?.pageRows() ?? 1
  const jump = (nodes: Int32Array, by: 1 | -1) => {
    if (nodes.length === 0) return
    const next = by > 0 ? nodes.find((node) => node > selected) : nodes.findLast((node) => node < selected)
    select(next ?? (by > 0 ? nodes[0]! : nodes.at(-1)!), { speak: true })
  }
  const closeUp = () => {
    if (selected < 0) return
    const head = groups.head[selected]!
    if (folded[selected] !== 1 && model.childCount[selected]! > 0 && !isCollapsed(model, selected, closed)) {
      toggle(selected)
    } else if (head >= 0 && folded[head] !== 1) {
      toggleGroup(head)
    } else if (model.parent[selected]! >= 0) select(model.parent[selected]!, { open: false })
  }
  const openUp = () => {
    if (selected < 0) return
    if (folded[selected] === 1) toggleGroup(selected)
    else if (model.childCount[selected] === 0) return
    else if (isCollapsed(model, selected, closed)) toggle(selected)
    else select(rows[rowOf(rows, selected) + 1] ?? -1, { open: false })
  }
  const paneHead = span < 0 ? -1 : groups.head[span]!
  const paneGroup =
    paneHead < 0
      ? null
      : {
          summary: groups.summaryOf(paneHead),
          isFolded: folded[paneHead] === 1,
          onToggle: () => toggleGroup(paneHead),
        }
  const shown = window ?? { from: 0, to: model.length }
  const zoom = (factor: number) => {
    const middle = (shown.from + shown.to) / 2
    const at = span >= 0 ? model.start[span]! + model.duration[span]! / 2 : middle
    setWindow(zoomed(shown, factor, at >= shown.from && at <= shown.to ? at : middle, model.length))
  }
  /** Only the selected span and those below it, or all again. */
  const focusBelow = () => {
    if (focused >= 0) change({ focus: '' })
    else if (selected >= 0) change({ focus: model.spanId(selected) })
  }
  const zoomToSpan = () => {
    if (span >= 0) setWindow(around(model.start[span]!, model.duration[span]!, model.length))
  }
  const pan = (by: number) => setWindow(panned(shown, by, model.length))
  const escape = () => {
    if (isOpen) {
      setDetailsOpen(false)
      handle.current?.focus()
    } else if (filter !== '') change({ filter: '' })
    else return false
    return true
  }

  const shortcuts: Shortcuts = {
    ArrowDown: (event) => (isForControl(event) ? false : step(1)),
    ArrowUp: (event) => (isForControl(event) ? false : step(-1)),
    Home: (event) => (isForControl(event) ? false : selectRow(0)),
    End: (event) => (isForControl(event) ? false : selectRow(rows.length - 1)),
    PageDown: (event) => (isForControl(event) ? false : step(page())),
    PageUp: (event) => (isForControl(event) ? false : step(-page())),
    j: () => step(1),
    k: () => step(-1),
    ArrowLeft: (event) => (isForControl(event) ? false : closeUp()),
    ArrowRight: (event) => (isForControl(event) ? false : openUp()),
    Enter: (event) => (isForControl(event) ? false : select(selected)),
    Escape: escape,
    e: () => stepOrigin(1),
    E: () => stepOrigin(-1),
    c: () => stepCritical(1),
    C: () => stepCritical(-1),
    f: () => document.getElementById('find')?.focus(),
    n: () => jump(found, 1),
    N: () => jump(found, -1),
    '+': () => zoom(0.5),
    '=': () => zoom(0.5),
    '-': () => zoom(2),
    '0': () => setWindow(null),
    a: () => pan(-0.25),
    d: () => pan(0.25),
    z: zoomToSpan,
    Z: () => focusBelow(),
    '*': () => expandTo(null),
    g: () => {
      const head = selected < 0 ? -1 : groups.head[selected]!
      if (head >= 0) {
        toggleGroup(head)
      } else if (groups.size > 0) toggleAllGroups()
      else return false
      return true
    },
  }
  for (let level = 1; level <= 9; level++) shortcuts[String(level)] = () => expandTo(level)
  useShortcuts(shortcuts)

  return (
    <div className="trace-page">
      <IgnoredNotice ignored={[...ignored, ...unknown]} />
      <TraceHeader
        traceId={traceId}
        model={model}
        newest={newest}
        young={young}
        explanation={explanation}
        colours={colours}
      />
      <HeldHeight isHeld={newest !== skeleton} room={room}>
        <VerdictPanels
          explanation={explanation}
          model={model}
          colours={colours}
          origins={origins}
          at={Math.max(0, originAt)}
          onOrigin={stepOrigin}
          onCritical={stepCritical}
          onSpans={selectSpans}
          isInLine={room === 'line'}
          isSecondInLine={room === 'panels' && !isWide}
          onOpen={() => setRoom('none')}
        />
      </HeldHeight>
      <TraceToolbar
        model={model}
        only={only}
        onOnly={(value) => change({ only: value })}
        criticalCount={criticalCount}
        tab={tab}
        onTab={(value) => change({ tab: value })}
        clock={model.isSkewed ? clock : null}
        onClock={() => change({ clock: clock === '' ? 'aligned' : '' })}
        origins={hasPanels ? null : { at: originAt, count: origins.length }}
        onOrigin={stepOrigin}
        onZoom={zoom}
        onFit={() => setWindow(null)}
        isZoomed={window !== null}
        onPan={pan}
        onZoomToSpan={span >= 0 ? zoomToSpan : null}
        onFocusBelow={selected >= 0 || focused >= 0 ? focusBelow : null}
        isBelow={focused >= 0}
        level={collapse.toggled.length > 0 ? 0 : (collapse.level ?? Infinity)}
        onLevel={expandTo}
        onExpand={() => expandTo(null)}
        onCollapse={() => expandTo(1)}
        groups={groups.size === 0 ? null : !siblings.all}
        onGroups={toggleAllGroups}
        min={min}
        onMin={(value) => change({ min: value })}
        colour={colour}
        onColour={(value) => change({ colour: value })}
      />
      {tab === '' && colour !== '' ? (
        <TintLegend
          colour={colour}
          legend={tints.legend}
          isLoading={values.isLoading}
          error={values.error}
          onColour={(value) => change({ colour: value })}
        />
      ) : null}
      {tab === '' && focused >= 0 ? <BelowNotice model={model} node={focused} onShow={focusBelow} /> : null}
      {tab === '' && long !== null ? (
        <HiddenNotice model={model} kept={long} percent={min} onShow={() => change({ min: 0 })} />
      ) : null}
      <div className="trace-body">
        {tab === '' && rows.length === 0 ? (
          <p className="no-rows">
            {only === 'err' ? 'No span of this trace failed.' : 'No span is left by what is hidden.'}{' '}
            <button
              type="button"
              className="link-button"
              onClick={() => change({ only: '', min: 0, focus: '' })}
            >
              Show all {formatCount(skeleton.total)}
            </button>
          </p>
        ) : null}
        {tab === '' ? (
          <ErrorBoundary name="The waterfall" resetKey={traceId}>
            <WaterfallView
              handle={handle}
              scene={{
                model,
                rows,
                closed,
                groups,
                folded,
                tints: tints.of,
                colourWords: tints.colourWords,
                selected,
                window: shown,
                matches: finding.marks,
                roles,
                thread,
                events: isOpen ? eventTimes : [],
                missingReason: young ? `${age} old, may still arrive` : `${age} old, lost or unsampled`,
              }}
              find={{
                text: filter,
                count: found.length,
                at: found.indexOf(selected),
                inAll: state.findin === 'all',
                isLoading: finding.isLoading,
                incomplete: finding.incomplete,
                onInAll: (inAll) => change({ findin: inAll ? 'all' : '' }),
                onText: (text) => change({ filter: text }),
                onStep: (by) => jump(found, by),
              }}
              onSelect={select}
              onToggle={toggle}
              onToggleGroup={toggleGroup}
              onShowBelow={showBelow}
              onWindow={setWindow}
            />
          </ErrorBoundary>
        ) : (
          <ErrorBoundary name="This tab" resetKey={tab}>
            <Part
              key={tab}
              part={TABS[tab]}
              props={{ traceId, model, colours, usual, selected, onSelect: select }}
              meanwhile={<p className="tab-body muted">Loading…</p>}
            />
          </ErrorBoundary>
        )}
        {isOpen ? (
          <ErrorBoundary name="The details" resetKey={state.span}>
            <SpanPane
              key={span}
              traceId={traceId}
              model={model}
              node={span}
              colours={colours}
              usual={usual}
              isHandled={handled.has(model.spanId(span))}
              group={paneGroup}
              shift={clockShiftText(explained)}
              onClose={escape}
              onEvents={setEventTimes}
            />
          </ErrorBoundary>
        ) : null}
      </div>
    </div>
  )
}

/**
 * The span that is selected until the reader selects one: it is chosen once, when the explanation is there or will not
 * come, so that a growing trace does not move the selection. Empty for none.
 */
function useFirstSpan({ value, isLoading }: ExplanationState, model: TraceModel): string {
  const [first, setFirst] = useState<string | null>(null)
  if (first !== null) return first
  if (isLoading && value === null) return ''
  const origin = model.origins[0]
  const chosen =
    value === null ? (origin === undefined ? '' : model.spanId(origin)) : (firstSpan(value) ?? '')
  setFirst(chosen)
  return chosen
}

/** The shown part of time: moves at once, and is written to the address when it rests. */
function useTimeWindow(
  fromUrl: TimeWindow | null,
  length: number,
  write: (window: TimeWindow | null) => void,
): [TimeWindow | null, (window: TimeWindow | null) => void] {
  const key = TRACE_FIELDS.t.format(fromUrl)
  const [urlKey, setUrlKey] = useState(key)
  const [window, setWindow] = useState(() => fromUrl && clampWindow(fromUrl, length))
  if (key !== urlKey) {
    setUrlKey(key)
    setWindow(fromUrl && clampWindow(fromUrl, length))
  }
  const writer = useRef(write)
  useEffect(() => {
    writer.current = write
  })
  const windowKey = TRACE_FIELDS.t.format(window)
  useEffect(() => {
    if (windowKey === key) return
    const timer = setTimeout(() => writer.current(window), URL_REST_MS)
    return () => clearTimeout(timer)
  }, [window, windowKey, key])
  return [window, setWindow]
}
