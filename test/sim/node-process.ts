/** A router's process: it can be killed at any event, sleep for a while (SIGSTOP), and have a clock that jumps. */
import type { Clock } from '../../src/base/clock.ts'
import type { Scheduler } from './scheduler.ts'

export class SimProcess {
  readonly name: string
  isAlive = true
  isAsleep = false
  /** When it last woke up: what its timers would have said while it slept they say now. */
  wokeAt = -1
  clockOffsetMs = 0
  readonly clock: Clock
  private readonly scheduler: Scheduler
  private backlog: (() => void)[] = []
  private readonly onEnd: (() => void)[] = []

  constructor(name: string, scheduler: Scheduler) {
    this.name = name
    this.scheduler = scheduler
    this.clock = this.makeClock()
  }

  /** What reaches the process: at once, when it wakes up, or never. */
  deliver(act: () => void): void {
    if (!this.isAlive) return
    if (this.isAsleep) this.backlog.push(act)
    else act()
  }

  whenEnded(act: () => void): void {
    this.onEnd.push(act)
  }

  kill(): void {
    this.isAlive = false
    this.backlog = []
    for (const act of this.onEnd.splice(0)) act()
  }

  sleep(): void {
    this.isAsleep = true
  }

  wake(): void {
    if (!this.isAsleep) return
    this.isAsleep = false
    this.wokeAt = this.scheduler.now
    for (const act of this.backlog.splice(0)) act()
  }

  private makeClock(): Clock {
    const { scheduler } = this
    const after = (ms: number, fn: () => void) => {
      let isOff = false
      scheduler.after(ms, () => this.deliver(() => isOff || fn()))
      return () => {
        isOff = true
      }
    }
    return {
      now: () => Math.floor(epochMs + scheduler.now + this.clockOffsetMs),
      sleep: (ms) => new Promise((resolve) => after(ms, resolve)),
      randomHex: (bytes) => scheduler.random.bytes(bytes).toString('hex'),
      randomInt: (below) => scheduler.random.below(below),
      after,
      every: (ms, fn) => {
        let stop = after(ms, function again() {
          fn()
          stop = after(ms, again)
        })
        return () => stop()
      },
    }
  }
}

/** So that ids, which begin with the time, are as long as real ones. */
const epochMs = 1_700_000_000_000
