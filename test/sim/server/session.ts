/** A server process for one connection. A client that has gone is noticed between statements only. */
import { SqlError } from '../../../src/base/errors.ts'
import { limits } from '../../../src/base/limits.ts'
import type { CommitSteps, FinishVerb } from '../../../src/transaction/branch.ts'
import type { Endpoint } from '../world/network.ts'
import type { OpenTransaction, Postgres } from './postgres.ts'

export class Session implements Endpoint {
  readonly server: Postgres
  private readonly life: number
  private transaction: OpenTransaction | undefined
  private hasFailed = false
  private isBusy = false
  private isClosed = false

  constructor(server: Postgres) {
    this.server = server
    this.life = server.life
  }

  begin(id: string | undefined): OpenTransaction {
    if (this.hasFailed) throw new SqlError('25P02', 'current transaction is aborted, commands ignored until end of transaction block')
    this.transaction ??= this.server.begin(id)
    return this.transaction
  }

  /** Adds to a row and keeps it locked. */
  add(id: string, key: string, amount: number): Promise<void> {
    return this.statement(async () => {
      const transaction = this.begin(id)
      await this.server.lock(transaction, `row ${key}`, 'exclusive')
      transaction.writes.set(key, (transaction.writes.get(key) ?? this.server.rows.get(key) ?? 0) + amount)
      this.server.observer.wrote(this.server.id, id)
    })
  }

  /** A snapshot: how many commits it shows. */
  read(id: string | undefined): Promise<number> {
    return this.statement(() => {
      this.begin(id)
      return Promise.resolve(this.server.totals.length)
    })
  }

  commit({ throughGate, decision }: CommitSteps): Promise<void> {
    return this.statement(async () => {
      const { server } = this
      const transaction = this.ending('COMMIT')
      if (throughGate) await server.lock(transaction, 'gate', 'pass')
      if (decision !== undefined) await server.decide(transaction, { ...decision, outcome: 'committed', decidedAtMs: server.now })
      await server.commit(transaction)
      this.transaction = undefined
    })
  }

  prepare(name: string, throughGate: boolean): Promise<void> {
    return this.statement(async () => {
      const transaction = this.ending('PREPARE TRANSACTION')
      if (throughGate) await this.server.lock(transaction, 'gate', 'pass')
      await this.server.prepare(transaction, name)
      this.transaction = undefined
    })
  }

  finish(name: string, verb: FinishVerb): Promise<void> {
    return this.statement(() => this.server.finish(name, verb))
  }

  rollback(): Promise<void> {
    return this.statement(() => {
      this.abort()
      this.hasFailed = false
      return Promise.resolve()
    })
  }

  /** SHARE of the gate, given up when the client leaves the transaction alone for long. Undefined when a commit is in it for too long. */
  hold(): Promise<true | undefined> {
    return this.statement(async () => {
      const transaction = this.begin(undefined)
      try {
        await this.server.lock(transaction, 'gate', 'hold', limits.gateLockMsMax)
      } catch {
        this.abort()
        return undefined
      }
      this.server.process.after(limits.gateHoldMsMax, () => this.transaction === transaction && this.close())
      return true
    })
  }

  /** Any statement: an error undoes the transaction. */
  async statement<T>(work: () => Promise<T>): Promise<T> {
    this.isBusy = true
    try {
      return await work()
    } catch (error) {
      this.hasFailed = this.transaction !== undefined
      this.abort()
      throw error
    } finally {
      this.isBusy = false
      if (this.isClosed) this.abort()
    }
  }

  get isGone(): boolean {
    return this.isClosed || this.life !== this.server.life
  }

  /** A transaction is. */
  get isOpen(): boolean {
    return !this.isGone && this.transaction !== undefined
  }

  close(): void {
    this.isClosed = true
    if (!this.isBusy) this.abort()
  }

  private ending(command: string): OpenTransaction {
    if (this.transaction !== undefined) return this.transaction
    this.hasFailed = false
    throw new SqlError('40000', `the transaction was rolled back on server ${this.server.id} (it answered ${command} with ROLLBACK)`)
  }

  private abort(): void {
    const { transaction } = this
    this.transaction = undefined
    if (transaction !== undefined && this.life === this.server.life) this.server.rollback(transaction)
  }
}
