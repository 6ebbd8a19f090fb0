/** A process of the simulation: it can be paused and killed between any two events, and its clock is its own. */
import { type Clock, countOn } from '../../../src/base/clock.ts'
import type { Random } from '../../support/random.ts'
import type { Scheduler, Timer } from './scheduler.ts'

export class Process {
  readonly name: string
  isAlive = true
  pausedUntil = 0
  /** How far its clock is ahead. */
  clockAheadMs = 0
  readonly clock: Clock
  private readonly scheduler: Scheduler

  constructor(name: string, scheduler: Scheduler, random: Random) {
    this.name = name
    this.scheduler = scheduler
    this.clock = simulatedClock(this, scheduler, random)
  }

  get isPaused(): boolean {
    return this.scheduler.now < this.pausedUntil
  }

  after(ms: number, run: () => void): Timer {
    let later: Timer | undefined
    const timer = this.scheduler.after(ms, () => {
      if (!this.isAlive) return
      if (this.isPaused) later = this.after(this.pausedUntil - this.scheduler.now, run)
      else run()
    })
    return {
      cancel: () => {
        timer.cancel()
        later?.cancel()
      },
    }
  }

  pause(ms: number): void {
    this.pausedUntil = Math.max(this.pausedUntil, this.scheduler.now + ms)
  }
}

const epochMs = 1_800_000_000_000

function simulatedClock(process: Process, scheduler: Scheduler, random: Random): Clock {
  const now = () => epochMs + Math.floor(scheduler.now) + process.clockAheadMs
  return {
    now,
    ticks: countOn(now, () => scheduler.now),
    sleep: (ms) => new Promise((resolve) => process.after(ms, resolve)),
    randomHex: (bytes) => random.bytes(bytes).toString('hex'),
    randomInt: (below) => random.below(below),
    every(ms, fn) {
      let timer: Timer
      const next = () => {
        timer = process.after(ms, () => {
          next()
          fn()
        })
      }
      next()
      return () => timer.cancel()
    },
    after(ms, fn) {
      const timer = process.after(ms, fn)
      return () => timer.cancel()
    },
  }
}
