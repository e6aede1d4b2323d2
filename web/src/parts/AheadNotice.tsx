/** Says that traces start after now and where they are, and leads to the others alone, or to them. */
import { Link } from 'wouter'
import type { Ahead } from '../app/matches'
import { zoneStore } from '../app/preferences'
import { searchPath } from '../app/session'
import { useStore } from '../app/store'
import type { SearchState } from '../app/url'
import { plural } from '../model/format'
import { shortTime } from '../model/moments'
import { Icon } from './icons'

export function AheadNotice({ ahead, state }: { ahead: Ahead; state: SearchState }) {
  const zone = useStore(zoneStore)
  const { from, count, last, isLeftOut } = ahead
  const start =
    count === null ? 'Some traces start' : `${plural(count, 'trace')} ${count === 1 ? 'starts' : 'start'}`
  return (
    <section className="notice notice-warning" aria-label="Traces after now">
      <Icon name="warning" />
      <p>
        <strong>{start} after now</strong>, the last after {shortTime(String(last), zone)}: a sender’s clock
        is ahead.{' '}
        {isLeftOut ? (
          <>
            The heatmap is of the others.{' '}
            <Link href={searchPath({ ...state, from, sel: null })}>Show those after now</Link> ·{' '}
            <Link href={searchPath({ ...state, to: 'now-1s', sel: null })}>Leave them out</Link>
          </>
        ) : null}
      </p>
    </section>
  )
}
