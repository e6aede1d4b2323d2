import { expect, it } from 'vitest'
import { TraceModel } from '../model/trace'
import { skeletonOf } from '../model/traces.fixture'
import { densityOf } from './density'

const children = Array.from({ length: 50_000 }, (_, at) => ({
  service: 'db',
  name: 'SELECT',
  start: at * 1000,
  duration: at < 25_000 ? 900 : 100,
}))
const model = new TraceModel(skeletonOf([{ service: 'a', name: 'root', start: 0, duration: 5e7, children }]))

it('fifty thousand siblings, each far below a pixel, fill the pixels they cover', () => {
  const width = 500
  const perNs = width / model.length
  const { covered, sample } = densityOf(model, 0.25 / perNs, perNs, width, 2, () => false)
  for (let pixel = 0; pixel < width; pixel++) {
    expect(sample[pixel]).toBe(-1)
    expect(sample[width + pixel]).toBeGreaterThan(0)
    expect(covered[width + pixel]).toBeCloseTo(pixel < 250 ? 0.9 : 0.1, 2)
  }
})

it('spans that are drawn one by one, and those to skip, are not in it', () => {
  const { sample } = densityOf(model, 500, 1e-5, 500, 2, (node) => node > 40_000)
  expect(sample.slice(500, 750).every((node) => node === -1)).toBe(true)
  expect(sample[500 + 300]).toBeGreaterThan(0)
  expect(sample[500 + 450]).toBe(-1)
})
