/** Attributes by key; each value can be copied, and be searched for. */
import { Link } from 'wouter'
import type { KeyValue } from '../api/otlp'
import { searchPath, searchStore } from '../app/session'
import { useStore } from '../app/store'
import { isScalar, sortedAttributes, valueText, webAddress } from '../model/otlp'
import { withTerm } from '../model/query'
import { CopyButton } from './CopyButton'
import { Icon } from './icons'

export function Attributes({
  attributes,
  most = Infinity,
}: {
  attributes: readonly KeyValue[]
  most?: number
}) {
  const search = useStore(searchStore)
  return (
    <dl className="attributes">
      {sortedAttributes(attributes)
        .slice(0, most)
        .map(({ key, value }, index) => {
          const text = valueText(value)
          const address = webAddress(text)
          return (
            <div key={`${key} ${index}`}>
              <dt>{key}</dt>
              <dd>
                {address === null ? (
                  <span className="value">{text === '' ? <span className="muted">empty</span> : text}</span>
                ) : (
                  <a className="value" href={address} rel="noreferrer" target="_blank">
                    {text}
                  </a>
                )}
                <span className="value-actions">
                  <CopyButton compact text={text} name={`Copy the value of ${key}`} />
                  {isScalar(value) && text !== '' ? (
                    <Link
                      className="icon-button icon-button-small"
                      href={searchPath({ ...search, q: withTerm(search.q, key, text) })}
                      aria-label={`Search for this value of ${key}`}
                      title="Search for this value"
                    >
                      <Icon name="plus" size={14} />
                    </Link>
                  ) : null}
                </span>
              </dd>
            </div>
          )
        })}
    </dl>
  )
}
