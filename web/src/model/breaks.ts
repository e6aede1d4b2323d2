/** Where a line may end within a name: after a dot, a slash, a dash, a colon or an underscore between words, not within a word or a number. */

const BEHIND_A_MARK = /(?<=\S[./_:-])(?=[\p{L}{<_$])/u
/** Within a word that is longer than a line of a narrow column. */
const BETWEEN_HUMPS = /(?<=\p{Ll})(?=\p{Lu})/u
const LONG_WORD = 24
const LONGEST_WORD = 200
/** Of a text that is longer than any name, the rest is broken where the browser likes. */
const MOST_PIECES = 100

/** The text in pieces, each of which stays on one line. */
export function pieces(text: string): string[] {
  const found = text.split(BEHIND_A_MARK, MOST_PIECES)
  if (found.length === MOST_PIECES) return [text]
  return found.flatMap((piece) =>
    piece.length > LONG_WORD && piece.length <= LONGEST_WORD ? piece.split(BETWEEN_HUMPS) : piece,
  )
}

/** Whether what tells it apart from others stands at its end: `/shop.Cart/AddItem`, `/var/lib/orders.db`, and not `GET /cart`. */
export function isPath(name: string): boolean {
  return /^\S*\/\S*$/.test(name)
}
