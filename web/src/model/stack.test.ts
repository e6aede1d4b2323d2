import { describe, expect, it } from 'vitest'
import { frameRuns, isOwnFile, parseStack, shortFile } from './stack'

const STACK = `Traceback (most recent call last):
  File "/srv/app/payment/charge.py", line 41, in charge
    return await client.post_charge(order)
           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "/srv/app/.venv/lib/python3.12/site-packages/httpx/_client.py", line 1859, in post
    return await self.request(
  File "/usr/lib/python3.12/asyncio/timeouts.py", line 115, in __aexit__
    raise TimeoutError from exc_val
TimeoutError: no answer from bank
`

describe('a stack trace', () => {
  it('has the raising call first, and tells the application from its libraries', () => {
    const [part] = parseStack(STACK)!
    expect(part!.title).toBe('TimeoutError: no answer from bank')
    expect(part!.frames.map((frame) => [shortFile(frame.file), frame.line, frame.isOwn])).toEqual([
      ['asyncio/timeouts.py', '115', false],
      ['httpx/_client.py', '1859', false],
      ['payment/charge.py', '41', true],
    ])
    expect(part!.frames[2]!.code).toBe('return await client.post_charge(order)')
    expect(frameRuns(part!.frames).map((run) => [run.isOwn, run.frames.length])).toEqual([
      [false, 2],
      [true, 1],
    ])
  })

  it('of an exception with a cause has the last raised first, and says how they follow', () => {
    const both = `${STACK}
The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "/srv/app/pay.py", line 3, in pay
    raise PaymentFailed("bank") from error
pay.PaymentFailed: bank
`
    const parts = parseStack(both)!
    expect(parts.map((part) => part.title)).toEqual([
      'pay.PaymentFailed: bank',
      'TimeoutError: no answer from bank',
    ])
    expect(parts[0]!.reason).toContain('direct cause')
  })

  it('keeps a message of several lines', () => {
    const [part] = parseStack('  File "a.py", line 1, in f\n    g()\nValueError: first\n    second\n')!
    expect(part!.title).toBe('ValueError: first\n    second')
  })

  it('without frames is no stack trace', () => {
    expect(parseStack('at com.example.Main(Main.java:3)')).toBeNull()
    expect(parseStack('')).toBeNull()
  })
})

it('knows the files that are not of the application', () => {
  for (const file of [
    '/usr/lib/python3/dist-packages/x.py',
    '/opt/venv/lib64/python3.13/asyncio/base_events.py',
    '<frozen importlib._bootstrap>',
    '/home/me/clew/src/clew/httpx.py',
    'C:\\venv\\Lib\\site-packages\\x.py',
  ]) {
    expect(isOwnFile(file), file).toBe(false)
  }
  for (const file of ['/srv/app/main.py', 'main.py', '/srv/clewless/clew.py', '/srv/library/python.py']) {
    expect(isOwnFile(file), file).toBe(true)
  }
})
