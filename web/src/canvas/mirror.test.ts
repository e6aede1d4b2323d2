// @vitest-environment happy-dom
import { expect, it } from 'vitest'
import { Groups } from '../model/groups'
import { Roles } from '../model/roles'
import { threadOf } from '../model/thread'
import { TraceModel } from '../model/trace'
import { idOfRow, skeletonOf } from '../model/traces.fixture'
import { geometryFor } from './layout'
import { Mirror } from './mirror'
import type { Scene } from './painter'

const model = new TraceModel(
  skeletonOf([
    {
      service: 'gateway',
      name: 'POST /pay',
      start: 0,
      duration: 1000,
      children: Array.from({ length: 200 }, (_, at) => ({
        service: 'db',
        name: `SELECT ${at}`,
        start: at * 4,
        duration: 3,
      })),
    },
  ]),
)

const geometry = geometryFor(1100, 240, 1440)

function scene(patch: Partial<Scene> = {}): Scene {
  return {
    model,
    rows: Int32Array.from({ length: model.count }, (_, node) => node),
    closed: new Uint8Array(model.count),
    groups: new Groups(model),
    folded: new Uint8Array(model.count),
    tints: new Uint8Array(model.count),
    colourWords: () => null,
    selected: -1,
    window: { from: 0, to: model.length },
    matches: null,
    roles: new Roles(model, null),
    thread: threadOf(model, [], new Int32Array(0), () => -1),
    events: [],
    missingReason: '',
    ...patch,
  }
}

function rowsOf(mirror: Mirror): Element[] {
  return [...mirror.element.querySelectorAll('[role=row][aria-level]')]
}

it('holds the visible rows only, each with level, index and sentence', () => {
  const mirror = new Mirror()
  mirror.refresh(scene(), geometry, 0)
  const rows = rowsOf(mirror)
  expect(rows).toHaveLength(10)
  expect(mirror.element.getAttribute('aria-rowcount')).toBe('202')
  expect(rows[0]!.getAttribute('aria-expanded')).toBe('true')
  expect(rows[1]!.getAttribute('aria-level')).toBe('2')
  expect(rows[1]!.getAttribute('aria-rowindex')).toBe('3')
  expect(rows[1]!.getAttribute('aria-label')).toBe(
    'db, SELECT 0, 3 nanoseconds, less than 1 percent of the trace',
  )
})

it('points at the selected row while it is visible', () => {
  const mirror = new Mirror()
  mirror.refresh(scene({ selected: 3 }), geometry, 0)
  const active = mirror.element.getAttribute('aria-activedescendant')
  expect(mirror.element.querySelector(`#${active}`)?.getAttribute('aria-selected')).toBe('true')
  mirror.refresh(scene({ selected: 3 }), geometry, 2400)
  expect(mirror.element.hasAttribute('aria-activedescendant')).toBe(false)
})

it('says that a closed row is closed', () => {
  const mirror = new Mirror()
  mirror.refresh(scene({ rows: Int32Array.from([0]), closed: Uint8Array.from([1]) }), geometry, 0)
  expect(rowsOf(mirror)[0]!.getAttribute('aria-expanded')).toBe('false')
  expect(model.spanId(0)).toBe(idOfRow(0))
})

it('says what the colour of a row stands for where its name does not', () => {
  const mirror = new Mirror()
  mirror.refresh(scene({ colourWords: (node) => (node === 1 ? 'bank = north' : null) }), geometry, 0)
  const labels = rowsOf(mirror).map((row) => row.getAttribute('aria-label'))
  expect(labels[1]).toMatch(/, bank = north$/)
  expect(labels[2]).not.toContain('bank')
})
