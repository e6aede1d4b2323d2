/** The address of what is on the page, to be opened by somebody else later. */
import { fixedRange } from '../model/range'
import { copyText } from '../parts/CopyButton'
import { notify } from './announce'
import { SEARCH_FIELDS, readState, writeState } from './url'

/** The address as it is; where it means times that move, with those times fixed to what they are now. */
export function fixedAddress(address: string, nowMs: number): string {
  const url = new URL(address)
  if (!url.pathname.endsWith('/search')) return url.href
  const { from, to } = readState(SEARCH_FIELDS, url.search).state
  url.search = writeState(SEARCH_FIELDS, url.search, fixedRange({ from, to }, nowMs))
  return url.href
}

/** Puts the address on the clipboard and says so. */
export async function copyLink(): Promise<void> {
  const fixed = fixedAddress(location.href, Date.now())
  const done = await copyText(fixed)
  if (!done) notify('This browser did not allow copying')
  else notify(fixed === location.href ? 'Link copied' : 'Link copied, with fixed times')
}
