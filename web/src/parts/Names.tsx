/** Names as they are shown where there is little room. */
import { Fragment } from 'react'
import { halves, pieces, piecesOfHalves } from '../model/breaks'

function Pieces({ found }: { found: readonly string[] }) {
  return found.map((piece, at) => (
    // The pieces of one text have no other identity than their place.
    // oxlint-disable-next-line react/no-array-index-key
    <Fragment key={at}>
      {at > 0 ? <wbr /> : null}
      {piece}
    </Fragment>
  ))
}

/** A text with names in it, of which a line ends after a dot or a slash and not in the middle of a word. */
export function Breakable({ text }: { text: string }) {
  return (
    <span>
      <Pieces found={pieces(text)} />
    </span>
  )
}

/** A name on one line that loses its middle where it is too long: its end tells it apart from others. */
export function CutName({ text, className = '' }: { text: string; className?: string }) {
  const [start, end] = piecesOfHalves(halves(text))
  return (
    <span className={`cut-name ${className}`}>
      <span className="cut-start">
        <Pieces found={start} />
      </span>
      {end.length === 0 ? null : (
        <span className="cut-end">
          <bdi>
            <Pieces found={end} />
          </bdi>
        </span>
      )}
    </span>
  )
}
