/** Keeps the height of what it holds, so that nothing below moves while its content changes by itself. */
import { useLayoutEffect, useRef, useState, type ReactNode } from 'react'

interface Props {
  /** Whether the height stays as it is now; the content scrolls where it becomes taller. */
  isHeld: boolean
  /** Whether the content was not known when it was first shown: it then has the room that it usually wants. */
  isReserved: boolean
  children: ReactNode
}

export function HeldHeight({ isHeld, isReserved, children }: Props) {
  const box = useRef<HTMLDivElement>(null)
  const [height, setHeight] = useState<number | null>(null)
  const [isFree, setFree] = useState(false)
  useLayoutEffect(() => {
    setHeight(isHeld && box.current ? box.current.offsetHeight : null)
  }, [isHeld])
  // What the reader opens in it may move the rest, and does not scroll in a small box.
  const free = () => {
    if (isReserved && !isFree) setFree(true)
  }
  return (
    <div
      ref={box}
      className={isReserved ? (isFree ? 'room room-free' : 'room') : undefined}
      style={height === null ? undefined : { height, overflow: 'auto' }}
      onClickCapture={free}
    >
      {children}
    </div>
  )
}
