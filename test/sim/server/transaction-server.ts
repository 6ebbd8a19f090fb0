/** What commit and recovery ask of a stand-in: each call on a connection of its own, which is given up when the answer takes long. */
import { SqlError } from '../../../src/base/errors.ts'
import { limits } from '../../../src/base/limits.ts'
import type { FinishVerb } from '../../../src/transaction/branch.ts'
import type { DecisionRow, OldDecisions, PreparedTransaction, TransactionServer } from '../../../src/transaction/transaction-server.ts'
import { ask } from '../world/ask.ts'
import type { Network } from '../world/network.ts'
import type { Process } from '../world/process.ts'
import { short } from './branch.ts'
import { Session } from './session.ts'
import type { Postgres, StoredDecision } from './postgres.ts'

const database = 'app'

export class SimulatedTransactionServer implements TransactionServer {
  readonly id: number
  readonly name: string
  private readonly network: Network
  private readonly client: Process
  private readonly server: Postgres

  constructor(network: Network, client: Process, server: Postgres) {
    this.id = server.id
    this.name = server.process.name
    this.network = network
    this.client = client
    this.server = server
  }

  prepared(prefix: string, ageMs: number): Promise<readonly PreparedTransaction[]> {
    return this.ask('prepared?', async () =>
      [...this.server.prepared].filter(([name, { atMs }]) => name.startsWith(prefix) && atMs <= this.server.now - ageMs).map(([name]) => ({ name, database })),
    )
  }

  databases(): Promise<readonly string[]> {
    return this.ask('databases?', () => Promise.resolve([database]))
  }

  decision(_database: string, id: string): Promise<DecisionRow | undefined> {
    return this.ask(`decision of ${id.slice(-6)}?`, async () => {
      const found = this.server.decisions.get(id)
      return found && asRow(found)
    })
  }

  settle(_database: string, id: string): Promise<DecisionRow> {
    return this.ask(`settle ${id.slice(-6)}`, async (session) => {
      const { server } = this
      await session.statement(async () => {
        const transaction = session.begin(undefined)
        await server.decide(transaction, { id, outcome: 'aborted', others: undefined, isAsked: false, decidedAtMs: server.now }, limits.recoveryLockMsMax).catch((error: SqlError) => {
          if (error.code !== '23505') throw error
        })
        await session.commit({ throughGate: false, decision: undefined })
      })
      const found = server.decisions.get(id)
      if (found === undefined) throw new Error(`the decision of ${id} was taken away while it was asked for`)
      return asRow(found)
    })
  }

  finish(_database: string, name: string, verb: FinishVerb): Promise<void> {
    return this.ask(`${verb} PREPARED ${short(name)}`, (session) =>
      session.finish(name, verb).catch((error: SqlError) => {
        if (error.code !== '42704') throw error
      }),
    )
  }

  openSince(): Promise<number> {
    return this.ask('open since?', () => Promise.resolve(Math.min(this.server.now, ...[...this.server.open].map(({ begunAtMs }) => begunAtMs))))
  }

  oldDecisions(_database: string, { ageMs, askedAgeMs, abortedBefore }: OldDecisions): Promise<readonly DecisionRow[]> {
    return this.ask('old decisions?', async () => {
      const { server } = this
      const isOld = ({ isAsked, outcome, decidedAtMs }: StoredDecision) =>
        decidedAtMs < server.now - (isAsked ? askedAgeMs : ageMs) && (outcome === 'committed' || decidedAtMs < abortedBefore)
      return [...server.decisions.values()].filter(isOld).map(asRow)
    })
  }

  forget(_database: string, ids: readonly string[]): Promise<void> {
    return this.ask(`forget ${ids.map((id) => id.slice(-6)).join(', ')}`, () => this.server.forget(ids))
  }

  private ask<T>(label: string, work: (session: Session) => Promise<T>): Promise<T> {
    return ask({ network: this.network, client: this.client, peer: this.server, label, limitMs: limits.serverAnswerMsMax }, () => new Session(this.server), work)
  }
}

/** The catalog's fences, as CatalogFences has them. */
export class SimulatedFences {
  private readonly network: Network
  private readonly client: Process
  private readonly catalog: Postgres

  constructor(network: Network, client: Process, catalog: Postgres) {
    this.network = network
    this.client = client
    this.catalog = catalog
  }

  advance(name: string, _holder: string): Promise<number> {
    return this.ask(`take the lock ${name}`, (session) =>
      session.statement(async () => {
        const { catalog } = this
        const transaction = session.begin(undefined)
        await catalog.lock(transaction, `row lock ${name}`, 'exclusive', limits.leaseMs)
        const fence = (catalog.fences.get(name) ?? 0) + 1
        await catalog.durably(() => catalog.fences.set(name, fence))
        await session.commit({ throughGate: false, decision: undefined })
        return fence
      }),
    )
  }

  clear(name: string, _fence: number): Promise<void> {
    return this.ask(`nobody has the lock ${name}`, () => Promise.resolve())
  }

  check(lease: { readonly name: string; readonly fence: number }): Promise<void> {
    return this.ask(`fence ${lease.fence}?`, async () => {
      if (this.catalog.fences.get(lease.name) !== lease.fence) throw new SqlError('PH001', `the lock "${lease.name}" was taken by another`)
    })
  }

  private ask<T>(label: string, work: (session: Session) => Promise<T>): Promise<T> {
    return ask({ network: this.network, client: this.client, peer: this.catalog, label, limitMs: limits.serverAnswerMsMax }, () => new Session(this.catalog), work)
  }
}

const asRow = ({ id, outcome, others }: StoredDecision): DecisionRow => ({ id, outcome, others })

