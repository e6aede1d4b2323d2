/** What is wrong with the server now: one calm line below the top bar, and all of it behind a key or a click. */
import { useQuery } from '@tanstack/react-query'
import { useEffect } from 'react'
import { api } from '../api/client'
import type { Trouble } from '../api/types'
import { announce } from '../app/announce'
import { zoneStore } from '../app/preferences'
import { useStore } from '../app/store'
import { formatFullTime, isoTime, plural } from '../model/format'
import { Icon } from './icons'

const POLL_MS = 30_000

const SENTENCES: Record<Trouble['what'], string> = {
  log: 'New spans are refused: the log cannot be written.',
  log_damage: 'Some spans were lost: the log is damaged.',
  agents_damage: 'Names that agents said once were lost: restart the agents.',
  log_foreign: 'The folder of the log holds files that are not clew’s.',
  writer: 'New spans are kept but cannot be searched yet: storing them fails.',
  store_damage: 'Some stored spans were lost or cannot be read.',
  retention: 'Old data is not removed: retention fails.',
  disk_cap: 'The data folder cannot be kept below its limit.',
  clock: 'The clock of the server jumped ahead: nothing is removed by age until it has held.',
  query: 'Some questions were answered with an error.',
}

function sentenceOf(trouble: Trouble): string {
  // A newer server may know more kinds than this page.
  return SENTENCES[trouble.what] ?? `Trouble: ${trouble.what}.`
}

export function TroubleNotice() {
  const zone = useStore(zoneStore)
  const status = useQuery({
    queryKey: ['status'],
    queryFn: ({ signal }) => api.status(signal),
    refetchInterval: POLL_MS,
  })
  const troubles = status.data?.troubles ?? []
  const first = troubles[0]
  const heading = first
    ? sentenceOf(first) + (troubles.length > 1 ? ` And ${troubles.length - 1} more.` : '')
    : ''
  useEffect(() => {
    if (heading !== '') announce(heading)
  }, [heading])
  if (first === undefined) return null
  return (
    <section className="notice notice-warning troubles" aria-label="Trouble on the server">
      <Icon name="warning" />
      <details>
        <summary>{heading}</summary>
        <ul>
          {troubles.map((trouble) => (
            <li key={trouble.what}>
              <strong>{sentenceOf(trouble)}</strong> Since{' '}
              <time dateTime={isoTime(trouble.since_unix_nano)}>
                {formatFullTime(trouble.since_unix_nano, zone)}
              </time>
              {trouble.count > 1 ? (
                <>
                  , {plural(trouble.count, 'time')}, last{' '}
                  <time dateTime={isoTime(trouble.last_unix_nano)}>
                    {formatFullTime(trouble.last_unix_nano, zone)}
                  </time>
                </>
              ) : null}
              .<p className="mono trouble-message">{trouble.message}</p>
            </li>
          ))}
        </ul>
      </details>
    </section>
  )
}
