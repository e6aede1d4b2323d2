/** Text on a canvas: measured once, clipped with an ellipsis, both remembered. */
import { shortened, shortenedName } from '../model/format'

const MOST_REMEMBERED = 8000

export class TextPainter {
  private readonly widths = new Map<string, number>()
  private readonly clips = new Map<string, string>()

  constructor(private readonly context: CanvasRenderingContext2D) {}

  /** Width of the text in the context's font. */
  width(text: string): number {
    const key = `${this.context.font}|${text}`
    let width = this.widths.get(key)
    if (width === undefined) {
      if (this.widths.size > MOST_REMEMBERED) this.widths.clear()
      width = this.context.measureText(text).width
      this.widths.set(key, width)
    }
    return width
  }

  /** The text, or as much of it as fits; `cut` makes it shorter. */
  private clip(text: string, most: number, cut: (text: string, most: number) => string): string {
    if (most <= 0) return ''
    if (this.width(text) <= most) return text
    const key = `${this.context.font}|${Math.floor(most)}|${text}`
    let clipped = this.clips.get(key)
    if (clipped === undefined) {
      if (this.clips.size > MOST_REMEMBERED) this.clips.clear()
      let low = 0
      let high = text.length - 1
      while (low < high) {
        const middle = (low + high + 1) >> 1
        if (this.context.measureText(cut(text, middle)).width <= most) low = middle
        else high = middle - 1
      }
      clipped = low === 0 ? '' : cut(text, low)
      this.clips.set(key, clipped)
    }
    return clipped
  }

  /** Paints text without what does not fit at its end, and returns where it ended. */
  draw(text: string, x: number, y: number, most: number): number {
    return this.paint(this.clip(text, most, shortened), x, y)
  }

  /** The same of a name, which loses its middle: its end tells it apart from others. */
  drawName(name: string, x: number, y: number, most: number): number {
    return this.paint(this.clip(name, most, shortenedName), x, y)
  }

  private paint(clipped: string, x: number, y: number): number {
    if (clipped !== '') this.context.fillText(clipped, x, y)
    return x + this.width(clipped)
  }
}
