/** What the colours of the rows stand for, where the rows do not say it themselves. */
import { colourKey, type ColourBy } from '../app/url'
import { shortened } from '../model/format'
import { FAILED_TINT, type Tints } from '../model/tints'
import { ServiceChip } from './ServiceChip'

const MOST_NAME = 60

interface Props {
  colour: ColourBy
  legend: Tints['legend']
  isLoading: boolean
  error: Error | null
  onColour: (by: ColourBy) => void
}

export function TintLegend({ colour, legend, isLoading, error, onColour }: Props) {
  const key = colourKey(colour)
  return (
    <div className="tint-legend">
      <span className="muted">Colour: {key === '' ? colour : shortened(key, MOST_NAME)}</span>
      {error !== null ? (
        <p role="alert">The values could not be had: {error.message}</p>
      ) : isLoading ? (
        <p className="muted">Looking up its values…</p>
      ) : key !== '' && legend.every(({ tint }) => tint === 0) ? (
        <p>No span of this trace has this attribute.</p>
      ) : (
        <ul className="legend" aria-label="Legend of the colours">
          {legend.map(({ label, tint }) => (
            <li key={`${tint} ${label}`}>
              {tint === FAILED_TINT ? (
                <span className="chip chip-failed" aria-hidden="true" />
              ) : (
                <ServiceChip colour={tint} />
              )}
              <span className="legend-label" title={shortened(label, 300)}>
                {shortened(label, MOST_NAME)}
              </span>
            </li>
          ))}
        </ul>
      )}
      <button type="button" className="link-button" onClick={() => onColour('')}>
        by service
      </button>
    </div>
  )
}
