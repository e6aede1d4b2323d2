/** Walks along the spans where failures began, as the key `e` does. */
import type { ReactNode } from 'react'
import { IconButton } from './IconButton'

interface Props {
  /** Where the reader is: before the buttons. */
  children: ReactNode
  onStep: (by: 1 | -1) => void
}

export function OriginStepper({ children, onStep }: Props) {
  return (
    <div role="group" aria-label="First failures" className="stepper">
      {children}
      <IconButton
        icon="left"
        label="Previous first failure"
        title="Previous first failure (E)"
        onClick={() => onStep(-1)}
      />
      <IconButton
        icon="right"
        label="Next first failure"
        title="Next first failure (e)"
        onClick={() => onStep(1)}
      />
      <kbd aria-hidden="true">e</kbd>
    </div>
  )
}
