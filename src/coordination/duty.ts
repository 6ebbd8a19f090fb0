/**
 * Work that one router of the cluster does at a time, again and again: the one that has the duty's lock.
 *
 * Every router tries for the lock often, so that another takes over soon after a holder's lease has ended. When nobody can say whose the lock is
 * (Redis is away, or the catalog), each router works on its own: a duty must be right without its lock, which only saves
 * the work of many.
 */
import type { Clock } from '../base/clock.ts'
import { limits } from '../base/limits.ts'
import type { Logger } from '../observability/logger.ts'
import { isStaleFence } from './fences.ts'
import type { Lease, Locks } from './locks.ts'

export class Duty {
  private readonly name: string
  private readonly locks: Locks
  private readonly work: (lease: Lease | undefined) => Promise<unknown>
  private readonly log: Logger
  private lease: Lease | undefined
  private turnsToWait = 0
  private running: Promise<void> | undefined
  private isDue = true
  private isAlone = false
  private lastSaid: string | undefined
  private hasStopped = false
  private readonly stopTimers: (() => void)[]

  /**
   * `work` ends early when its lease is lost, and throws what the catalog says of an old fence. Where it gives false, there is something that this router
   * could not do: it gives the lock back, since another may.
   */
  constructor(name: string, everyMs: number, locks: Locks, clock: Clock, log: Logger, work: (lease: Lease | undefined) => Promise<unknown>) {
    this.name = name
    this.locks = locks
    this.work = work
    this.log = log
    this.stopTimers = [
      clock.every(limits.lockTryEveryMs, () => void this.turn()),
      clock.every(everyMs, () => (this.isDue = true)),
    ]
  }

  /** Works when it is time to and nobody else does. Does not fail. */
  turn(): Promise<void> {
    this.running ??= this.pass()
      .catch((error: Error) => this.say(`${this.name}: ${error.message}`))
      .finally(() => (this.running = undefined))
    return this.running
  }

  /** Works once more if the lock is held, and gives it back. */
  async stop(): Promise<void> {
    for (const stopTimer of this.stopTimers) stopTimer()
    await this.running
    this.hasStopped = true
    this.isDue = true
    if (this.isHeld) await this.turn()
    await this.lease?.release()
  }

  /** This router has the lock. */
  get isHeld(): boolean {
    return this.lease?.lost.aborted === false
  }

  private async pass(): Promise<void> {
    const mayWork = await this.hold()
    if (!mayWork || !this.isDue) return
    this.isDue = false
    try {
      const isDone = await this.work(this.lease)
      this.lastSaid = undefined
      if (isDone === false) await this.giveTurn()
    } catch (error) {
      if (!isStaleFence(error)) throw error
      // Somebody took the lock though it was held: Redis lost it, or a router knows nothing of this one's locks.
      this.say((error as Error).message)
      await this.lease?.release()
      this.isDue = true
    }
  }

  /** Others get two tries before this one tries again. */
  private async giveTurn(): Promise<void> {
    await this.lease?.release()
    this.turnsToWait = 2
  }

  /** False when another router has the lock. */
  private async hold(): Promise<boolean> {
    if (this.isHeld || this.hasStopped) return this.isHeld
    if (this.turnsToWait-- > 0) return false
    this.lease = undefined
    try {
      this.lease = await this.locks.acquire(this.name)
      this.isAlone = false
      if (this.lease === undefined) return false
      this.log.debug(`lock ${this.name} is held, fence ${this.lease.fence}`)
      this.isDue = true
      return true
    } catch (error) {
      if (!this.isAlone) this.log.warn(`${this.name} goes on without its lock: ${(error as Error).message}`)
      this.isAlone = true
      return true
    }
  }

  /** What is wrong may be so for long, and is found again and again. */
  private say(message: string): void {
    if (message === this.lastSaid) this.log.debug(message)
    else this.log.warn(message)
    this.lastSaid = message
  }
}
