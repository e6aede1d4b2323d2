/** A square in the colour of a service; the name stands beside it. */

/** `colour` from 1 to 8, 0 for the one that all other services share. */
export function ServiceChip({ colour }: { colour: number }) {
  return (
    <span
      className="chip"
      aria-hidden="true"
      style={{ background: `var(--service-${colour === 0 ? 'other' : colour})` }}
    />
  )
}
