/** How much of each pixel of the minimap is covered by spans too short to be seen one by one. */

export interface Spans {
  count: number
  start: Float64Array
  duration: Float64Array
  depth: Int32Array
}

/** One entry a lane and pixel: the covered part of the pixel's time, summed over the spans, and a span that covers it. */
export interface Density {
  covered: Float32Array
  /** A span's index, -1 where nothing is. */
  sample: Int32Array
}

/**
 * The density of the spans shorter than `shortest` nanoseconds. One pass over the spans; `skip` names those that are not
 * drawn. Spans deeper than the last lane are in the last lane.
 */
export function densityOf(
  spans: Spans,
  shortest: number,
  pixelsPerNs: number,
  width: number,
  lanes: number,
  skip: (span: number) => boolean,
): Density {
  const covered = new Float32Array(lanes * width)
  const sample = new Int32Array(lanes * width).fill(-1)
  for (let span = 0; span < spans.count; span++) {
    if (spans.duration[span]! >= shortest || skip(span)) continue
    const pixel = Math.min(width - 1, Math.max(0, Math.floor(spans.start[span]! * pixelsPerNs)))
    const at = Math.min(lanes - 1, spans.depth[span]!) * width + pixel
    covered[at]! += spans.duration[span]! * pixelsPerNs
    if (sample[at] === -1) sample[at] = span
  }
  return { covered, sample }
}
