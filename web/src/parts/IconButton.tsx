/** A small button with a picture. Its label is what a screen reader says, its title what the mouse shows, with the key. */
import { Icon } from './icons'
import type { ComponentProps } from 'react'

interface Props {
  icon: ComponentProps<typeof Icon>['name']
  label: string
  title?: string
  disabled?: boolean
  onClick: () => void
}

export function IconButton({ icon, label, title = label, disabled = false, onClick }: Props) {
  return (
    <button
      type="button"
      className="icon-button icon-button-small"
      aria-label={label}
      title={title}
      disabled={disabled}
      onClick={onClick}
    >
      <Icon name={icon} size={14} />
    </button>
  )
}
