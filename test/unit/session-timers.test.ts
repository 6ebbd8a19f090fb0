/** Which timers run, and when none does. */
import { describe, expect, test } from 'vitest'
import type { Clock } from '../../src/base/clock.ts'
import { realClock } from '../../src/base/clock.ts'
import { SessionTimers } from '../../src/router/session-timers.ts'
import type { TimeoutName, Timeouts } from '../../src/shard/timeouts.ts'
import { noTimeouts, withTimeout } from '../../src/shard/timeouts.ts'

const limitsOf = (limits: Partial<Record<TimeoutName, number>>) =>
  Object.entries(limits).reduce((timeouts: Timeouts, [name, ms]) => withTimeout(timeouts, name as TimeoutName, { ms, text: String(ms) }), noTimeouts)

function timersWith(limits: Partial<Record<TimeoutName, number>>) {
  const running = new Map<number, () => void>()
  const told: unknown[] = []
  const after = (ms: number, fn: () => void) => {
    running.set(ms, fn)
    return () => void running.delete(ms)
  }
  const clock: Clock = { ...realClock, after }
  const session = { timeouts: limitsOf(limits), cancel: (reason: string) => told.push(reason), terminate: ({ code }: { code: string }) => told.push(code) }
  return { session, timers: new SessionTimers(session, clock), running, told, times: () => [...running.keys()] }
}

describe('session timers', () => {
  test('none without limits', () => {
    const { timers, times } = timersWith({})
    timers.begin()
    expect(times()).toEqual([])
    timers.ready(true)
    expect(times()).toEqual([])
  })

  test('a statement has its time up to its end, and the transaction up to its own', () => {
    const { timers, times, running, told } = timersWith({ statement_timeout: 5, transaction_timeout: 7 })
    timers.begin()
    expect(times()).toEqual([5, 7])
    running.get(5)?.()
    running.get(7)?.()
    expect(told).toEqual(['canceling statement due to statement timeout', '25P04'])
    timers.statementEnds()
    expect(times()).toEqual([7])
    timers.ready(true)
    expect(times()).toEqual([7])
    timers.begin()
    expect(times()).toEqual([7, 5])
    timers.ready(false)
    expect(times()).toEqual([])
  })

  test('the message that comes ends the wait for it', () => {
    const { timers, times, running, told } = timersWith({ idle_session_timeout: 3, idle_in_transaction_session_timeout: 4 })
    timers.ready(false)
    expect(times()).toEqual([3])
    running.get(3)?.()
    timers.begin()
    expect(times()).toEqual([])
    timers.ready(true)
    expect(times()).toEqual([4])
    running.get(4)?.()
    expect(told).toEqual(['57P05', '25P03'])
    timers.close()
    expect(times()).toEqual([])
  })

  test('a transaction that ends no later than its idle time has one timer', () => {
    const { timers, times } = timersWith({ transaction_timeout: 4, idle_in_transaction_session_timeout: 4 })
    timers.ready(true)
    expect(times()).toEqual([4])
    const longer = timersWith({ transaction_timeout: 5, idle_in_transaction_session_timeout: 4 })
    longer.timers.ready(true)
    expect(longer.times()).toEqual([5, 4])
  })

  test('a limit that is set inside a transaction begins then, and one that is taken away ends', () => {
    const { session, timers, times } = timersWith({})
    timers.begin()
    session.timeouts = limitsOf({ transaction_timeout: 9 })
    timers.changed()
    expect(times()).toEqual([9])
    session.timeouts = noTimeouts
    timers.changed()
    expect(times()).toEqual([])
  })
})
