import { expect, it } from 'vitest'
import { rowSentence } from './sentence'
import { TraceModel } from './trace'
import { skeletonOf } from './traces.fixture'

const model = new TraceModel(
  skeletonOf([
    {
      service: 'gateway',
      name: 'POST /pay',
      start: 0,
      duration: 2.31e9,
      flags: 1,
      children: [
        { service: 'payment', name: 'POST /charge', start: 1e8, duration: 2.01e9, flags: 3 },
        { service: 'audit', name: 'publish', start: 2.305e9, duration: 3e7, flags: 16 },
      ],
    },
    { service: 'mail', name: 'send', start: 2.3e9, duration: 1e6, missingParent: '00f067aa0ba902b7' },
  ]),
)

it('is a full sentence', () => {
  expect(rowSentence(model, 1, 0)).toBe(
    'payment, POST /charge, failed, 2.01 seconds, 86 percent of the trace',
  )
})

it('says where a failure came from and what is hidden', () => {
  expect(rowSentence(model, 0, 1)).toBe(
    'gateway, POST /pay, failed, passed on from below, 2.31 seconds, 99 percent of the trace, 1 failed span hidden below',
  )
})

it('names marks and missing parents', () => {
  expect(rowSentence(model, 2, 0)).toBe(
    'audit, publish, 30.0 milliseconds, 1 percent of the trace, ends 25.0 ms after its parent',
  )
  expect(rowSentence(model, 3, 0)).toBe('parent span 00f067aa0ba902b7 not received, 1 span below it')
})
