/** The two panels above the waterfall. They never hold it up: they stand in their place while the server thinks. */
import type { Explanation } from '../api/types'
import type { Origin } from '../model/explanation'
import type { TraceModel } from '../model/trace'
import { ErrorBoundary } from '../app/ErrorBoundary'
import { FailurePanel } from './FailurePanel'
import { Icon } from './icons'
import { SlownessPanel } from './SlownessPanel'

export interface ExplanationState {
  /** Null while it is asked for, when it failed, and from a server that explains nothing. */
  value: Explanation | null
  isLoading: boolean
  error: Error | null
  onRetry: () => void
}

interface Props {
  explanation: ExplanationState
  model: TraceModel
  colours: Uint8Array
  origins: readonly Origin[]
  /** Index of the origin that is shown. */
  at: number
  onOrigin: (by: 1 | -1) => void
  onCritical: (by: 1 | -1) => void
  onSpans: (spanIds: readonly string[]) => void
  /** Whether each panel has one line, because what it would say was not known when the rows were shown. */
  isInLine: boolean
  /** Whether the panel below the other one has one line. */
  isSecondInLine: boolean
  /** Gives the panels the room that they want. */
  onOpen: () => void
}

export function VerdictPanels(props: Props) {
  const { explanation, model, colours, origins, at, onOrigin, onCritical, onSpans, onOpen } = props
  const { isInLine, isSecondInLine } = props
  const { value, isLoading, error } = explanation
  // A server without explanations has no panels at all.
  if (value === null && !isLoading && error === null) return null
  return (
    <div className="panels" aria-busy={isLoading}>
      <ErrorBoundary name="Where it failed" resetKey={value?.etag ?? ''}>
        <FailurePanel
          explanation={value}
          model={model}
          colours={colours}
          origins={origins}
          at={at}
          onStep={onOrigin}
          onSpans={onSpans}
          isInLine={isInLine}
          onOpen={onOpen}
        />
      </ErrorBoundary>
      {value !== null ? (
        <ErrorBoundary name="Why it was slow" resetKey={value.etag}>
          <SlownessPanel
            explanation={value}
            model={model}
            colours={colours}
            onSpans={onSpans}
            onStep={onCritical}
            isInLine={isInLine || isSecondInLine}
            onOpen={onOpen}
          />
        </ErrorBoundary>
      ) : (
        <section className="panel panel-line" aria-label="Why it was slow">
          {error === null ? (
            <p className="muted">Working out where the time went…</p>
          ) : (
            <>
              <Icon name="warning" />
              <p>The trace could not be explained: {error.message}</p>
              <button type="button" className="button button-small" onClick={explanation.onRetry}>
                Retry
              </button>
            </>
          )}
        </section>
      )}
    </div>
  )
}
