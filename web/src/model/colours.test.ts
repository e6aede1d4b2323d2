import { expect, it } from 'vitest'
import { serviceColours } from './colours'
import { TraceModel } from './trace'
import { skeletonOf } from './traces.fixture'

it('gives colours to the eight services with most self time, by name on ties', () => {
  const services = ['i', 'h', 'g', 'f', 'e', 'd', 'c', 'b', 'a']
  const model = new TraceModel(
    skeletonOf(
      services.map((service, at) => ({
        service,
        name: 'n',
        start: at * 10,
        duration: service === 'h' ? 9 : 5,
      })),
    ),
  )
  const colours = serviceColours(model)
  const byName = Object.fromEntries(model.skeleton.services.map((name, at) => [name, colours[at]]))
  expect(byName).toEqual({ h: 1, a: 2, b: 3, c: 4, d: 5, e: 6, f: 7, g: 8, i: 0 })
})
