/** What a call of a language model says in `gen_ai.*` attributes and events, in OpenTelemetry's present and older forms. */
import type { KeyValue, Span } from '../api/otlp'
import { plainValue, valueText } from './otlp'

export interface GenAiMessage {
  /** `system`, `user`, `assistant`, `tool`, … */
  role: string
  text: string
}

export interface GenAiCall {
  operation: string
  /** What was asked for, and what answered where it differs. */
  model: string
  answeredBy: string
  provider: string
  inputTokens: string
  outputTokens: string
  finish: string
  messages: GenAiMessage[]
}

const PROMPT_KEYS = ['gen_ai.system_instructions', 'gen_ai.input.messages', 'gen_ai.prompt']
const ANSWER_KEYS = ['gen_ai.output.messages', 'gen_ai.completion']
const EVENT_ROLE = /^gen_ai\.(system|user|assistant|tool)\.message$/

/** Whether an attribute is told as messages already. */
export function isMessageKey(key: string): boolean {
  return PROMPT_KEYS.includes(key) || ANSWER_KEYS.includes(key)
}

/** The call that a span is, or null for any other span. */
export function genAiCall(span: Span): GenAiCall | null {
  const attributes = span.attributes ?? []
  if (!attributes.some(({ key }) => key.startsWith('gen_ai.'))) return null
  const text = (...keys: string[]) => {
    for (const key of keys) {
      const found = valueText(attributes.find((one) => one.key === key)?.value)
      if (found !== '') return found
    }
    return ''
  }
  const asked = text('gen_ai.request.model')
  const answered = text('gen_ai.response.model')
  return {
    operation: text('gen_ai.operation.name'),
    model: asked || answered,
    answeredBy: answered === asked ? '' : answered,
    provider: text('gen_ai.provider.name', 'gen_ai.system'),
    inputTokens: text('gen_ai.usage.input_tokens', 'gen_ai.usage.prompt_tokens'),
    outputTokens: text('gen_ai.usage.output_tokens', 'gen_ai.usage.completion_tokens'),
    finish: listText(plainOf(attributes, 'gen_ai.response.finish_reasons')),
    messages: messagesOf(span),
  }
}

function messagesOf(span: Span): GenAiMessage[] {
  const groups = [span.attributes ?? [], ...(span.events ?? []).map((event) => event.attributes ?? [])]
  const asked = groups.flatMap((one) =>
    PROMPT_KEYS.flatMap((key) => readMessages(plainOf(one, key), roleOf(key))),
  )
  const answered = groups.flatMap((one) =>
    ANSWER_KEYS.flatMap((key) => readMessages(plainOf(one, key), 'assistant')),
  )
  const spoken = (span.events ?? []).flatMap((event) => {
    const role =
      EVENT_ROLE.exec(event.name ?? '')?.[1] ?? (event.name === 'gen_ai.choice' ? 'assistant' : null)
    return role === null ? [] : readMessages(plainOf(event.attributes ?? [], 'content', 'message'), role)
  })
  return [...asked, ...spoken, ...answered]
}

function roleOf(key: string): string {
  return key === 'gen_ai.system_instructions' ? 'system' : 'user'
}

/** The value of the first key that is there; text that holds JSON is read. */
function plainOf(attributes: readonly KeyValue[], ...keys: string[]): unknown {
  const found = keys.map((key) => attributes.find((one) => one.key === key)).find((one) => one !== undefined)
  const value = plainValue(found?.value)
  if (typeof value !== 'string' || !/^\s*[[{]/.test(value)) return value
  try {
    return JSON.parse(value)
  } catch {
    return value
  }
}

function readMessages(value: unknown, role: string): GenAiMessage[] {
  if (value === null || value === undefined || value === '') return []
  if (typeof value !== 'object') return [{ role, text: String(value) }]
  const all = Array.isArray(value) ? value : [value]
  if (all.every(isPart)) return [{ role, text: contentText(all) }]
  return all.map((one) => ({
    role: isRecord(one) && typeof one['role'] === 'string' ? one['role'] : role,
    text: contentText(one),
  }))
}

/** A part of a message, which stands without a role of its own. */
function isPart(value: unknown): boolean {
  return isRecord(value) && value['role'] === undefined
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** The text of a message, of its parts, of a tool's call or answer; anything else as JSON. */
function contentText(value: unknown): string {
  if (value === null || value === undefined) return ''
  if (typeof value !== 'object') return String(value)
  if (Array.isArray(value)) return value.map(contentText).filter(Boolean).join('\n')
  const message = value as Record<string, unknown>
  const inner = message['parts'] ?? message['content'] ?? message['text'] ?? message['message']
  const calls = message['tool_calls']
  if (message['type'] === 'tool_call') {
    return `${String(message['name'] ?? 'tool')}(${jsonText(message['arguments'])})`
  }
  if (message['type'] === 'tool_call_response') return jsonText(message['response'] ?? message['result'])
  if (isRecord(message['function'])) {
    return `${String(message['function']['name'] ?? 'tool')}(${jsonText(message['function']['arguments'])})`
  }
  const text = [inner, calls].map(contentText).filter(Boolean).join('\n')
  return text === '' && inner === undefined && calls === undefined ? jsonText(message) : text
}

function jsonText(value: unknown): string {
  if (value === undefined) return ''
  return typeof value === 'string' ? value : JSON.stringify(value)
}

function listText(value: unknown): string {
  if (value === null || value === undefined) return ''
  return Array.isArray(value) ? value.map(String).join(', ') : String(value)
}
