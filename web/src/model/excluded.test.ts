import { expect, test } from 'vitest'
import type { Excluded } from '../api/types'
import { respelled, withoutCondition } from './excluded'

function excluded(
  q: string,
  condition: string,
  nearest: string | null,
  what: Excluded['nearest_is'] = 'value',
): Excluded {
  return {
    condition,
    position: Array.from(q.slice(0, q.indexOf(condition))).length,
    matched_without: 3,
    nearest,
    nearest_is: nearest === null ? null : what,
  }
}

test.each([
  ['service=Shop', 'service=Shop', 'shop', 'value', 'service=shop', 'service=shop'],
  [
    'status=error service=Shop dur>1s',
    'service=Shop',
    'my shop',
    'value',
    'service="my shop"',
    'status=error service="my shop" dur>1s',
  ],
  ['name="😀 x" service=Shop', 'service=Shop', 'shop', 'value', 'service=shop', 'name="😀 x" service=shop'],
  [
    '{service=Shop status=error}',
    'service=Shop',
    'shop',
    'value',
    'service=shop',
    '{service=shop status=error}',
  ],
  ['pament', 'pament', 'payment', 'value', 'payment', 'payment'],
  ['http.rout=/pay', 'http.rout=/pay', 'http.route', 'key', 'http.route=/pay', 'http.route=/pay'],
  ['event.typ=x', 'event.typ=x', 'event.type', 'key', 'event.type=x', 'event.type=x'],
  ['"two wrds"=v', '"two wrds"=v', '"two words"', 'key', '"two words"=v', '"two words"=v'],
  [
    'exact(http.rout) = "/a b"',
    'exact(http.rout) = "/a b"',
    'http.route',
    'key',
    'exact(http.route) = "/a b"',
    'exact(http.route) = "/a b"',
  ],
] as const)('%s is respelled', (q, condition, nearest, what, better, whole) => {
  expect(respelled(q, excluded(q, condition, nearest, what))).toEqual({ condition: better, q: whole })
})

test('nothing is respelled that is not spelled wrongly, or has several values', () => {
  expect(respelled('service=shop', excluded('service=shop', 'service=shop', null))).toBeNull()
  const several = 'service in (Shop, Bank)'
  expect(respelled(several, excluded(several, several, 'shop'))).toBeNull()
})

test('a condition is left out where it stands alone', () => {
  const q = 'status=error and service=Shop'
  expect(withoutCondition(q, excluded(q, 'service=Shop', null))).toBe('status=error')
  expect(withoutCondition('dur>1s not name=b', excluded('dur>1s not name=b', 'not name=b', null))).toBe(
    'dur>1s',
  )
  const related = '{service=db} >> {status=error}'
  expect(withoutCondition(related, excluded(related, related, null))).toBe('')
  const braces = '{service=Shop status=error}'
  expect(withoutCondition(braces, excluded(braces, 'service=Shop', null))).toBeNull()
  expect(withoutCondition('other', { ...excluded(q, 'service=Shop', null) })).toBeNull()
})
