/** A native choice that looks like a button. */
import { Icon, type IconName } from './icons'

interface Props {
  label: string
  value: string
  options: readonly { value: string; label: string }[]
  onChange: (value: string) => void
  icon?: IconName
  id?: string
}

export function Select({ label, value, options, onChange, icon, id }: Props) {
  return (
    <span className="select">
      {icon ? <Icon name={icon} /> : null}
      <select
        id={id}
        aria-label={label}
        value={value}
        className={icon ? 'with-icon' : undefined}
        onChange={(event) => onChange(event.target.value)}
        // Letters choose in it; after Escape they are shortcuts again.
        onKeyDown={(event) => {
          if (event.key === 'Escape') event.currentTarget.blur()
        }}
      >
        {options.map((option) => (
          <option key={option.value} value={option.value}>
            {option.label}
          </option>
        ))}
      </select>
      <Icon name="down" />
    </span>
  )
}
