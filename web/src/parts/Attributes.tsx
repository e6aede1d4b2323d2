/** Attributes by key, pinned ones first; each value can be copied, searched for, excluded, shown as a column, and pinned. */
import { Link } from 'wouter'
import type { KeyValue } from '../api/otlp'
import { pinsStore, togglePin } from '../app/preferences'
import { refusedStore, searchPath, searchStore, usableSearch } from '../app/session'
import { useStore } from '../app/store'
import { isColourKey, MOST_COLUMNS, TRACE_FIELDS, type SearchState } from '../app/url'
import { useUrlState } from '../app/useUrlState'
import { visibleName } from '../model/format'
import { isScalar, sortedAttributes, valueText } from '../model/otlp'
import { attributeKey, eventKey, withTerm } from '../model/query'
import { CopyButton } from './CopyButton'
import { Icon, type IconName } from './icons'
import { Breakable } from './Names'
import { Value } from './Value'

/** Longer values are no use in a query. */
const LONGEST_TERM = 1000
const LONGEST_COLUMN = 200

interface Props {
  attributes: readonly KeyValue[]
  most?: number
  /** Whose they are, the span's or its resource's by default: Search knows those, and those of events. */
  of?: 'span' | 'event' | 'link' | 'scope'
}

export function Attributes({ attributes, most = Infinity, of = 'span' }: Props) {
  const search = usableSearch(useStore(searchStore), useStore(refusedStore))
  const trace = useUrlState(TRACE_FIELDS)
  const pins = useStore(pinsStore)
  const sorted = sortedAttributes(attributes)
  const pinned = sorted.filter(({ key }) => pins.includes(key))
  const others = sorted.filter(({ key }) => !pins.includes(key))
  return (
    <dl className="attributes">
      {[...pinned, ...others].slice(0, Math.max(most, pinned.length)).map(({ key, value }, index) => {
        const text = valueText(value)
        const name = visibleName(key, 'empty key')
        const isPinned = pins.includes(key)
        const written = of === 'span' ? attributeKey(key) : of === 'event' ? eventKey(key) : null
        const isTerm = written !== null && isScalar(value) && text !== '' && text.length <= LONGEST_TERM
        return (
          <div key={`${key} ${index}`}>
            <dt title={key}>
              <Breakable text={name} />
            </dt>
            <dd>
              <Value text={text} />
              <span className="value-actions">
                <CopyButton compact text={text} name={`Copy the value of ${name}`} />
                {isTerm ? (
                  <>
                    <SearchLink
                      icon="plus"
                      to={{ ...search, q: withTerm(search.q, written, text) }}
                      label={`Search for this value of ${name}`}
                      title="Search for it: adds the condition to the query on Search"
                    />
                    <SearchLink
                      icon="minus"
                      to={{ ...search, q: withTerm(search.q, written, text, '!=') }}
                      label={`Exclude this value of ${name}`}
                      title="Exclude it: the query on Search then wants another value, or none"
                    />
                  </>
                ) : null}
                {of !== 'span' || key === '' || key.length > LONGEST_COLUMN ? null : (
                  <SearchLink
                    icon="column"
                    to={{ ...search, cols: [...new Set([...search.cols, key])].slice(-MOST_COLUMNS) }}
                    label={`Show ${name} as a column of Search`}
                    title="Show as a column of Search"
                  />
                )}
                {of !== 'span' || !isColourKey(key) ? null : (
                  <button
                    type="button"
                    className="icon-button icon-button-small"
                    aria-pressed={trace.state.colour === `attr:${key}`}
                    aria-label={`Colour the rows by ${name}`}
                    title="Colour the rows of the trace by its values"
                    onClick={() =>
                      trace.change({ colour: trace.state.colour === `attr:${key}` ? '' : `attr:${key}` })
                    }
                  >
                    <Icon name="colour" size={14} />
                  </button>
                )}
                <button
                  type="button"
                  className="icon-button icon-button-small"
                  aria-pressed={isPinned}
                  aria-label={`Pin ${name}`}
                  title={isPinned ? 'No longer first' : 'Show first in every span'}
                  onClick={() => togglePin(key)}
                >
                  <Icon name="pin" size={14} />
                </button>
              </span>
              {isPinned ? (
                <span className="pinned">
                  <Icon name="pin" size={12} />
                  <span className="unseen">pinned</span>
                </span>
              ) : null}
            </dd>
          </div>
        )
      })}
    </dl>
  )
}

interface SearchLinkProps {
  icon: IconName
  to: SearchState
  label: string
  title: string
}

/** Opens Search with what is in view there now, and something more. */
function SearchLink({ icon, to, label, title }: SearchLinkProps) {
  return (
    <Link className="icon-button icon-button-small" href={searchPath(to)} aria-label={label} title={title}>
      <Icon name={icon} size={14} />
    </Link>
  )
}
