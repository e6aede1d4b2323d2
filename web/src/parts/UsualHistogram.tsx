/** How long the operation usually takes, drawn small, with a mark where this trace stands. */
import type { CSSProperties } from 'react'
import type { Explanation } from '../api/types'
import { isSlow } from '../model/explanation'
import { formatDuration, plural } from '../model/format'
import { histogramOf } from '../model/histogram'

const BARS = 44
const BAR_PX = 5
const HEIGHT_PX = 26
/** Room above the bars for the head of the mark. */
const HEAD_PX = 6
/** Labels nearer than this part of the width would run into each other. */
const LABEL_ROOM = 0.48

/** Under its place on the axis, and yet never beyond its ends. */
function beside(at: number): CSSProperties {
  return { left: `${at * 100}%`, transform: `translateX(-${at * 100}%)` }
}

/** Its place is kept while the explanation is on its way, so that nothing moves when it comes. */
export function UsualHistogram({ explanation }: { explanation: Explanation | null }) {
  const usual = explanation?.root.percentiles_ns.map(Number) ?? []
  const duration = Number(explanation?.root.duration_ns ?? 0)
  const drawn = histogramOf(usual, duration, BARS)
  if (explanation === null || drawn === null) return <div className="histogram" />
  const { root } = explanation
  const p50 = usual[Math.floor(usual.length / 2)]!
  const p99 = usual.at(-1)!
  const width = BARS * BAR_PX
  const floor = HEAD_PX + HEIGHT_PX
  const at = drawn.at * width
  return (
    <div className="histogram">
      <svg
        role="img"
        aria-label={`${plural(root.count, 'usual trace')} of ${root.operation}: half took up to ${formatDuration(p50)}, 99 % up to ${formatDuration(p99)}, this one ${formatDuration(duration)}`}
        viewBox={`0 0 ${width} ${floor}`}
        width={width}
        height={floor}
      >
        {drawn.bars.map((height, bar) =>
          height === 0 ? null : (
            <rect
              // The bars have no other identity than their place.
              // oxlint-disable-next-line react/no-array-index-key
              key={bar}
              x={bar * BAR_PX}
              y={floor - Math.max(1, height * HEIGHT_PX)}
              width={BAR_PX - 1}
              height={Math.max(1, height * HEIGHT_PX)}
            />
          ),
        )}
        <path
          className={isSlow(explanation) ? 'mark-slow' : 'mark-usual'}
          d={`M${at - 4} 0h8l-4 6zM${at - 1} 0h2v${floor}h-2z`}
        />
      </svg>
      <p className="histogram-axis" aria-hidden="true">
        <span style={beside(drawn.p50)}>p50 {formatDuration(p50)}</span>
        {drawn.p99 - drawn.p50 < LABEL_ROOM ? null : (
          <span style={beside(drawn.p99)}>p99 {formatDuration(p99)}</span>
        )}
      </p>
    </div>
  )
}
