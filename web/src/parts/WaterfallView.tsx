/** Mounts the waterfall and its overview, and puts the find box and the column heads above them. */
import { useEffect, useImperativeHandle, useRef, useState, type RefObject } from 'react'
import { themeStore } from '../app/preferences'
import type { TimeWindow } from '../app/url'
import { SELF_FROM_PX, type Geometry } from '../canvas/layout'
import { Overview } from '../canvas/overview'
import type { Scene } from '../canvas/painter'
import { Waterfall, type WaterfallEvents } from '../canvas/waterfall'
import { FindBox, type Find } from './FindBox'
import { namesStore } from '../app/preferences'
import { NamesHandle } from './NamesHandle'

export interface WaterfallHandle {
  reveal(node: number): void
  focus(isQuiet?: boolean): void
  pageRows(): number
}

interface Props {
  handle: RefObject<WaterfallHandle | null>
  scene: Scene
  find: Find
  onSelect: (node: number) => void
  onToggle: (node: number) => void
  onToggleGroup: (head: number) => void
  onShowBelow: (node: number) => void
  onWindow: (window: TimeWindow | null) => void
}

export function WaterfallView({ handle, scene, find, ...on }: Props) {
  const { onSelect, onToggle, onToggleGroup, onShowBelow, onWindow } = on
  const rowsHost = useRef<HTMLDivElement>(null)
  const overviewHost = useRef<HTMLDivElement>(null)
  const waterfall = useRef<Waterfall | null>(null)
  const overview = useRef<Overview | null>(null)
  const [geometry, setGeometry] = useState<Geometry | null>(null)
  const events: WaterfallEvents = {
    onSelect,
    onToggle,
    onToggleGroup,
    onShowBelow,
    onWindow,
    onGeometry: setGeometry,
  }
  const newest = useRef({ scene, events })

  useEffect(() => {
    const rows = new Waterfall(newest.current.events)
    const map = new Overview(newest.current.events.onWindow)
    waterfall.current = rows
    overview.current = map
    rows.setNamesWidth(namesStore.get())
    if (rowsHost.current) rows.mount(rowsHost.current)
    if (overviewHost.current) map.mount(overviewHost.current)
    rows.update(newest.current.scene, newest.current.events)
    const unsubscribe = themeStore.subscribe(() => {
      rows.restyle()
      map.restyle()
    })
    const unsubscribeNames = namesStore.subscribe(() => rows.setNamesWidth(namesStore.get()))
    return () => {
      unsubscribe()
      unsubscribeNames()
      rows.destroy()
      map.destroy()
    }
  }, [])

  useEffect(() => {
    newest.current = { scene, events }
    waterfall.current?.update(scene, events)
    if (geometry && !geometry.stacked) {
      overview.current?.update(
        {
          model: scene.model,
          tints: scene.tints,
          window: scene.window,
          left: geometry.chartLeft - geometry.namesWidth,
          width: geometry.chartWidth,
        },
        onWindow,
      )
    }
  })

  useImperativeHandle(
    handle,
    () => ({
      reveal: (node: number) => waterfall.current?.reveal(node),
      focus: (isQuiet) => waterfall.current?.focus(isQuiet),
      pageRows: () => waterfall.current?.pageRows() ?? 1,
    }),
    [],
  )

  const namesWidth = geometry && !geometry.stacked ? geometry.namesWidth : undefined
  return (
    <div className="trace-main">
      <div className="trace-head">
        <div className="trace-names" style={namesWidth === undefined ? undefined : { width: namesWidth }}>
          <FindBox {...find} />
          <div className="column-heads" aria-hidden="true">
            <span>Service and operation</span>
            <span>Duration</span>
            {namesWidth === undefined || namesWidth >= SELF_FROM_PX ? <span>Self</span> : null}
          </div>
        </div>
        <div className="overview" ref={overviewHost} />
      </div>
      <div className="trace-rows" ref={rowsHost} />
      {geometry && namesWidth !== undefined ? (
        <NamesHandle width={namesWidth} whole={geometry.width} />
      ) : null}
    </div>
  )
}
