/** A file of spans, read by the server's own decoder and shown as a trace. The server keeps nothing of it. */
import { useMutation } from '@tanstack/react-query'
import { useEffect, useState, type DragEvent } from 'react'
import { api } from '../api/client'
import { showDecoded, type DecodedTrace } from '../api/decoded'
import { useReady } from '../app/announce'
import { formatDuration, plural } from '../model/format'
import { Icon } from '../parts/icons'
import { Problem } from '../parts/Problem'
import { TraceView } from './TraceView'

export default function UploadPage() {
  const [shown, setShown] = useState<DecodedTrace | null>(null)
  const [name, setName] = useState('')
  const decoding = useMutation({ mutationFn: (file: Blob) => api.decode(file) })
  useReady(true)
  useEffect(() => {
    document.title = 'Open a file · clew'
    return () => showDecoded(null)
  }, [])

  const unread = decoding.data?.unread
  const show = (trace: DecodedTrace | null) => {
    showDecoded(trace)
    setShown(trace)
  }
  const open = (file: File | null | undefined) => {
    if (!file) return
    setName(file.name)
    show(null)
    decoding.mutate(file, {
      onSuccess: ({ traces }) => {
        if (traces.length === 1) show(traces[0]!)
      },
    })
  }
  const drop = (event: DragEvent) => {
    event.preventDefault()
    open(event.dataTransfer.files[0])
  }

  if (shown !== null) {
    return (
      <>
        <p className="notice">
          <span>
            From the file <b className="mono">{name}</b>; this server does not have it. A copied link does not
            hold it.{unread ? ` Of the file, ${unread}.` : null}
          </span>
          <button type="button" className="button" onClick={() => show(null)}>
            Another file
          </button>
        </p>
        <TraceView
          key={shown.trace_id}
          traceId={shown.trace_id}
          skeleton={shown.skeleton}
          newest={shown.skeleton}
          young={false}
          explanation={{ value: shown.explanation, isLoading: false, error: null, onRetry: () => {} }}
          onShowNewest={() => {}}
        />
      </>
    )
  }
  return (
    // Dropping is a convenience of the mouse: the button opens a file as well.
    // oxlint-disable-next-line jsx-a11y/no-static-element-interactions
    <div className="upload" onDragOver={(event) => event.preventDefault()} onDrop={drop}>
      <section className="blank" aria-label="Open a file">
        <h1>Open a file</h1>
        <p>
          Drop a file of spans here, or choose one: OTLP as JSON, JSON lines or protobuf, Jaeger’s JSON or
          Zipkin’s JSON, also packed with gzip, up to 32 MiB.
        </p>
        <p className="muted">The server reads it and keeps nothing of it.</p>
        <label className="button upload-button">
          <Icon name="export" size={14} />
          Choose a file
          <input
            type="file"
            className="unseen"
            accept=".json,.jsonl,.ndjson,.pb,.bin,.otlp,.gz,.zst"
            onChange={(event) => open(event.target.files?.[0])}
          />
        </label>
        {decoding.isPending ? <p aria-live="polite">Reading {name}…</p> : null}
        {decoding.data && decoding.data.traces.length > 1 ? (
          <>
            <h2>{plural(decoding.data.traces.length + decoding.data.left_out, 'trace')} in the file</h2>
            <ul className="upload-traces">
              {decoding.data.traces.map((trace) => (
                <li key={trace.trace_id}>
                  <button type="button" className="panel-link" onClick={() => show(trace)}>
                    {trace.explanation.root.operation || 'no name'} ·{' '}
                    {trace.explanation.root.service || 'no service'}
                  </button>{' '}
                  <span className="muted">
                    {formatDuration(Number(trace.explanation.root.duration_ns))} ·{' '}
                    {plural(trace.skeleton.total, 'span')}
                  </span>
                </li>
              ))}
            </ul>
            {unread ? <p>Of the file, {unread}.</p> : null}
            {decoding.data.left_out > 0 ? (
              <p className="muted">The {decoding.data.traces.length} with most spans are listed.</p>
            ) : null}
          </>
        ) : null}
      </section>
      {decoding.error ? <Problem error={decoding.error} onRetry={() => decoding.reset()} /> : null}
    </div>
  )
}
