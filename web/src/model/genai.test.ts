import { expect, it } from 'vitest'
import type { Span } from '../api/otlp'
import { genAiCall } from './genai'

function spanWith(attributes: Record<string, string | number>, events: Span['events'] = []): Span {
  return {
    traceId: '',
    spanId: '',
    attributes: Object.entries(attributes).map(([key, value]) => ({
      key,
      value: typeof value === 'number' ? { intValue: value } : { stringValue: value },
    })),
    events,
  }
}

it('reads model, tokens and messages of a chat, with the calls of tools', () => {
  const call = genAiCall(
    spanWith({
      'gen_ai.operation.name': 'chat',
      'gen_ai.provider.name': 'openai',
      'gen_ai.request.model': 'gpt-5',
      'gen_ai.response.model': 'gpt-5-2026',
      'gen_ai.usage.input_tokens': 812,
      'gen_ai.usage.output_tokens': 96,
      'gen_ai.system_instructions': JSON.stringify([{ type: 'text', content: 'You are terse.' }]),
      'gen_ai.input.messages': JSON.stringify([
        { role: 'user', parts: [{ type: 'text', content: 'What is clew?' }] },
      ]),
      'gen_ai.output.messages': JSON.stringify([
        {
          role: 'assistant',
          parts: [
            { type: 'text', content: 'A ball of thread.' },
            { type: 'tool_call', name: 'search', arguments: { q: 'clew' } },
          ],
        },
      ]),
    }),
  )!
  expect(call).toMatchObject({
    model: 'gpt-5',
    answeredBy: 'gpt-5-2026',
    inputTokens: '812',
    outputTokens: '96',
  })
  expect(call.messages).toEqual([
    { role: 'system', text: 'You are terse.' },
    { role: 'user', text: 'What is clew?' },
    { role: 'assistant', text: 'A ball of thread.\nsearch({"q":"clew"})' },
  ])
})

it('reads the older attributes, and messages in events', () => {
  const old = genAiCall(
    spanWith({ 'gen_ai.system': 'anthropic', 'gen_ai.prompt': 'Hello', 'gen_ai.completion': 'Hi' }),
  )!
  expect(old.provider).toBe('anthropic')
  expect(old.messages.map(({ text }) => text)).toEqual(['Hello', 'Hi'])
  const spoken = genAiCall(
    spanWith({ 'gen_ai.request.model': 'm' }, [
      { name: 'gen_ai.user.message', attributes: [{ key: 'content', value: { stringValue: 'Hello' } }] },
      {
        name: 'gen_ai.choice',
        attributes: [{ key: 'message', value: { stringValue: '{"role":"assistant","content":"Hi"}' } }],
      },
    ]),
  )!
  expect(spoken.messages).toEqual([
    { role: 'user', text: 'Hello' },
    { role: 'assistant', text: 'Hi' },
  ])
})

it('is not fooled by other spans or broken JSON', () => {
  expect(genAiCall(spanWith({ 'http.route': '/' }))).toBeNull()
  expect(genAiCall(spanWith({ 'gen_ai.input.messages': '[{' }))!.messages).toEqual([
    { role: 'user', text: '[{' },
  ])
})
