/** Times in sentences of the server, which it writes in UTC, put into the zone that the reader chose. */
import type { SaidTime } from '../api/types'
import { formatTime, type Zone } from './format'

/** As the server writes times in the reason why an answer is not complete; no text of a user stands there. */
const ISO_SECOND = /\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ/g

/** The time as in the lists, without what is zero at its end: `12:30`, `21 Nov 12:30:07`. */
export function shortTime(unixNano: string, zone: Zone, nowMs: number = Date.now()): string {
  return formatTime(unixNano, zone, nowMs).replace(/(:00)?\.000$/, '')
}

/** The sentence with its times in the zone. Names in it that look like a time stay as they are. */
export function sentenceIn(
  zone: Zone,
  text: string,
  times: readonly SaidTime[],
  nowMs: number = Date.now(),
): string {
  let done = ''
  let rest = text
  for (const { text: said, unix_nano } of times) {
    const at = rest.indexOf(said)
    if (at < 0) continue
    done += `${rest.slice(0, at)}${shortTime(unix_nano, zone, nowMs)}`
    rest = rest.slice(at + said.length)
  }
  return done + rest
}

/** The reason with its times in the zone, as the beginning of a sentence. */
export function reasonIn(zone: Zone, reason: string, nowMs: number = Date.now()): string {
  const text = reason.replace(ISO_SECOND, (iso) => {
    const ms = Date.parse(iso)
    return Number.isNaN(ms) ? iso : shortTime(`${BigInt(ms) * 1_000_000n}`, zone, nowMs)
  })
  return text.charAt(0).toUpperCase() + text.slice(1)
}
