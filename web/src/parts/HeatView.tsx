/** The heatmap of all matches: a box is drawn with the mouse or with the keys, and named with what can be done with it. */
import { useEffect, useLayoutEffect, useRef, useState, type CSSProperties } from 'react'
import { announce } from '../app/announce'
import { themeStore, zoneStore } from '../app/preferences'
import { useStore } from '../app/store'
import { HeatCanvas, pixelsOf, plotOf, type HeatEvents } from '../canvas/heat'
import { formatCount, formatDuration, formatTime, plural, type Zone } from '../model/format'
import { boxOf, selectionOf, sumOf, type Box, type Heat, type Selection } from '../model/heat'
import type { PlacedPoints, VersionMark } from '../model/points'
import { FailedMark } from './icons'
import { IconButton } from './IconButton'

interface Props {
  heat: Heat
  /** Single traces, in place of the cells; null: the cells. */
  points: PlacedPoints | null
  marks: readonly VersionMark[]
  selection: Selection | null
  /** Of the selection, as the server counted; null while it has not. */
  selected: { matched: number; failed: number } | null
  /** What the heatmap shows, in a sentence. */
  summary: string
  onSelect: (selection: Selection | null) => void
  onZoom: () => void
  onPoint: (traceId: string) => void
}

const HELP =
  'Arrow keys move over the cells, with Shift they draw a box, Enter selects it, Escape clears it. “Show as table” has the same.'

export function HeatView({
  heat,
  points,
  marks,
  selection,
  selected,
  summary,
  onSelect,
  onZoom,
  onPoint,
}: Props) {
  const zone = useStore(zoneStore)
  const host = useRef<HTMLDivElement>(null)
  const canvas = useRef<HeatCanvas | null>(null)
  const [size, setSize] = useState({ width: 0, height: 0 })
  const box = selection && boxOf(heat, selection)
  const events: HeatEvents = {
    onBox: (drawn) => onSelect(drawn && selectionOf(heat, drawn)),
    onPoint,
    onCursor: (_, grown) => announce(boxInWords(heat, grown, zone)),
  }
  const newest = useRef({ scene: { heat, points, marks, box, zone }, events })

  useEffect(() => {
    const element = host.current
    if (element === null) return
    const shown = new HeatCanvas(newest.current.events)
    canvas.current = shown
    shown.mount(element)
    shown.update(newest.current.scene, newest.current.events)
    const observer = new ResizeObserver(() =>
      setSize({ width: element.clientWidth, height: element.clientHeight }),
    )
    observer.observe(element)
    const unsubscribe = themeStore.subscribe(() => shown.restyle())
    return () => {
      unsubscribe()
      observer.disconnect()
      shown.destroy()
      canvas.current = null
    }
  }, [])
  useLayoutEffect(() => {
    newest.current = { scene: { heat, points, marks, box, zone }, events }
    canvas.current?.update(newest.current.scene, events)
  })

  const counted = box && (selected ?? { matched: sumOf(heat, box).count, failed: sumOf(heat, box).failed })
  const words =
    counted === null ? '' : `${plural(counted.matched, 'trace')}${formatCount(counted.failed)} failed`
  const at = box && size.width > 0 ? pixelsOf(plotOf(size.width, size.height, marks), heat, box) : null
  return (
    <div className="heat">
      {/* The canvas takes keys as a whole: no role of a single control describes it. */}
      {/* oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex */}
      <div
        ref={host}
        className="heat-host"
        role="application"
        aria-roledescription="heatmap"
        aria-label={summary}
        aria-describedby="heat-help"
        // oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex
        tabIndex={0}
      />
      <p id="heat-help" className="unseen">
        {HELP}
      </p>
      {box === null || counted === null ? null : (
        <div
          className="heat-label"
          role="group"
          aria-label="Selection"
          style={at === null ? undefined : placeOf(at, size, LABEL_REST + LETTER * words.length)}
        >
          <strong>{plural(counted.matched, 'trace')}</strong>
          {counted.failed === 0 ? null : (
            <span className="failed">
              <FailedMark />
              {formatCount(counted.failed)} failed
            </span>
          )}
          {counted.matched === 0 ? null : (
            <button type="button" className="button button-small" onClick={onZoom}>
              Zoom in
            </button>
          )}
          <IconButton
            icon="close"
            label="Clear the selection"
            title="Clear the selection (Esc)"
            onClick={() => onSelect(null)}
          />
        </div>
      )}
    </div>
  )
}

const LABEL_HIGH = 36
/** What the label takes beside its words, and each of their letters. */
const LABEL_REST = 150
const LETTER = 7.5

/** Below the box where there is room, else above it, else over its top edge; within the chart, and ending with the box at its right. */
function placeOf(
  { left, top, width, height }: { left: number; top: number; width: number; height: number },
  size: { width: number; height: number },
  wide: number,
): CSSProperties {
  const below = top + height + 8
  const above = top - LABEL_HIGH - 8
  const room = below + LABEL_HIGH <= size.height ? below : above >= 0 ? above : top + 8
  if (left + 12 + wide <= size.width) return { left: left + 12, top: room }
  const end = left + width
  return end >= wide
    ? { right: Math.max(4, size.width - end), top: room }
    : { left: Math.max(4, size.width - wide), top: room }
}

/** `12:04:00.000 to 12:05:00.000, 100 ms to 1 s: 12 traces, 3 failed`. */
function boxInWords(heat: Heat, box: Box, zone: Zone): string {
  const { t0, t1, d0, d1 } = selectionOf(heat, box)
  const { count, failed } = sumOf(heat, box)
  const lengths = `${formatDuration(Number(d0))} to ${formatDuration(Number(d1))}`
  const traces = `${plural(count, 'trace')}${failed > 0 ? `, ${formatCount(failed)} failed` : ''}`
  return `${formatTime(t0, zone)} to ${formatTime(t1, zone)}, ${lengths}: ${traces}`
}
