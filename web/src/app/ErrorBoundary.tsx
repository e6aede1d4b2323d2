/** Keeps a crash inside the view it happened in, with details to copy. */
import { Component, type ReactNode } from 'react'
import { CopyButton } from '../parts/CopyButton'

interface Props {
  /** What broke, as the reader calls it. */
  name: string
  /** A new value gives the view another try. */
  resetKey?: string
  children: ReactNode
}

interface State {
  error: Error | null
  resetKey: string | undefined
}

export class ErrorBoundary extends Component<Props, State> {
  override state: State = { error: null, resetKey: this.props.resetKey }

  static getDerivedStateFromError(error: unknown): Partial<State> {
    return { error: error instanceof Error ? error : new Error(String(error)) }
  }

  static getDerivedStateFromProps(props: Props, state: State): Partial<State> | null {
    return props.resetKey === state.resetKey ? null : { error: null, resetKey: props.resetKey }
  }

  override render(): ReactNode {
    const { error } = this.state
    if (error === null) return this.props.children
    return (
      <section className="notice notice-error" aria-label={`${this.props.name} broke`}>
        <p>
          <strong>{this.props.name} broke.</strong> The rest of the page still works.
        </p>
        <pre className="code">{error.message}</pre>
        <div className="notice-actions">
          <button type="button" className="button" onClick={() => this.setState({ error: null })}>
            Try again
          </button>
          <CopyButton text={`${error.message}\n${error.stack ?? ''}`} label="Copy details" />
        </div>
      </section>
    )
  }
}
