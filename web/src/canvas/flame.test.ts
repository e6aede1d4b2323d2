import { expect, it } from 'vitest'
import { mergedTree } from '../model/merged'
import { TraceModel } from '../model/trace'
import { randomSkeleton } from '../model/traces.fixture'
import { flameBoxes } from './flame'

it('lays every box inside its parent and no two siblings over each other', () => {
  for (let seed = 1; seed < 20; seed++) {
    const tree = mergedTree(new TraceModel(randomSkeleton(seed, 120)))
    const { left, width } = flameBoxes(tree)
    const near = 1e-9
    for (let entry = 0; entry < tree.count; entry++) {
      const parent = tree.parent[entry]!
      const [from, to] = parent < 0 ? [0, 1] : [left[parent]!, left[parent]! + width[parent]!]
      expect(left[entry]!).toBeGreaterThanOrEqual(from - near)
      expect(left[entry]! + width[entry]!).toBeLessThanOrEqual(to + near)
      for (let other = 0; other < entry; other++) {
        if (tree.parent[other] !== parent) continue
        const apart =
          left[other]! + width[other]! <= left[entry]! + near ||
          left[entry]! + width[entry]! <= left[other]! + near
        expect(apart).toBe(true)
      }
    }
  }
})
