/** Attributes by key, pinned ones first; each value can be copied, pinned and be searched for. */
import { Link } from 'wouter'
import type { KeyValue } from '../api/otlp'
import { pinsStore, togglePin } from '../app/preferences'
import { searchPath, searchStore } from '../app/session'
import { useStore } from '../app/store'
import { isScalar, sortedAttributes, valueText } from '../model/otlp'
import { withTerm } from '../model/query'
import { CopyButton } from './CopyButton'
import { Icon } from './icons'
import { Breakable, Value } from './Value'

/** Longer values are no use in a query. */
const LONGEST_TERM = 1000

export function Attributes({
  attributes,
  most = Infinity,
}: {
  attributes: readonly KeyValue[]
  most?: number
}) {
  const search = useStore(searchStore)
  const pins = useStore(pinsStore)
  const sorted = sortedAttributes(attributes)
  const pinned = sorted.filter(({ key }) => pins.includes(key))
  const others = sorted.filter(({ key }) => !pins.includes(key))
  return (
    <dl className="attributes">
      {[...pinned, ...others].slice(0, Math.max(most, pinned.length)).map(({ key, value }, index) => {
        const text = valueText(value)
        const isPinned = pins.includes(key)
        return (
          <div key={`${key} ${index}`}>
            <dt title={key}>
              <Breakable text={key} />
            </dt>
            <dd>
              <Value text={text} />
              <span className="value-actions">
                <CopyButton compact text={text} name={`Copy the value of ${key}`} />
                {isScalar(value) && text !== '' && text.length <= LONGEST_TERM ? (
                  <Link
                    className="icon-button icon-button-small"
                    href={searchPath({ ...search, q: withTerm(search.q, key, text) })}
                    aria-label={`Search for this value of ${key}`}
                    title="Add to the query on Search"
                  >
                    <Icon name="plus" size={14} />
                  </Link>
                ) : null}
                <button
                  type="button"
                  className="icon-button icon-button-small"
                  aria-pressed={isPinned}
                  aria-label={`Pin ${key}`}
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
