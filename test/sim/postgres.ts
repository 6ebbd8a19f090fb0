/**
 * Stands in for a PostgreSQL server, as far as commits go: transactions of connections with locks on rows, PREPARE TRANSACTION, decisions under a
 * unique index, the gate, snapshots; a log that is flushed in order, of which a crash keeps as much as the disk has.
 *
 * It passes the same contract suite as a real one (test/integration/commit-contract.test.ts). Each call is one that has reached the
 * server; its answer may get lost on the way back (network.ts).
 */
import type { CommitSteps, Decision, FinishVerb } from '../../src/transaction/branch.ts'
import type { DecisionRow, Outcome } from '../../src/transaction/transaction-server.ts'
import type { GateMode } from './gate-lock.ts'
import { GateLock } from './gate-lock.ts'
import type { Model } from './model.ts'
import type { Scheduler } from './scheduler.ts'

/** What a server answers in place of a result. */
export class ServerRefusal extends Error {
  readonly code: string
  readonly fields: { readonly code: string; readonly schema?: string; readonly table?: string }
  constructor(code: string, message: string, fields: { readonly schema?: string; readonly table?: string } = {}) {
    super(message)
    this.code = code
    this.fields = { code, ...fields }
  }
}

interface Open {
  readonly beganAt: number
  readonly keys: string[]
  /** Transactions of the model that it has written for. */
  readonly names: string[]
  deciding: string | undefined
  isEnding: boolean
}

interface Prepared {
  readonly names: readonly string[]
  readonly keys: readonly string[]
  readonly gate: boolean
  readonly at: number
  isBusy: boolean
}

interface StoredDecision {
  readonly outcome: Outcome
  readonly others: readonly number[] | undefined
  readonly isAsked: boolean
  readonly at: number
}

interface Insert {
  readonly waiting: (() => void)[]
}

interface LogRecord {
  readonly apply: () => void
  readonly done: () => void
  readonly drop: () => void
}

export interface DiskOptions {
  readonly flushMsMax: number
}

export class SimPostgres {
  readonly id: number
  isUp = true
  /** Another after each crash: a connection is to one life of the server. */
  life = 0
  private readonly scheduler: Scheduler
  private readonly model: Model
  private readonly disk: DiskOptions
  private open = new Map<object, Open>()
  private readonly prepared = new Map<string, Prepared>()
  private readonly decisions = new Map<string, StoredDecision>()
  private inserts = new Map<string, Insert>()
  private locks = new Map<string, { owner: object; readonly waiting: (() => boolean)[] }>()
  private gate = new GateLock()
  private log: LogRecord[] = []
  private flushedAt = 0
  /** In the order in which they became visible. */
  private readonly visible = new Map<string, number>()

  constructor(id: number, scheduler: Scheduler, model: Model, disk: DiskOptions) {
    this.id = id
    this.scheduler = scheduler
    this.model = model
    this.disk = disk
  }

  // What sessions do.

  /** A row is changed for a transaction of the model; waits for who has the row. */
  async write(session: object, name: string, key: string): Promise<void> {
    const open = this.begin(session)
    await this.inThisLife(this.lockRow(session, key))
    open.keys.push(key)
    open.names.push(name)
  }

  begin(session: object): Open {
    const known = this.open.get(session)
    if (known !== undefined) return known
    const open: Open = { beganAt: this.scheduler.now, keys: [], names: [], deciding: undefined, isEnding: false }
    this.open.set(session, open)
    return open
  }

  async commit(session: object, { throughGate, decision }: CommitSteps): Promise<void> {
    const open = this.mustBeOpen(session)
    if (throughGate) await this.inThisLife(this.passGate(session, 'row'))
    if (decision !== undefined) await this.inThisLife(this.insertDecision(session, decision))
    open.isEnding = true
    const at = this.scheduler.now
    await this.flushed(() => {
      if (decision !== undefined) this.decisions.set(decision.id, { outcome: 'committed', others: decision.others, isAsked: decision.isAsked, at })
      this.end(session, 'committed')
    })
  }

  async prepare(session: object, name: string, throughGate: boolean): Promise<void> {
    const open = this.mustBeOpen(session)
    if (throughGate) await this.inThisLife(this.passGate(session, 'row'))
    open.isEnding = true
    await this.flushed(() => {
      const prepared: Prepared = { names: open.names, keys: open.keys, gate: throughGate, at: this.scheduler.now, isBusy: false }
      this.prepared.set(name, prepared)
      for (const key of open.keys) (this.locks.get(key) as { owner: object }).owner = prepared
      this.gate.passOn(session, prepared)
      this.open.delete(session)
    })
  }

  async finish(name: string, verb: FinishVerb): Promise<void> {
    const prepared = this.prepared.get(name)
    if (prepared === undefined) throw new ServerRefusal('42704', `prepared transaction with identifier "${name}" does not exist`)
    if (prepared.isBusy) throw new ServerRefusal('55000', `prepared transaction with identifier "${name}" is busy`)
    prepared.isBusy = true
    await this.flushed(() => {
      this.prepared.delete(name)
      for (const one of prepared.names) this.became(one, verb === 'COMMIT' ? 'committed' : 'aborted')
      for (const key of prepared.keys) this.unlock(key)
      this.gate.release(prepared)
    })
  }

  rollback(session: object): void {
    const open = this.open.get(session)
    if (open === undefined || open.isEnding) return
    this.end(session, 'aborted')
  }

  /** The connection is gone: what has not come to its commit is rolled back. */
  disconnect(session: object): void {
    this.rollback(session)
    if (!this.open.has(session)) this.gate.release(session)
  }

  // What readers of several servers do.

  async holdGate(session: object, ms: number): Promise<boolean> {
    return this.inThisLife(this.passGate(session, 'share', ms))
  }

  /** False when it was lost. */
  releaseGate(session: object): void {
    this.gate.release(session)
  }

  /** Says of a transaction whether a snapshot taken now shows it. */
  snapshot(): (name: string) => boolean {
    const size = this.visible.size
    return (name) => (this.visible.get(name) ?? size) < size
  }

  // What the control plane asks.

  preparedNames(prefix: string, ageMs: number): { readonly name: string; readonly database: string }[] {
    return [...this.prepared].filter(([name, { at }]) => name.startsWith(prefix) && at <= this.scheduler.now - ageMs).map(([name]) => ({ name, database: 'd' }))
  }

  decision(id: string): DecisionRow | undefined {
    const row = this.decisions.get(id)
    return row === undefined ? undefined : { id, outcome: row.outcome, others: row.others }
  }

  async settle(id: string, waitMs: number): Promise<DecisionRow> {
    const beganAt = this.scheduler.now
    const owner = {}
    this.open.set(owner, { beganAt, keys: [], names: [], deciding: undefined, isEnding: true })
    try {
      if (!(await this.inThisLife(this.claimInsert(id, waitMs)))) throw new ServerRefusal('55P03', 'canceling statement due to lock timeout')
      const at = this.scheduler.now
      if (!this.decisions.has(id)) await this.flushed(() => this.decisions.set(id, { outcome: 'aborted', others: undefined, isAsked: false, at }))
    } finally {
      this.open.delete(owner)
    }
    this.releaseInsert(id)
    return this.decision(id) as DecisionRow
  }

  oldDecisions(ageMs: number, askedAgeMs: number): DecisionRow[] {
    const oldest = Math.min(...[...this.open.values()].map(({ beganAt }) => beganAt), this.scheduler.now)
    const isOld = ({ at, isAsked, outcome }: StoredDecision) => at < this.scheduler.now - (isAsked ? askedAgeMs : ageMs) && (outcome === 'committed' || at < oldest)
    return [...this.decisions].filter(([, row]) => isOld(row)).map(([id, { outcome, others }]) => ({ id, outcome, others }))
  }

  async forget(ids: readonly string[]): Promise<void> {
    await this.flushed(() => {
      for (const id of ids) this.decisions.delete(id)
    })
  }

  // What happens to it.

  /** Everything in memory is lost; of the log, the disk has some first part of what was being flushed. */
  crash(): void {
    this.isUp = false
    this.life++
    const kept = this.scheduler.random.below(this.log.length + 1)
    for (const [i, record] of this.log.splice(0).entries()) {
      record.drop()
      if (i < kept) record.apply()
    }
    for (const { names } of this.open.values()) for (const name of names) this.became(name, 'aborted')
    this.open = new Map()
    this.inserts = new Map()
    this.locks = new Map()
    this.gate = new GateLock()
    for (const prepared of this.prepared.values()) {
      prepared.isBusy = false
      for (const key of prepared.keys) this.locks.set(key, { owner: prepared, waiting: [] })
      if (prepared.gate) this.gate.request('row', prepared, () => undefined)
    }
  }

  restart(): void {
    this.isUp = true
  }

  /** Something that was prepared before a time. */
  preparedBefore(time: number): string | undefined {
    return [...this.prepared].find(([, { at }]) => at < time)?.[0]
  }

  get leftOver(): { readonly prepared: readonly string[]; readonly decisions: readonly string[]; readonly locked: readonly string[] } {
    return { prepared: [...this.prepared.keys()], decisions: [...this.decisions].filter(([, { isAsked }]) => !isAsked).map(([id]) => id), locked: [...this.locks.keys()] }
  }

  /** A process that ended in a crash does not go on with what it waited for. */
  private async inThisLife<T>(waiting: Promise<T>): Promise<T> {
    const { life } = this
    const result = await waiting
    return life === this.life ? result : new Promise<never>(() => undefined)
  }

  private mustBeOpen(session: object): Open {
    const open = this.open.get(session)
    if (open === undefined || open.isEnding) throw new ServerRefusal('40000', 'the transaction was rolled back')
    return open
  }

  private end(session: object, outcome: 'committed' | 'aborted'): void {
    const open = this.open.get(session)
    if (open === undefined) return
    this.open.delete(session)
    for (const name of open.names) this.became(name, outcome)
    if (open.deciding !== undefined) this.releaseInsert(open.deciding)
    for (const key of open.keys) this.unlock(key)
    this.gate.release(session)
  }

  private became(name: string, outcome: 'committed' | 'aborted'): void {
    if (outcome === 'committed' && !this.visible.has(name)) this.visible.set(name, this.visible.size)
    this.model.ended(this.id, name, outcome)
  }

  private lockRow(session: object, key: string): Promise<void> {
    const lock = this.locks.get(key)
    if (lock === undefined) {
      this.locks.set(key, { owner: session, waiting: [] })
      return Promise.resolve()
    }
    if (lock.owner === session) return Promise.resolve()
    return new Promise((resolve) => {
      lock.waiting.push(() => {
        // Who waited may have gone meanwhile.
        if (!this.open.has(session)) return false
        lock.owner = session
        resolve()
        return true
      })
    })
  }

  private unlock(key: string): void {
    const lock = this.locks.get(key)
    for (let next = lock?.waiting.shift(); next !== undefined; next = lock?.waiting.shift()) if (next()) return
    this.locks.delete(key)
  }

  /** False when it takes longer than so many milliseconds. */
  private passGate(session: object, mode: GateMode, waitMs?: number): Promise<boolean> {
    return new Promise((resolve) => {
      let takeBack: () => void = () => undefined
      const isHeld = this.gate.request(mode, session, () => {
        takeBack()
        resolve(true)
      })
      if (isHeld) return resolve(true)
      if (waitMs === undefined) return
      const { gate } = this
      takeBack = this.scheduler.after(waitMs, () => {
        gate.release(session)
        resolve(false)
      })
    })
  }

  private async insertDecision(session: object, { id }: Decision): Promise<void> {
    await this.inThisLife(this.claimInsert(id))
    const open = this.open.get(session)
    if (open !== undefined && !this.decisions.has(id)) {
      open.deciding = id
      return
    }
    this.releaseInsert(id)
    this.end(session, 'aborted')
    throw new ServerRefusal('23505', 'duplicate key value violates unique constraint "decision_pkey"', { schema: 'pgherd', table: 'decision' })
  }

  /** The right to insert an id: waits for another's insert that has not ended yet. False when that takes too long. */
  private claimInsert(id: string, waitMs?: number): Promise<boolean> {
    const insert = this.inserts.get(id)
    if (insert === undefined) {
      this.inserts.set(id, { waiting: [] })
      return Promise.resolve(true)
    }
    return new Promise((resolve) => {
      const go = () => {
        takeBack()
        resolve(true)
      }
      insert.waiting.push(go)
      const takeBack = waitMs === undefined ? () => undefined : this.scheduler.after(waitMs, () => {
        insert.waiting.splice(insert.waiting.indexOf(go), 1)
        resolve(false)
      })
    })
  }

  private releaseInsert(id: string): void {
    const next = this.inserts.get(id)?.waiting.shift()
    if (next === undefined) this.inserts.delete(id)
    else next()
  }

  /** Resolves once the record is on disk and what it says is visible; never when the server crashes before. */
  private flushed(apply: () => void): Promise<void> {
    return new Promise((resolve) => {
      this.flushedAt = Math.max(this.flushedAt, this.scheduler.now + this.scheduler.between(0.05, this.disk.flushMsMax))
      const drop = this.scheduler.after(this.flushedAt - this.scheduler.now, () => {
        this.log.splice(this.log.indexOf(record), 1)
        apply()
        resolve()
      })
      const record: LogRecord = { apply, done: resolve, drop }
      this.log.push(record)
    })
  }
}
