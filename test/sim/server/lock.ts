/** PostgreSQL's heavyweight lock, as far as commits need it: who asks waits behind those who have asked before. */
import { SqlError } from '../../../src/base/errors.ts'
import type { Process } from '../world/process.ts'

/** `pass` and `hold` are ROW EXCLUSIVE and SHARE: each is shared with itself, and they exclude each other. */
export type LockMode = 'exclusive' | 'pass' | 'hold'

interface Waiter {
  readonly owner: object
  readonly mode: LockMode
  readonly grant: () => void
}

const mayShare = (a: LockMode, b: LockMode) => a === b && a !== 'exclusive'

export class Lock {
  private readonly holders = new Map<object, LockMode>()
  private readonly waiters: Waiter[] = []

  get isFree(): boolean {
    return this.holders.size === 0 && this.waiters.length === 0
  }

  /** Throws 55P03 after `timeoutMs`, if that is given. */
  async take(owner: object, mode: LockMode, process: Process, timeoutMs?: number): Promise<void> {
    if (this.holders.has(owner)) return
    if (this.waiters.length === 0 && this.admits(mode)) {
      this.holders.set(owner, mode)
      return
    }
    await new Promise<void>((resolve, reject) => {
      const waiter: Waiter = { owner, mode, grant: resolve }
      this.waiters.push(waiter)
      if (timeoutMs === undefined) return
      process.after(timeoutMs, () => {
        const at = this.waiters.indexOf(waiter)
        if (at < 0) return
        this.waiters.splice(at, 1)
        reject(new SqlError('55P03', 'canceling statement due to lock timeout'))
        this.wake()
      })
    })
  }

  release(owner: object): void {
    if (this.holders.delete(owner)) this.wake()
  }

  private wake(): void {
    for (let first = this.waiters[0]; first !== undefined && this.admits(first.mode); first = this.waiters[0]) {
      this.waiters.shift()
      this.holders.set(first.owner, first.mode)
      first.grant()
    }
  }

  private admits(mode: LockMode): boolean {
    for (const held of this.holders.values()) if (!mayShare(held, mode)) return false
    return true
  }
}
