/**
 * A stand-in for one PostgreSQL server with one database: what it keeps, on disk and in memory.
 *
 * A change is visible once its record is on disk. A crash loses what is in memory; records that were on their way to the disk
 * have arrived there or not, but none without those before it. Prepared transactions and their locks survive.
 */
import { SqlError } from '../../../src/base/errors.ts'
import type { Outcome } from '../../../src/transaction/transaction-server.ts'
import type { Random } from '../../support/random.ts'
import type { Process } from '../world/process.ts'
import { Lock, type LockMode } from './lock.ts'

export interface OpenTransaction {
  /** The cluster's id of it; undefined for what is no client's. */
  readonly id: string | undefined
  readonly begunAtMs: number
  readonly writes: Map<string, number>
  readonly locks: string[]
  decision: StoredDecision | undefined
  isFinishing: boolean
}

export interface StoredDecision {
  readonly id: string
  readonly outcome: Outcome
  readonly others: readonly number[] | undefined
  readonly isAsked: boolean
  readonly decidedAtMs: number
}

/** Hears what becomes true on a server. */
export interface Observer {
  wrote(server: number, id: string): void
  committed(server: number, id: string): void
  rolledBack(server: number, id: string): void
  decided(server: number, decision: StoredDecision): void
  forgot(server: number, decision: StoredDecision): void
}

interface Write {
  readonly apply: () => void
  readonly done: () => void
}

export class Postgres {
  readonly id: number
  readonly process: Process
  readonly observer: Observer
  isUp = true
  /** Counts starts: what began before the last one is over. */
  life = 0
  readonly rows = new Map<string, number>()
  /** The sum of all rows after each commit, the newest last. */
  readonly totals: number[] = [0]
  /** For each commit of a client's transaction, how many had been before it. */
  readonly positions = new Map<string, number>()
  readonly prepared = new Map<string, { readonly transaction: OpenTransaction; readonly atMs: number }>()
  readonly decisions = new Map<string, StoredDecision>()
  readonly fences = new Map<string, number>()
  readonly open = new Set<OpenTransaction>()
  private locks = new Map<string, Lock>()
  private writes: Write[] = []
  private writtenUntil = 0
  private readonly random: Random
  private readonly time: () => number

  constructor(id: number, process: Process, random: Random, observer: Observer, time: () => number) {
    this.id = id
    this.process = process
    this.random = random
    this.observer = observer
    this.time = time
  }

  get now(): number {
    return this.time()
  }

  begin(id: string | undefined): OpenTransaction {
    const transaction: OpenTransaction = { id, begunAtMs: this.now, writes: new Map(), locks: [], decision: undefined, isFinishing: false }
    this.open.add(transaction)
    return transaction
  }

  async lock(transaction: OpenTransaction, name: string, mode: LockMode, timeoutMs?: number): Promise<void> {
    const lock = this.locks.get(name) ?? new Lock()
    this.locks.set(name, lock)
    const { life } = this
    await lock.take(transaction, mode, this.process, timeoutMs)
    // What was let through by the last thing before a crash died with its process.
    if (this.life !== life) await new Promise<never>(() => undefined)
    transaction.locks.push(name)
  }

  /** Throws 23505 when it is decided already; waits for a decision of the same transaction in flight. */
  async decide(transaction: OpenTransaction, decision: StoredDecision, timeoutMs?: number): Promise<void> {
    await this.lock(transaction, `decision ${decision.id}`, 'exclusive', timeoutMs)
    if (this.decisions.has(decision.id)) {
      throw new SqlError('23505', 'duplicate key value violates unique constraint "decision_pkey"', { schema: 'pgherd', table: 'decision', constraint: 'decision_pkey' })
    }
    transaction.decision = decision
  }

  commit(transaction: OpenTransaction): Promise<void> {
    if (transaction.writes.size === 0 && transaction.decision === undefined) {
      this.letGo(transaction)
      return Promise.resolve()
    }
    return this.durably(() => this.makeVisible(transaction))
  }

  rollback(transaction: OpenTransaction): void {
    this.letGo(transaction)
    if (transaction.id !== undefined && transaction.writes.size > 0) this.observer.rolledBack(this.id, transaction.id)
  }

  prepare(transaction: OpenTransaction, name: string): Promise<void> {
    return this.durably(() => {
      this.open.delete(transaction)
      this.prepared.set(name, { transaction, atMs: this.now })
    })
  }

  async finish(name: string, verb: 'COMMIT' | 'ROLLBACK'): Promise<void> {
    const found = this.prepared.get(name)
    if (found === undefined) throw new SqlError('42704', `prepared transaction with identifier "${name}" does not exist`)
    const { transaction } = found
    if (transaction.isFinishing) throw new SqlError('55000', `prepared transaction with identifier "${name}" is busy`)
    transaction.isFinishing = true
    await this.durably(() => {
      this.prepared.delete(name)
      if (verb === 'COMMIT') this.makeVisible(transaction)
      else this.rollback(transaction)
    })
  }

  forget(ids: readonly string[]): Promise<void> {
    return this.durably(() => {
      for (const id of ids) {
        const decision = this.decisions.get(id)
        if (this.decisions.delete(id) && decision !== undefined) this.observer.forgot(this.id, decision)
      }
    })
  }

  /** Resolves once it is on disk and applied. */
  durably(apply: () => void): Promise<void> {
    return new Promise((resolve) => {
      const write: Write = { apply, done: resolve }
      this.writes.push(write)
      this.writtenUntil = Math.max(this.writtenUntil, this.now + 0.2 + this.random.below(100) / 50)
      const { life } = this
      this.process.after(this.writtenUntil - this.now, () => {
        if (this.life !== life) return
        this.writes.shift()
        write.apply()
        write.done()
      })
    })
  }

  crash(): void {
    const arrived = this.random.below(this.writes.length + 1)
    for (const write of this.writes.splice(0).slice(0, arrived)) write.apply()
    this.life++
    this.isUp = false
    this.writtenUntil = 0
    this.locks = new Map()
    for (const transaction of this.open) this.rollback(transaction)
    for (const { transaction } of this.prepared.values()) {
      transaction.isFinishing = false
      for (const name of transaction.locks) {
        const lock = new Lock()
        void lock.take(transaction, name === 'gate' ? 'pass' : 'exclusive', this.process)
        this.locks.set(name, this.shared(name, lock, transaction))
      }
    }
  }

  start(): void {
    this.isUp = true
  }

  /** Names of what is locked or waited for. */
  get locked(): string[] {
    return [...this.locks].filter(([, lock]) => !lock.isFree).map(([name]) => name)
  }

  /** The gate may have been passed by several that are prepared. */
  private shared(name: string, lock: Lock, transaction: OpenTransaction): Lock {
    const known = this.locks.get(name)
    if (known === undefined) return lock
    void known.take(transaction, 'pass', this.process)
    return known
  }

  private makeVisible(transaction: OpenTransaction): void {
    let total = this.totals.at(-1) as number
    for (const [key, value] of transaction.writes) {
      total += value - (this.rows.get(key) ?? 0)
      this.rows.set(key, value)
    }
    if (transaction.id !== undefined && transaction.writes.size > 0) this.positions.set(transaction.id, this.totals.length)
    if (transaction.writes.size > 0) this.totals.push(total)
    const { decision } = transaction
    if (decision !== undefined) {
      this.decisions.set(decision.id, decision)
      this.observer.decided(this.id, decision)
    }
    this.letGo(transaction)
    if (transaction.id !== undefined && transaction.writes.size > 0) this.observer.committed(this.id, transaction.id)
  }

  private letGo(transaction: OpenTransaction): void {
    this.open.delete(transaction)
    for (const name of transaction.locks) {
      const lock = this.locks.get(name)
      lock?.release(transaction)
      if (lock?.isFree === true) this.locks.delete(name)
    }
  }
}
