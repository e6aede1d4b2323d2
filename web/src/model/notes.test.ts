import { expect, it } from 'vitest'
import { FLAG } from '../api/flags'
import { hasNotes, notesOf } from './notes'
import { rowSentence } from './sentence'
import { TraceModel } from './trace'
import { skeletonOf, type DrawnSpan } from './traces.fixture'

const MS = 1e6
const S = 1e9

/** The notes of a child of a root that runs from 5 s to 6 s. */
function notesOfChild(start: number, duration: number, flags: number): string[] {
  const child: DrawnSpan = { service: 'b', name: 'child', start, duration, flags }
  const root = { service: 'a', name: 'root', start: 5 * S, duration: 1 * S, children: [child] }
  return notesOf(new TraceModel(skeletonOf([root])), 1)
}

it('a span outside its parent says by how much, at each side', () => {
  expect(notesOfChild(2 * S, 100 * MS, FLAG.outside)).toEqual(['3.00 s before its parent'])
  expect(notesOfChild(5.5 * S, 700 * MS, FLAG.outside)).toEqual(['ends 200 ms after its parent'])
  expect(notesOfChild(6.5 * S, 700 * MS, FLAG.outside)).toEqual(['begins 500 ms after its parent ended'])
  expect(notesOfChild(4 * S, 3 * S, FLAG.outside)).toEqual([
    '1.00 s before its parent',
    'ends 1.00 s after its parent',
  ])
})

it('a side within the noise of clocks is not named', () => {
  expect(notesOfChild(5 * S - 2 * MS, 1.1 * S, FLAG.outside)).toEqual(['ends 98.0 ms after its parent'])
})

it('a span that ends before it begins says by how much', () => {
  expect(notesOfChild(5.5 * S, -200 * MS, FLAG.outside)).toEqual(['ends 200 ms before it begins'])
  const model = new TraceModel(skeletonOf([{ service: 'a', name: 'r', start: 0, duration: -200 * MS }]))
  expect(model.sentDuration(0)).toBe(-200 * MS)
  expect(model.duration[0]).toBe(0)
  expect(rowSentence(model, 0, 0)).toContain('minus 200 milliseconds')
})

it('an ordinary span has none', () => {
  expect(notesOfChild(5.2 * S, 100 * MS, 0)).toEqual([])
  const model = new TraceModel(
    skeletonOf([{ service: 'a', name: 'r', start: 0, duration: 5, flags: FLAG.failed }]),
  )
  expect(hasNotes(model, 0)).toBe(false)
})

it('adjusted times and shared ids are said', () => {
  expect(notesOfChild(5 * S, MS, FLAG.adjusted | FLAG.duplicate)).toEqual([
    'no usable start time: placed at its arrival',
    'another span has this id',
  ])
})

it('a message that is handled after it was sent is as it should be, one that is handled before is not', () => {
  const noted = (start: number) => {
    const child: DrawnSpan = { service: 'b', name: 'process', start, duration: MS, flags: FLAG.outside }
    const root = { service: 'a', name: 'send', start: 5 * S, duration: 10 * MS, children: [child] }
    const skeleton = skeletonOf([root])
    skeleton.kind[1] = 5
    const model = new TraceModel(skeleton)
    return [hasNotes(model, 1), notesOf(model, 1)]
  }
  expect(noted(9 * S)).toEqual([false, []])
  expect(noted(4 * S)).toEqual([true, ['1.00 s before its parent']])
})
