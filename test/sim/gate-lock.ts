/** A table's lock in two modes, each of which is shared with itself and excludes the other. Who comes later waits behind who waits already. */
export type GateMode = 'share' | 'row'

interface Request {
  readonly mode: GateMode
  readonly owner: object
  readonly granted: () => void
}

export class GateLock {
  private readonly holders = new Map<object, GateMode>()
  private queue: Request[] = []

  /** True when it is held at once; else `granted` is called later, unless the request is taken back. */
  request(mode: GateMode, owner: object, granted: () => void): boolean {
    if (this.holders.get(owner) === mode) return true
    const request = { mode, owner, granted }
    if (this.isFree(mode) && this.queue.every((one) => one.mode === mode)) {
      this.holders.set(owner, mode)
      return true
    }
    this.queue.push(request)
    return false
  }

  /** Also what the owner waits for. */
  release(owner: object): void {
    this.holders.delete(owner)
    this.queue = this.queue.filter((one) => one.owner !== owner)
    this.grantWaiting()
  }

  /** Another stands for who holds it: a prepared transaction for the session that prepared it. */
  passOn(from: object, to: object): void {
    const mode = this.holders.get(from)
    if (mode === undefined) return
    this.holders.delete(from)
    this.holders.set(to, mode)
  }

  private grantWaiting(): void {
    while (this.queue[0] !== undefined && this.isFree(this.queue[0].mode)) {
      const next = this.queue.shift() as Request
      this.holders.set(next.owner, next.mode)
      next.granted()
    }
  }

  private isFree(mode: GateMode): boolean {
    for (const held of this.holders.values()) if (held !== mode) return false
    return true
  }
}
