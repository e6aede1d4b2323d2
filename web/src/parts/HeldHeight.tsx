/** Keeps the height of what it holds, so that nothing below moves while its content changes by itself. */
import { useLayoutEffect, useRef, useState, type ReactNode } from 'react'

interface Props {
  /** Whether the height stays as it is now; the content scrolls where it becomes taller. */
  isHeld: boolean
  children: ReactNode
}

export function HeldHeight({ isHeld, children }: Props) {
  const box = useRef<HTMLDivElement>(null)
  const [height, setHeight] = useState<number | null>(null)
  useLayoutEffect(() => {
    setHeight(isHeld && box.current ? box.current.offsetHeight : null)
  }, [isHeld])
  return (
    <div ref={box} style={height === null ? undefined : { height, overflow: 'auto' }}>
      {children}
    </div>
  )
}
