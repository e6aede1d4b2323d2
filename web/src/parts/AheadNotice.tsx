/** Says that traces start after now, and leads to those that do not: one clock that is ahead leaves all others a single column of the heatmap. */
import { Link } from 'wouter'
import { zoneStore } from '../app/preferences'
import { searchPath } from '../app/session'
import { useStore } from '../app/store'
import type { SearchState } from '../app/url'
import { formatTime } from '../model/format'
import { aheadOf, type Heat } from '../model/heat'
import { Icon } from './icons'

export function AheadNotice({ heat, state }: { heat: Heat; state: SearchState }) {
  const zone = useStore(zoneStore)
  const ahead = state.to === 'now' ? aheadOf(heat) : null
  if (ahead === null) return null
  return (
    <section className="notice notice-warning" aria-label="Traces after now">
      <Icon name="warning" />
      <p>
        <strong>Some traces start after now</strong>, the last after {formatTime(String(ahead), zone)}: a
        sender’s clock is ahead.{' '}
        <Link href={searchPath({ ...state, to: 'now-1s', sel: null })}>Leave them out</Link>
      </p>
    </section>
  )
}
