/** A call of a language model in words: model, tokens, and what was said. */
import type { GenAiCall } from '../model/genai'
import { formatCount } from '../model/format'
import { CopyButton } from './CopyButton'
import { Value } from './Value'

function tokens(text: string): string {
  const number = Number(text)
  return text === '' || Number.isNaN(number) ? text || '–' : formatCount(number)
}

export function GenAiSection({ call }: { call: GenAiCall }) {
  const { operation, model, answeredBy, provider, inputTokens, outputTokens, finish, messages } = call
  const title = [operation, model].filter(Boolean).join(' ')
  return (
    <section aria-label="Model call">
      <h3>{title === '' ? 'Model call' : title}</h3>
      <p className="muted">
        {[
          provider,
          answeredBy === '' ? '' : `answered by ${answeredBy}`,
          inputTokens === '' && outputTokens === ''
            ? ''
            : `${tokens(inputTokens)} tokens in, ${tokens(outputTokens)} out`,
          finish === '' ? '' : `ended: ${finish}`,
        ]
          .filter(Boolean)
          .join(' · ')}
      </p>
      <ol className="messages" aria-label="Messages">
        {messages.map((message, index) => (
          // Messages may be equal: their place is what tells them apart.
          // oxlint-disable-next-line react/no-array-index-key
          <li key={index} data-role={message.role}>
            <div className="section-head">
              <b>{message.role}</b>
              <CopyButton compact text={message.text} name={`Copy the message of ${message.role}`} />
            </div>
            <Value text={message.text} />
          </li>
        ))}
      </ol>
    </section>
  )
}
