/** *Where it failed*: the cause with its message, what came before it, and the way it took to the root. */
import type { Failure, Explanation } from '../api/types'
import { formatCount, plural, shortened, shortenedName } from '../model/format'
import { afterMessage, contextOf, handledFailures, lateFailures, type Origin } from '../model/explanation'
import type { TraceModel } from '../model/trace'
import { FailedMark, Icon, PassedOnMark } from './icons'
import { Breakable } from './Names'
import { OriginStepper } from './OriginStepper'
import { SameError } from './SameError'
import { ServiceChip } from './ServiceChip'

const MOST_STEPS = 6
const MOST_MESSAGE = 600
const MOST_NAME = 120

interface Props {
  explanation: Explanation | null
  model: TraceModel
  colours: Uint8Array
  /** Where it failed, the cause first. */
  origins: readonly Origin[]
  /** Index of the one that is shown. */
  at: number
  onStep: (by: 1 | -1) => void
  /** Selects the first of the spans, or the one after the selected one. */
  onSpans: (spanIds: readonly string[]) => void
  /** Whether there is room for one line. */
  isInLine: boolean
  onOpen: () => void
}

export function FailurePanel(props: Props) {
  const { explanation, origins } = props
  if (origins.length > 0) return <Failed {...props} />
  const handled = explanation === null ? [] : handledFailures(explanation)
  const late = explanation === null ? [] : lateFailures(explanation)
  return handled.length > 0 ? (
    <NotForTheCaller {...props} failures={handled} what={handled.length > 1 ? 'all handled' : 'handled'} />
  ) : late.length > 0 ? (
    <NotForTheCaller {...props} failures={late} what="after the answer" />
  ) : (
    <section className="panel panel-line panel-ok" aria-label="Where it failed">
      <Icon name="check" />
      <h2>No span failed</h2>
    </section>
  )
}

function Failed(props: Props) {
  const { explanation, model, colours, origins, at, onStep, onSpans, isInLine, onOpen } = props
  const origin = origins[at] ?? origins[0]!
  const { spanId, service, operation, type, message } = origin
  if (isInLine) {
    return (
      <section className="panel panel-line panel-failed" aria-label="Where it failed">
        <FailedMark size={16} />
        <p className="panel-one">
          <OperationButton service={service} operation={operation} onClick={() => onSpans([spanId])} />{' '}
          <span className="error-type">
            <Breakable text={type} />
          </span>{' '}
          <span className="muted">{shortened(message, MOST_MESSAGE)}</span>
        </p>
        <button type="button" className="link-button" onClick={onOpen}>
          {origins.length > 1 ? `all ${formatCount(origins.length)}` : 'more'}
        </button>
      </section>
    )
  }
  const more = explanation === null ? '' : afterMessage(explanation, origin)
  // A span that arrived after the rows were drawn has none yet.
  const node = model.nodeOf(spanId)
  const context = explanation === null ? [] : contextOf(explanation, model, spanId)
  const handled = explanation === null ? [] : handledFailures(explanation)
  return (
    <section className="panel panel-failed" aria-label="Where it failed">
      <div className="panel-head">
        <h2>Where it failed</h2>
        {origins.length > 1 ? (
          <OriginStepper onStep={onStep}>
            <span>
              {at + 1} of {origins.length}
            </span>
          </OriginStepper>
        ) : (
          <>
            <span className="stepper">1 of 1</span>
            <kbd aria-hidden="true">e</kbd>
          </>
        )}
      </div>
      <p className="panel-headline">
        <FailedMark size={16} />
        <OperationButton service={service} operation={operation} onClick={() => onSpans([spanId])} />{' '}
        {type === '' ? null : (
          <span className="error-type">
            <Breakable text={type} />
          </span>
        )}
      </p>
      {message + more === '' ? null : (
        <p className="panel-message mono" title={shortened(message, MOST_MESSAGE)}>
          {shortened(message, MOST_MESSAGE)}
          {more === '' ? null : (
            <span className="muted">
              {message === '' ? '' : ' '}
              {more}
            </span>
          )}
        </p>
      )}
      {context.map((finding) => (
        <p key={`${finding.kind} ${finding.text}`} className="panel-context">
          <Icon name="clock" size={14} />
          <button type="button" className="panel-link" onClick={() => onSpans(finding.span_ids)}>
            <Breakable text={finding.text} />
          </button>
          {finding.certainty === 'certain' ? null : <span className="muted"> {finding.certainty}</span>}
        </p>
      ))}
      <div className="panel-foot">
        {node < 0 ? (
          <span className="muted">arrived just now</span>
        ) : (
          <Path model={model} colours={colours} node={node} onSpans={onSpans} />
        )}
        {handled.length > 0 ? (
          <button
            type="button"
            className="link-button"
            title={handled.map(inWords).join('\n')}
            onClick={() => onSpans(handled.map((one) => one.span_id))}
          >
            {plural(handled.length, 'other failure')} handled
          </button>
        ) : null}
        {explanation === null ? null : (
          <SameError
            origin={origin}
            startUnixNano={String(BigInt(model.skeleton.t0) + BigInt(Math.round(model.earliest)))}
          />
        )}
      </div>
    </section>
  )
}

/** Something failed, and the request went on well or had its answer already. */
function NotForTheCaller({
  failures,
  what,
  onSpans,
}: Props & { failures: readonly Failure[]; what: string }) {
  const [first] = failures
  return (
    <section className="panel panel-line panel-handled" aria-label="Where it failed">
      <PassedOnMark size={16} />
      <h2>
        {plural(failures.length, 'failure')}, {what}
      </h2>
      {first === undefined ? null : (
        <p>
          <OperationButton
            service={first.service}
            operation={first.operation}
            onClick={() => onSpans(failures.map((one) => one.span_id))}
          />{' '}
          <span className="error-type">
            <Breakable text={first.type} />
          </span>{' '}
          <span className="muted">{shortened(first.message, MOST_MESSAGE)}</span>
        </p>
      )}
    </section>
  )
}

function OperationButton({
  service,
  operation,
  onClick,
}: {
  service: string
  operation: string
  onClick: () => void
}) {
  const text = `${shortenedName(service || 'no service', MOST_NAME)} · ${shortenedName(operation || 'no name', MOST_NAME)}`
  return (
    // Its name is what is written in it, without the places where that may be broken.
    <button type="button" className="panel-link" onClick={onClick} aria-label={text}>
      <Breakable text={text} />
    </button>
  )
}

function inWords({ service, operation, type, message }: Failure): string {
  return `${service} · ${operation}  ${[type, shortened(message, MOST_MESSAGE)].filter(Boolean).join(': ')}`
}

/** The services from the root to the failure; a service stands once for its spans in a row. */
function Path({
  model,
  colours,
  node,
  onSpans,
}: {
  model: TraceModel
  colours: Uint8Array
  node: number
  onSpans: (spanIds: readonly string[]) => void
}) {
  const steps: number[] = []
  for (let one = node; one >= 0; one = model.parent[one]!) {
    if (model.isPlaceholder(one)) continue
    const below = steps.at(-1)
    if (below !== undefined && model.service[below] === model.service[one]) steps.pop()
    steps.push(one)
  }
  const path = steps.toReversed()
  const left = Math.max(0, path.length - MOST_STEPS)
  const shown = left === 0 ? path : [...path.slice(0, 2), ...path.slice(2 + left)]
  return (
    <ol className="panel-path" aria-label="From the root to the failure">
      {shown.map((step, index) => (
        <li key={step}>
          {index > 0 ? <span aria-hidden="true">›</span> : null}
          {left > 0 && index === 2 ? (
            <span className="muted">{plural(left, 'service')} between ›</span>
          ) : null}
          <button type="button" className="panel-step" onClick={() => onSpans([model.spanId(step)])}>
            <ServiceChip colour={colours[model.service[step]!] ?? 0} />
            {shortenedName(model.serviceLabel(step), MOST_NAME)}
          </button>
        </li>
      ))}
    </ol>
  )
}
