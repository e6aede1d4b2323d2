/** What this trace is: its root, whether a span failed, when, how long, how much of it is here. */
import { useEffect } from 'react'
import { Link } from 'wouter'
import { api } from '../api/client'
import { announce } from '../app/announce'
import { zoneStore } from '../app/preferences'
import { searchPath, searchStore } from '../app/session'
import { useStore } from '../app/store'
import { exactDuration, formatDuration, formatFullTime, isoTime, plural } from '../model/format'
import type { TraceModel } from '../model/trace'
import { copyText, CopyButton } from './CopyButton'
import { FailedMark, Icon } from './icons'
import { ServiceChip } from './ServiceChip'

/** The node the page is named after: the first root, else the earliest span. */
function headNode(model: TraceModel): number {
  let earliest = -1
  for (let node = 0; node < model.count; node++) {
    if (model.isPlaceholder(node)) continue
    if (model.parent[node] === -1) return node
    if (earliest < 0 || model.start[node]! < model.start[earliest]!) earliest = node
  }
  return earliest
}

async function share(): Promise<void> {
  const done = await copyText(location.href)
  announce(done ? 'Link copied' : 'This browser did not allow copying')
}

/** Fetched and not linked, because a link could not carry the token. */
async function saveJson(traceId: string): Promise<void> {
  try {
    const data = await api.trace(traceId)
    const url = URL.createObjectURL(new Blob([JSON.stringify(data, null, 2)], { type: 'application/json' }))
    const link = document.createElement('a')
    link.href = url
    link.download = `${traceId}.json`
    link.click()
    URL.revokeObjectURL(url)
    announce('Trace exported')
  } catch (error) {
    announce(`Export failed: ${error instanceof Error ? error.message : String(error)}`)
  }
}

interface Props {
  traceId: string
  model: TraceModel
  colours: Uint8Array
}

export function TraceHeader({ traceId, model, colours }: Props) {
  const zone = useStore(zoneStore)
  const search = useStore(searchStore)
  const head = headNode(model)
  const service = head < 0 ? '' : model.serviceName(head)
  const name = (head < 0 ? '' : model.spanName(head)) || 'no name'
  const start = String(BigInt(model.skeleton.t0) + BigInt(Math.round(model.earliest)))
  const services = new Set(model.service)
  services.delete(-1)
  useEffect(() => {
    document.title = `${name} ${service} · ${formatDuration(model.length)} · clew`
  }, [name, service, model])
  return (
    <header className="trace-header">
      <div className="trace-what">
        <div className="trace-title">
          <Link href={searchPath(search)} className="back">
            <Icon name="left" size={12} />
            results
          </Link>
          <h1>{name}</h1>
          <span className="trace-service">
            <ServiceChip colour={head < 0 ? 0 : (colours[model.service[head]!] ?? 0)} />
            {service || 'no service'}
          </span>
          {model.failedCount > 0 ? (
            <span className="verdict verdict-failed">
              <FailedMark />
              failed
            </span>
          ) : (
            <span className="verdict verdict-ok">
              <Icon name="check" size={14} />
              no span failed
            </span>
          )}
        </div>
        <p className="trace-facts">
          <span className="mono">{traceId}</span>
          <CopyButton compact text={traceId} name="Copy the trace id" />
          <time dateTime={isoTime(start)} title={isoTime(start)}>
            {formatFullTime(start, zone)}
          </time>
          <span>
            {plural(model.skeleton.total, 'span')} · {plural(services.size, 'service')}
          </span>
          {model.missingCount > 0 ? (
            <span className="missing">
              <Icon name="warning" size={14} />
              {plural(model.missingCount, 'parent')} not received
            </span>
          ) : null}
        </p>
      </div>
      <div className="trace-length">
        <strong title={exactDuration(model.length)}>{formatDuration(model.length)}</strong>
      </div>
      <div className="trace-actions">
        <button type="button" className="button" title="Copy link (y)" onClick={() => void share()}>
          <Icon name="share" size={14} />
          Copy link
        </button>
        <button type="button" className="button" onClick={() => void saveJson(traceId)}>
          <Icon name="export" size={14} />
          Export
        </button>
      </div>
    </header>
  )
}
