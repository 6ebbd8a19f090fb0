import type { Clock } from '../base/clock.ts'
import type { LeaseStore } from './locks.ts'

interface Entry {
  readonly token: string
  until: number
}

/** Leases in the process: right for one router, and for no more. */
export class OwnLeaseStore implements LeaseStore {
  private readonly clock: Clock
  private readonly entries = new Map<string, Entry>()

  constructor(clock: Clock) {
    this.clock = clock
  }

  take(name: string, token: string, ms: number): Promise<boolean> {
    const isFree = this.valid(name) === undefined
    if (isFree) this.entries.set(name, { token, until: this.clock.ticks() + ms })
    return Promise.resolve(isFree)
  }

  extend(name: string, token: string, ms: number): Promise<boolean> {
    const entry = this.valid(name)
    if (entry?.token !== token) return Promise.resolve(false)
    entry.until = this.clock.ticks() + ms
    return Promise.resolve(true)
  }

  drop(name: string, token: string): Promise<void> {
    if (this.entries.get(name)?.token === token) this.entries.delete(name)
    return Promise.resolve()
  }

  close(): Promise<void> {
    this.entries.clear()
    return Promise.resolve()
  }

  private valid(name: string): Entry | undefined {
    const entry = this.entries.get(name)
    return entry !== undefined && this.clock.ticks() < entry.until ? entry : undefined
  }
}
