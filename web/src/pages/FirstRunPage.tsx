/** Before the first span: three ways to send one, every address, and a counter that waits. */
import { useEffect, useState } from 'react'
import { hasToken, serverUrl } from '../api/client'
import type { Receiver, Status } from '../api/types'
import { formatBytes, formatCount, formatDuration, formatRetention, plural } from '../model/format'
import { CopyButton } from '../parts/CopyButton'
import { Icon } from '../parts/icons'
import { receiverAddress, receiverInfo, receiverNote } from '../parts/receivers'

const DEFAULT_ENDPOINT = 'http://127.0.0.1:4318'

/** The command that runs a program traced; the address only where it is not the one that is used anyway. */
function runLines(endpoint: string): string {
  const more = endpoint === DEFAULT_ENDPOINT ? '' : ` --endpoint ${endpoint}`
  return `clew run --service-name shop${more} app.py`
}

/** The demo with its spans in this server; a server with a token wants it from the demo too. */
function demoCommand(): string {
  return `clew demo --server ${serverUrl()}${hasToken() ? ' --token-file FILE' : ''}`
}

/** The lines for a program; the address only where it is not the one that is used anyway. */
function pythonLines(endpoint: string): string {
  const more = endpoint === DEFAULT_ENDPOINT ? '' : `, endpoint="${endpoint}"`
  return `import clew\nclew.configure(service_name="shop"${more})\nclew.instrument()`
}

interface Props {
  status: Status
  problem: Error | null
}

export function FirstRunPage({ status, problem }: Props) {
  useEffect(() => {
    document.title = 'No spans yet · clew'
  }, [])
  const open = status.receivers.filter((receiver) => receiver.state === 'open')
  const closed = status.receivers.filter((receiver) => receiver.state !== 'open')
  const http = status.receivers.find((receiver) => receiver.name === 'otlp-http' && receiver.state === 'open')
  const endpoint = http ? receiverAddress(http) : DEFAULT_ENDPOINT
  const hosts = [...new Set(open.map((receiver) => hostOf(receiver.address)))]
  const isLocal = hosts.length > 0 && hosts.every((host) => /^(127\.|localhost$|\[?::1)/.test(host))
  return (
    <div className="first-run">
      <header className="first-run-head">
        <div>
          <h1>No spans yet</h1>
          <p>
            clew is listening. Send it spans from what you already run, or try the demo. The first trace that
            can be read turns this page into Search.
          </p>
        </div>
        <section className="card counter" aria-label="Listening">
          <span className={problem ? 'dot dot-off' : 'dot'} aria-hidden="true" />
          <div>
            <strong>
              {problem ? 'The server does not answer' : `Listening on ${hosts[0] ?? 'no address'}`}
            </strong>
            <p>
              <Uptime startedUnixNano={status.started_unix_nano} /> · {plural(open.length, 'receiver')} open
            </p>
          </div>
          <div className="count">
            <strong>{formatCount(status.accepted_spans)}</strong>
            <span role="status">{status.accepted_spans === 0 ? 'spans' : 'spans, being stored'}</span>
          </div>
        </section>
      </header>
      <div className="first-run-columns">
        <div className="ways">
          <section className="card way" aria-label="A Python program, nothing to change">
            <h2>
              <span className="step">1</span> A Python program, nothing to change
            </h2>
            <p>
              After <code>pip install ./clew</code> in the folder of clew&apos;s sources. Servers and clients
              of the libraries you have are traced.
            </p>
            <CodeBlock text={runLines(endpoint)} name="Copy the command" />
          </section>
          <section className="card way" aria-label="Or three lines in it">
            <h2>
              <span className="step">2</span> Or three lines in it
            </h2>
            <CodeBlock text={pythonLines(endpoint)} name="Copy the Python lines" />
          </section>
          {http ? (
            <section className="card way" aria-label="Or a program with OpenTelemetry">
              <h2>
                <span className="step">3</span> Or a program with OpenTelemetry, nothing to change
              </h2>
              <CodeBlock
                text={`export OTEL_EXPORTER_OTLP_ENDPOINT=${receiverAddress(http)}\nexport OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf`}
                name="Copy the environment"
              />
            </section>
          ) : null}
          <section className="card way" aria-label="Or look around first">
            <h2>
              <span className="step">{http ? 4 : 3}</span> Or look around first
            </h2>
            <p>
              Two small services, one request that fails and one that is slow, stored in this server for you
              to open.
            </p>
            <CodeBlock text={demoCommand()} name="Copy the demo command" />
          </section>
        </div>
        <section className="card addresses" aria-label="Addresses for agents you already run">
          <header>
            <h2>Addresses for agents you already run</h2>
            <span className="muted">
              {open.length} open{closed.length > 0 ? `, ${closed.length} off` : ''}
            </span>
          </header>
          <ul>
            {open.map((receiver) => (
              <ReceiverRow key={receiver.name} receiver={receiver} />
            ))}
          </ul>
          {closed.length > 0 ? (
            <>
              <p className="switched-off">
                <b>Switched off.</b> Start clew with the option to open them
              </p>
              <ul>
                {closed.map((receiver) => (
                  <ReceiverRow key={receiver.name} receiver={receiver} />
                ))}
              </ul>
            </>
          ) : null}
          {isLocal ? (
            <p className="only-local">
              <Icon name="warning" />
              <span>
                Only this machine can reach these. To open them to others, start with{' '}
                <code>--host 0.0.0.0 --token-file FILE</code>
              </span>
            </p>
          ) : null}
        </section>
      </div>
      <footer className="first-run-foot">
        <p>
          <Icon name="help" />
          <span>
            Sent something and nothing shows? <code>clew doctor</code> checks the way from your program to
            here. Refused since start: <b>{formatCount(status.refused_requests)}</b> requests.
          </span>
        </p>
        <p>
          Kept for {formatRetention(status.retention_s)}
          {status.max_disk_bytes > 0 ? `, at most ${formatBytes(status.max_disk_bytes)}` : ''}
        </p>
      </footer>
    </div>
  )
}

function CodeBlock({ text, name }: { text: string; name: string }) {
  return (
    <div className="code-block">
      <pre>{text}</pre>
      <CopyButton text={text} name={name} />
    </div>
  )
}

function ReceiverRow({ receiver }: { receiver: Receiver }) {
  const info = receiverInfo(receiver)
  const address = receiverAddress(receiver)
  const pointAt = receiver.point_at || address
  const isOpen = receiver.state === 'open'
  return (
    <li className={isOpen ? 'receiver' : 'receiver receiver-off'}>
      <span className={`state state-${receiver.state}`}>
        {isOpen ? <Icon name="check" size={14} /> : <span className="ring" aria-hidden="true" />}
        {receiver.state}
      </span>
      <strong>{info.title}</strong>
      <span className="muted">{info.transport}</span>
      {isOpen || address !== '' ? (
        <code title={receiver.last_error ?? undefined}>
          <Lines text={isOpen ? pointAt : address} />
        </code>
      ) : (
        <span className="muted">{info.note}</span>
      )}
      {isOpen || receiver.option === '' ? (
        <span className="muted note">{receiverNote(receiver, info.note)}</span>
      ) : (
        <code className="note">{receiver.option}</code>
      )}
      <CopyButton
        text={isOpen || receiver.option === '' ? pointAt : receiver.option}
        name={`Copy ${isOpen ? 'the setting' : 'the option'} of ${info.title} ${info.transport}`}
      />
    </li>
  )
}

function Uptime({ startedUnixNano }: { startedUnixNano: string }) {
  const [nowMs, setNowMs] = useState(Date.now)
  useEffect(() => {
    const timer = setInterval(() => setNowMs(Date.now()), 1000)
    return () => clearInterval(timer)
  }, [])
  const seconds = Math.max(0, Math.floor(nowMs / 1000 - Number(startedUnixNano) / 1e9))
  return <>for {seconds < 60 ? `${seconds} s` : formatDuration(seconds * 1e9)}</>
}

function hostOf(address: string): string {
  return address.replace(/^\w+:\/\//, '').replace(/(:\d+)?(\/.*)?$/, '')
}

/** Variables and their values, broken after the sign between the two rather than in the middle of an address. */
function Lines({ text }: { text: string }) {
  return text.split(/(?<==)/).map((part, index) => (
    // oxlint-disable-next-line react/no-array-index-key
    <span key={index}>
      {index > 0 ? <wbr /> : null}
      {part}
    </span>
  ))
}
