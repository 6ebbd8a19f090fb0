/** The ports of commit, recovery, gate and locks, over the simulated network. */
import type { Fences } from '../../src/coordination/fences.ts'
import type { Lease, LeaseStore } from '../../src/coordination/locks.ts'
import type { Branch, CommitSteps, FinishVerb } from '../../src/transaction/branch.ts'
import type { GateHold, GateServer } from '../../src/transaction/commit-gate.ts'
import type { DecisionRow, PreparedTransaction, TransactionServer } from '../../src/transaction/transaction-server.ts'
import type { Network } from './network.ts'
import { SimConnection } from './network.ts'
import type { SimProcess } from './node-process.ts'
import type { SimPostgres } from './postgres.ts'
import type { Scheduler } from './scheduler.ts'

/** A process with the network that it is on. */
export interface Place {
  readonly process: SimProcess
  readonly network: Network
  readonly scheduler: Scheduler
}

export class SimBranch implements Branch {
  readonly server: { readonly id: number; readonly name: string }
  readonly wrote: boolean
  readonly cannotPrepare: boolean
  readonly connection = new SimConnection()
  private readonly place: Place
  private readonly postgres: SimPostgres

  constructor(place: Place, postgres: SimPostgres, kind: { readonly wrote: boolean; readonly cannotPrepare: boolean }) {
    this.place = place
    this.postgres = postgres
    this.server = { id: postgres.id, name: `server ${postgres.id}` }
    this.wrote = kind.wrote
    this.cannotPrepare = kind.cannotPrepare
  }

  write(name: string, key: string): Promise<void> {
    return this.call(() => this.postgres.write(this.connection, name, key))
  }

  read(): Promise<void> {
    return this.call(() => void this.postgres.begin(this.connection))
  }

  commit(steps: CommitSteps): Promise<void> {
    return this.call(() => this.postgres.commit(this.connection, steps))
  }

  prepare(name: string, throughGate: boolean): Promise<void> {
    return this.call(() => this.postgres.prepare(this.connection, name, throughGate))
  }

  finish(name: string, verb: FinishVerb): Promise<void> {
    return this.call(() => this.postgres.finish(name, verb))
  }

  async end(): Promise<void> {
    await this.call(() => this.postgres.rollback(this.connection)).catch(() => undefined)
  }

  private call<T>(request: () => Promise<T> | T): Promise<T> {
    return this.place.network.call(this.place.process, this.postgres.id, this.postgres, this.connection, request)
  }
}

export class SimTransactionServer implements TransactionServer {
  readonly id: number
  readonly name: string
  private readonly place: Place
  private readonly postgres: SimPostgres
  private readonly waitMs: number

  constructor(place: Place, postgres: SimPostgres, waitMs: number) {
    this.id = postgres.id
    this.name = `server ${postgres.id}`
    this.place = place
    this.postgres = postgres
    this.waitMs = waitMs
  }

  prepared(prefix: string, ageMs: number): Promise<readonly PreparedTransaction[]> {
    return this.ask(() => this.postgres.preparedNames(prefix, ageMs))
  }

  databases(): Promise<readonly string[]> {
    return this.ask(() => ['d'])
  }

  decision(_database: string, id: string): Promise<DecisionRow | undefined> {
    return this.ask(() => this.postgres.decision(id))
  }

  settle(_database: string, id: string): Promise<DecisionRow> {
    return this.ask(() => this.postgres.settle(id, this.waitMs))
  }

  async finish(_database: string, name: string, verb: FinishVerb): Promise<void> {
    await this.ask(() => this.postgres.finish(name, verb)).catch((error: Error & { code?: string }) => {
      if (error.code !== '42704') throw error
    })
  }

  oldDecisions(_database: string, ageMs: number, askedAgeMs: number): Promise<readonly DecisionRow[]> {
    return this.ask(() => this.postgres.oldDecisions(ageMs, askedAgeMs))
  }

  forget(_database: string, ids: readonly string[]): Promise<void> {
    return this.ask(() => this.postgres.forget(ids))
  }

  private ask<T>(request: () => Promise<T> | T): Promise<T> {
    return this.place.network.call(this.place.process, this.id, this.postgres, new SimConnection(), request)
  }
}

export class SimGateServer implements GateServer {
  readonly id: number
  readonly name: string
  private readonly place: Place
  private readonly postgres: SimPostgres
  private readonly lockMs: number
  private readonly holdMs: number

  constructor(place: Place, postgres: SimPostgres, lockMs: number, holdMs: number) {
    this.id = postgres.id
    this.name = `server ${postgres.id}`
    this.place = place
    this.postgres = postgres
    this.lockMs = lockMs
    this.holdMs = holdMs
  }

  async hold(): Promise<GateHold | undefined> {
    const connection = new SimConnection()
    const { process, network, scheduler } = this.place
    let keepIdle: () => void = () => undefined
    const isHeld = await network.call(process, this.id, this.postgres, connection, async () => {
      const held = await this.postgres.holdGate(connection, this.lockMs)
      // A session that is idle in a transaction for too long is ended.
      keepIdle = scheduler.after(this.holdMs, () => {
        connection.isClosed = true
        this.postgres.disconnect(connection)
      })
      return held
    })
    if (!isHeld) {
      keepIdle()
      return undefined
    }
    const release = () =>
      network.call(process, this.id, this.postgres, connection, () => {
        keepIdle()
        this.postgres.releaseGate(connection)
      }).then(() => true, () => false)
    return { release }
  }
}

/** The fences of locks on the catalog, which are on disk as soon as they are told. */
export class FenceTable {
  readonly newest = new Map<string, number>()
}

export class SimFences implements Fences {
  private readonly place: Place
  private readonly catalog: SimPostgres
  private readonly table: FenceTable

  constructor(place: Place, catalog: SimPostgres, table: FenceTable) {
    this.place = place
    this.catalog = catalog
    this.table = table
  }

  advance(name: string): Promise<number> {
    return this.ask(() => {
      const fence = (this.table.newest.get(name) ?? 0) + 1
      this.table.newest.set(name, fence)
      return fence
    })
  }

  clear(): Promise<void> {
    return this.ask(() => undefined)
  }

  check(lease: Lease): Promise<void> {
    return this.ask(() => {
      if (this.table.newest.get(lease.name) !== lease.fence) throw Object.assign(new Error('the lock was taken by another'), { code: 'PH001' })
    })
  }

  private ask<T>(request: () => T): Promise<T> {
    return this.place.network.call(this.place.process, this.catalog.id, this.catalog, new SimConnection(), request)
  }
}

/** Redis: leases that end by its own clock. */
export class SimRedis {
  isUp = true
  readonly life = 0
  /** It has forgotten leases that were not over. */
  hasForgotten = false
  private readonly scheduler: Scheduler
  private readonly leases = new Map<string, { token: string; until: number }>()

  constructor(scheduler: Scheduler) {
    this.scheduler = scheduler
  }

  disconnect(): void {
    // It knows nothing of who is connected.
  }

  forgetAll(): void {
    this.leases.clear()
    this.hasForgotten = true
  }

  take(name: string, token: string, ms: number): boolean {
    if (this.valid(name) !== undefined) return false
    this.leases.set(name, { token, until: this.scheduler.now + ms })
    return true
  }

  extend(name: string, token: string, ms: number): boolean {
    const lease = this.valid(name)
    if (lease?.token !== token) return false
    lease.until = this.scheduler.now + ms
    return true
  }

  drop(name: string, token: string): void {
    if (this.leases.get(name)?.token === token) this.leases.delete(name)
  }

  private valid(name: string): { token: string; until: number } | undefined {
    const lease = this.leases.get(name)
    return lease !== undefined && this.scheduler.now < lease.until ? lease : undefined
  }
}

export const redisId = -1

export class SimLeaseStore implements LeaseStore {
  private readonly place: Place
  private readonly redis: SimRedis

  constructor(place: Place, redis: SimRedis) {
    this.place = place
    this.redis = redis
  }

  take(name: string, token: string, ms: number): Promise<boolean> {
    return this.ask(() => this.redis.take(name, token, ms))
  }

  extend(name: string, token: string, ms: number): Promise<boolean> {
    return this.ask(() => this.redis.extend(name, token, ms))
  }

  drop(name: string, token: string): Promise<void> {
    return this.ask(() => this.redis.drop(name, token))
  }

  close(): Promise<void> {
    return Promise.resolve()
  }

  private ask<T>(request: () => T): Promise<T> {
    return this.place.network.call(this.place.process, redisId, this.redis, new SimConnection(), request)
  }
}
