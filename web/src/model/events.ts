/** Server-sent events, as they come in pieces. */

export interface ServerEvent {
  name: string
  data: unknown
  /** Empty for one without. */
  id: string
}

/** An event holds a line of JSON; a longer one than this is none of ours. */
const LONGEST = 4_000_000

/** Puts pieces of text together and takes events out of them. */
export class EventReader {
  private rest = ''

  /** The events that end in this piece. Throws where it holds no JSON. */
  push(piece: string): ServerEvent[] {
    const parts = (this.rest + piece).split('\n\n')
    this.rest = parts.pop() ?? ''
    if (this.rest.length > LONGEST) throw new Error('An event is too long.')
    const events: ServerEvent[] = []
    for (const part of parts) {
      let name = ''
      let data = ''
      let id = ''
      for (const line of part.split('\n')) {
        if (line.startsWith('event: ')) name = line.slice('event: '.length)
        else if (line.startsWith('data: ')) data = line.slice('data: '.length)
        else if (line.startsWith('id: ')) id = line.slice('id: '.length)
      }
      if (name !== '' && data !== '') events.push({ name, data: JSON.parse(data) as unknown, id })
    }
    return events
  }
}
