import { expect, it } from 'vitest'
import { FLAG } from '../api/flags'
import { Roles } from './roles'
import { rowSentence } from './sentence'
import { TraceModel } from './trace'
import { idOfRow, skeletonOf } from './traces.fixture'

const model = new TraceModel(
  skeletonOf([
    {
      service: 'shop',
      name: 'POST /pay',
      start: 0,
      duration: 100,
      children: [
        { service: 'bank', name: 'try 1', start: 0, duration: 10, flags: FLAG.failed | FLAG.origin },
        { service: 'bank', name: 'try 2', start: 20, duration: 10 },
      ],
    },
  ]),
)

it('a handled failure is not the cause, once the server has said so', () => {
  const marked = new Roles(model, null)
  expect([0, 1, 2].map((node) => marked.of(node))).toEqual([null, 'origin', null])
  const explained = new Roles(model, {
    origin: [],
    failures: [{ span_id: idOfRow(1), role: 'handled' }],
  })
  expect([0, 1, 2].map((node) => explained.of(node))).toEqual([null, 'handled', null])
  expect(rowSentence(model, 1, 0, explained.of(1))).toContain('try 1, failed, handled')
})

it('a failure that came too late for its caller is neither the cause nor passed on', () => {
  const explained = new Roles(model, {
    origin: [],
    failures: [{ span_id: idOfRow(1), role: 'abandoned' }],
  })
  expect(explained.of(1)).toBe('late')
  expect(rowSentence(model, 1, 0, explained.of(1))).toContain('try 1, failed, too late for its caller')
})

it('a failure that the explanation does not name is none of its causes', () => {
  expect(new Roles(model, { origin: [], failures: [] }).of(1)).toBe('passed')
  expect(new Roles(model, { origin: [idOfRow(1)], failures: [] }).of(1)).toBe('origin')
})

it('a failure that the rows mark as handled is not drawn as the cause before the explanation comes', () => {
  const flags = FLAG.failed | FLAG.origin | FLAG.handled
  const marked = new TraceModel(
    skeletonOf([
      {
        service: 'shop',
        name: 'POST /pay',
        start: 0,
        duration: 100,
        children: [{ service: 'bank', name: 'try 1', start: 0, duration: 10, flags }],
      },
    ]),
  )
  expect(new Roles(marked, null).of(1)).toBe('handled')
  expect([...marked.origins]).toEqual([])
  expect(marked.isOrigin(1)).toBe(false)
})
