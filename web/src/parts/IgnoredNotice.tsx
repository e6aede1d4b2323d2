/** Says which values of the address were not understood. */
import { Icon } from './icons'

export function IgnoredNotice({ ignored }: { ignored: readonly string[] }) {
  if (ignored.length === 0) return null
  return (
    <section className="notice notice-warning" aria-label="Ignored in the address">
      <Icon name="warning" />
      <p>
        Not understood in the address and ignored: <span className="mono">{ignored.join('  ')}</span>
      </p>
    </section>
  )
}
