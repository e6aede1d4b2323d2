/** How often a failure like this happened around this one, and whether it did before: two questions to the search. */
import { useQuery } from '@tanstack/react-query'
import { Link } from 'wouter'
import { api } from '../api/client'
import { zoneStore } from '../app/preferences'
import { searchPath } from '../app/session'
import { useStore } from '../app/store'
import { formatCount, formatTime, isoTime } from '../model/format'
import { eventKey, quoted } from '../model/query'
import type { Origin } from '../model/explanation'

const HOUR_NS = 3_600_000_000_000n
/** More are not counted: each is a row that the server sends. */
const MOST = 100

const at = (ns: bigint) => isoTime(String(ns))

interface Props {
  origin: Origin
  /** The first start of the trace, ns since 1970. */
  startUnixNano: string
}

/** Nothing where the failure has no exception with a type, or the search does not find this one either. */
export function SameError({ origin, startUnixNano }: Props) {
  const zone = useStore(zoneStore)
  const { service, operation, type } = origin
  const q = [
    `service=${quoted(service)}`,
    `name=${quoted(operation)}`,
    `${eventKey('exception.type')}=${quoted(type)}`,
  ].join(' ')
  const start = BigInt(startUnixNano)
  const around = { q, from: at(start - HOUR_NS), to: at(start + HOUR_NS) }
  const enabled = type !== ''
  const same = useQuery({
    queryKey: ['same', around],
    queryFn: ({ signal }) => api.traces({ ...around, limit: MOST }, signal),
    enabled,
    staleTime: Infinity,
  })
  const earlier = { q, from: at(start - 25n * HOUR_NS), to: around.from }
  const before = useQuery({
    queryKey: ['same', earlier],
    queryFn: ({ signal }) => api.traces({ ...earlier, limit: 1 }, signal),
    enabled: enabled && same.data !== undefined,
    staleTime: Infinity,
  })
  const found = same.data?.traces ?? []
  const oldest = found.at(-1)
  if (oldest === undefined) return null
  const isAll = same.data?.complete === true && same.data.next === null
  const isNew = before.data?.complete === true && before.data.traces.length === 0
  const others = found.length - 1
  return (
    <span className="same-error">
      {isAll && others === 0 ? (
        <span className="muted" title="In the hour before and after">
          in no other trace around it
        </span>
      ) : (
        <Link
          href={searchPath(around)}
          title="Traces with this exception in this span, in the hour before and after"
        >
          {isAll
            ? `same in ${formatCount(found.length)} traces since ${formatTime(oldest.start_unix_nano, zone)}`
            : `same in over ${formatCount(found.length)} traces`}
        </Link>
      )}
      {isNew ? (
        <span className="badge badge-error" title="Not seen in the 24 hours before that hour">
          NEW
        </span>
      ) : null}
    </span>
  )
}
