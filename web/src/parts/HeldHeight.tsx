/** Keeps the height of what it holds, so that nothing below moves while its content changes by itself. */
import { useLayoutEffect, useRef, useState, type ReactNode, type RefObject } from 'react'

/** The room for content that is not known yet: none, a line, or panels with several. */
export type Room = 'none' | 'line' | 'panels'

interface Props {
  /** Whether the height stays as it is now; the content scrolls where it becomes taller. */
  isHeld: boolean
  /** The room that is kept until the reader opens something in it. */
  room: Room
  children: ReactNode
}

export function HeldHeight({ isHeld, room, children }: Props) {
  const box = useRef<HTMLDivElement>(null)
  const [height, setHeight] = useState<number | null>(null)
  const [isFree, setFree] = useState(false)
  useLayoutEffect(() => {
    setHeight(isHeld && box.current ? box.current.offsetHeight : null)
  }, [isHeld])
  // What the reader opens in it may move the rest, and does not scroll in a small box.
  const free = () => {
    if (room === 'panels' && !isFree) setFree(true)
  }
  const isCut = useIsCut(box, room === 'panels' && !isFree)
  return (
    <div
      ref={box}
      className={room === 'none' ? undefined : `room room-${room}${isFree ? ' room-free' : ''}`}
      style={height === null ? undefined : { height, flex: 'none', overflow: 'auto' }}
      onClickCapture={free}
    >
      {children}
      {isCut ? (
        <p className="room-more">
          <button type="button" className="button button-small" onClick={() => setFree(true)}>
            Show all
          </button>
        </p>
      ) : null}
    </div>
  )
}

/** Whether what the box holds is higher than the box. */
function useIsCut(box: RefObject<HTMLDivElement | null>, mayBe: boolean): boolean {
  const [isCut, setCut] = useState(false)
  useLayoutEffect(() => {
    const outer = box.current
    const inner = outer?.firstElementChild
    if (!mayBe || !outer || !inner) return undefined
    const measure = () => setCut(inner.scrollHeight > outer.clientHeight + 2)
    const observer = new ResizeObserver(measure)
    observer.observe(outer)
    observer.observe(inner)
    return () => observer.disconnect()
  }, [box, mayBe])
  return mayBe && isCut
}
