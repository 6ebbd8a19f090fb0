/**
 * Locks as leases of a store, with the catalog's fences.
 *
 * A lease is counted from before the store was asked, so it ends here no later than there. It is renewed three times in
 * its time. When no renewal has succeeded for one lease time, or the store says that the token has the name no more, it is lost. The time is
 * counted on a clock that nobody can put back (base/clock.ts).
 */
import type { Clock } from '../base/clock.ts'
import type { Logger } from '../observability/logger.ts'
import type { Fences } from './fences.ts'
import type { Lease, LeaseStore, Locks } from './locks.ts'

export interface LockParts {
  readonly store: LeaseStore
  readonly fences: Fences
  /** How others know this router. */
  readonly holder: string
  readonly leaseMs: number
  readonly clock: Clock
  readonly log: Logger
}

export class LeasedLocks implements Locks {
  private readonly parts: LockParts
  private readonly held = new Set<HeldLease>()

  constructor(parts: LockParts) {
    this.parts = parts
  }

  async acquire(name: string): Promise<Lease | undefined> {
    const { store, fences, holder, leaseMs, clock } = this.parts
    const token = clock.randomHex(16)
    const askedAt = clock.ticks()
    if (!(await store.take(name, token, leaseMs))) return undefined
    const fence = await fences.advance(name, holder).catch(async (error: unknown) => {
      await store.drop(name, token).catch(() => undefined) // it ends by itself
      throw error
    })
    const lease = new HeldLease(this.parts, name, token, fence, askedAt + leaseMs)
    this.held.add(lease)
    lease.lost.addEventListener('abort', () => this.held.delete(lease))
    // Taking the fence may have lasted longer than the lease.
    const isHeld = await lease.renew().catch(async (error: unknown) => {
      await lease.release()
      throw error
    })
    return isHeld ? lease : undefined
  }

  async close(): Promise<void> {
    await Promise.all([...this.held].map((lease) => lease.release()))
    await this.parts.store.close()
  }
}

class HeldLease implements Lease {
  readonly name: string
  readonly token: string
  readonly fence: number
  private readonly parts: LockParts
  private readonly ended = new AbortController()
  private readonly stopRenewing: () => void
  private stopExpiry: () => void = () => undefined
  private until = 0

  constructor(parts: LockParts, name: string, token: string, fence: number, until: number) {
    this.parts = parts
    this.name = name
    this.token = token
    this.fence = fence
    this.stopRenewing = parts.clock.every(parts.leaseMs / 3, () => {
      this.renew().catch((error: Error) => parts.log.debug(`lock ${name}: not renewed: ${error.message}`))
    })
    this.lastUntil(until)
  }

  get lost(): AbortSignal {
    return this.ended.signal
  }

  async renew(): Promise<boolean> {
    const { clock, store, leaseMs } = this.parts
    const askedAt = clock.ticks()
    // After a pause of the process this may run before the timer that says the same.
    if (askedAt >= this.until) this.lose('it was not renewed in time')
    if (this.lost.aborted) return false
    const isMine = await store.extend(this.name, this.token, leaseMs)
    if (!isMine) this.lose('it is no longer there')
    if (this.lost.aborted) return false
    this.lastUntil(askedAt + leaseMs)
    return true
  }

  async release(): Promise<void> {
    if (this.lost.aborted) return
    this.end('it was released')
    const { store, log } = this.parts
    await this.clear()
    await store.drop(this.name, this.token).catch((error: Error) => log.debug(`lock ${this.name}: not given back: ${error.message}`))
  }

  private lastUntil(until: number): void {
    const { clock } = this.parts
    this.stopExpiry()
    this.until = until
    this.stopExpiry = clock.after(Math.max(0, until - clock.ticks()), () => this.lose('it was not renewed in time'))
  }

  private lose(reason: string): void {
    if (this.lost.aborted) return
    this.parts.log.warn(`lock ${this.name} is lost: ${reason}`)
    this.end(reason)
    void this.clear()
  }

  private end(reason: string): void {
    this.stopRenewing()
    this.stopExpiry()
    this.ended.abort(new Error(`lock ${this.name}: ${reason}`))
  }

  /** So that pgherd.locks does not name who has it no more. */
  private async clear(): Promise<void> {
    const { fences, log } = this.parts
    await fences.clear(this.name, this.fence).catch((error: Error) => log.debug(`lock ${this.name}: still under this router's name: ${error.message}`))
  }
}
