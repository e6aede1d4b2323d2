/** The flame graph; the statistics say the same as a table. */
import { useEffect, useMemo, useRef } from 'react'
import { themeStore } from '../../app/preferences'
import { Flame } from '../../canvas/flame'
import { formatCount, formatDuration, plural } from '../../model/format'
import { mergedTree } from '../../model/merged'
import type { TabProps } from './types'

export default function FlameTab({ model, colours, selected, onSelect }: TabProps) {
  const host = useRef<HTMLDivElement>(null)
  const flame = useRef<Flame | null>(null)
  const tree = useMemo(() => mergedTree(model), [model])
  useEffect(() => {
    const graph = new Flame(() => {})
    flame.current = graph
    if (host.current) graph.mount(host.current)
    const unsubscribe = themeStore.subscribe(() => graph.restyle())
    return () => {
      unsubscribe()
      graph.destroy()
    }
  }, [])
  useEffect(() => {
    flame.current?.update({ model, tree, colours, selected }, onSelect)
  })
  const whole = tree.total.reduce((sum, one, at) => sum + (tree.parent[at] === -1 ? one : 0), 0)
  return (
    <section className="tab-body" aria-label="Flame graph">
      <p className="muted tab-note">
        {plural(model.skeleton.total, 'span')} in {formatCount(tree.count)}{' '}
        {tree.count === 1 ? 'box' : 'boxes'}, equal siblings together. Width is self time,{' '}
        {formatDuration(whole)} in all. The table in Statistics says the same.
      </p>
      <div className="flame-host" ref={host} />
    </section>
  )
}
