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

/** The longest end of a name that stays where the name must be cut, the end of a name without marks, and the shortest name that has one. */
const LONGEST_END = 16
const PLAIN_END = 10
const SHORTEST_CUT = 24
/** A mark between words, and what follows it. */
const MARKED_END = /(?<=\S)[./_:-]\S.*$/su

/** The name in two: what loses its end where there is too little room, and the end that stays, which begins with a mark where one is near. */
export function halves(name: string): [start: string, end: string] {
  if (name.length < SHORTEST_CUT) return [name, '']
  // One character more, so that it is known what stands before the mark.
  const marked = MARKED_END.exec(name.slice(-LONGEST_END - 1))
  if (marked !== null) return [name.slice(0, -marked[0].length), marked[0]]
  // Blanks at the ends of the two would not be seen.
  for (let end = PLAIN_END; end <= LONGEST_END; end++) {
    const at = name.length - end
    if (/^[^\s\p{Surrogate}]{2}$/u.test(name.slice(at - 1, at + 1)))
      return [name.slice(0, at), name.slice(at)]
  }
  return [name, '']
}

/** The pieces of both halves. Where the name is not cut it breaks as the whole of it does: the second begins with an empty piece where that is between the two. */
export function piecesOfHalves([start, end]: [string, string]): [start: string[], end: string[]] {
  const found: [string[], string[]] = [[], []]
  let left = start.length
  for (const piece of pieces(start + end)) {
    if (left === 0 && found[1].length === 0) found[1].push('')
    if (left > 0) found[0].push(piece.slice(0, left))
    if (piece.length > left) found[1].push(piece.slice(left))
    left = Math.max(0, left - piece.length)
  }
  return found
}
