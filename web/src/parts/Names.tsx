/** Names as they are shown where there is little room. */
import { Fragment } from 'react'
import { isPath, pieces } from '../model/breaks'

/** A text with names in it, of which a line ends after a dot or a slash and not in the middle of a word. */
export function Breakable({ text }: { text: string }) {
  return (
    <span>
      {pieces(text).map((piece, at) => (
        // The pieces of one text have no other identity than their place.
        // oxlint-disable-next-line react/no-array-index-key
        <Fragment key={at}>
          {at > 0 ? <wbr /> : null}
          {piece}
        </Fragment>
      ))}
    </span>
  )
}

/** A name on one line that is cut where it is too long: of a path the beginning is left out, of anything else the end. */
export function CutName({ text, className = '' }: { text: string; className?: string }) {
  return (
    <span className={isPath(text) ? `cut-name cut-path ${className}` : `cut-name ${className}`}>
      <bdi>
        <Breakable text={text} />
      </bdi>
    </span>
  )
}
