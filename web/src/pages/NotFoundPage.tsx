/** An address that no page has. */
import { Link, useLocation } from 'wouter'
import { useReady } from '../app/announce'

export function NotFoundPage() {
  const [path] = useLocation()
  useReady(true)
  return (
    <section className="blank">
      <h1>No such page</h1>
      <p>
        Nothing is shown at <code>{path}</code>. <Link href="/search">Go to Search</Link>
      </p>
    </section>
  )
}
