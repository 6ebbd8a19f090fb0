/**
 * The locks of the control plane: one holder at a time, in the whole cluster, of a name.
 *
 * A holder may be paused for as long as anybody likes, so no lock is proof of being alone. Hence the fence: taking a lock
 * increments its number in the catalog, and what acts under the lock shows the number there (fences.ts).
 */
export interface Lease {
  readonly name: string
  /** Nobody else has it. Only who shows it can renew the lease, or give it back. */
  readonly token: string
  /** Larger than that of every earlier lease of the name. */
  readonly fence: number
  /** Aborted as soon as the holder may act no more, with the reason. */
  readonly lost: AbortSignal
  /** Happens by itself as well. False when the lease is lost; throws when nobody can be asked, and what is left of the lease goes on. */
  renew(): Promise<boolean>
  /** Does not fail: what cannot be given back ends by itself. */
  release(): Promise<void>
}

export interface Locks {
  /** Undefined while somebody else has it. Throws when nobody can be asked. */
  acquire(name: string): Promise<Lease | undefined>
  /** Gives back what is held. */
  close(): Promise<void>
}

/** Where leases are kept. Each call is one step that nobody else comes between; each throws when the store cannot be reached. */
export interface LeaseStore {
  /** True when nobody had the name: now the token has it, for so long. */
  take(name: string, token: string, ms: number): Promise<boolean>
  /** False when the token does not have the name (any more). */
  extend(name: string, token: string, ms: number): Promise<boolean>
  /** Nothing happens when the token does not have the name. */
  drop(name: string, token: string): Promise<void>
  close(): Promise<void>
}
