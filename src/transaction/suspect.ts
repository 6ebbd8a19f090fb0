/**
 * A transaction of this router that may be part of a deadlock over several servers: something of it has had no answer for a while, and
 * others may wait for what another connection of it holds. It is what it was when it was looked at, and knows
 * whether it still is.
 */
import type { Clock } from '../base/clock.ts'
import { limits } from '../base/limits.ts'
import type { Connection } from '../shard/connection.ts'
import type { Transaction } from './transaction.ts'
import type { OwnWait, ServerProcess, Wait, WaitingTransaction } from './wait-graph.ts'
import { processNode } from './wait-graph.ts'

interface Working {
  readonly connection: Connection
  /** In the clock's ticks. Another value, and it works on something else. */
  readonly progressAt: number
  readonly isParticipant: boolean
  /** It gives up its wait and begins anew, again and again. */
  readonly repeats: boolean
}

export class Suspect {
  readonly id: string
  private readonly transaction: Transaction
  private readonly serial: number
  private readonly begunAt: number
  private readonly working: readonly Working[]
  private readonly keeping: readonly Connection[]

  /** Undefined when it is none. */
  static of(transaction: Transaction, clock: Clock): Suspect | undefined {
    const suspect = new Suspect(transaction, clock)
    const connections = new Set([...suspect.keeping, ...suspect.working.map(({ connection }) => connection)])
    return suspect.working.length > 0 && connections.size > 1 ? suspect : undefined
  }

  private constructor(transaction: Transaction, clock: Clock) {
    this.transaction = transaction
    this.serial = transaction.serial
    // Nobody waits for what reads on a replica.
    const participants = [...transaction.participants.values()].filter(({ connection }) => !isReplica(connection))
    const own = new Set(participants.map(({ connection }) => connection))
    const isStuck = (one: Connection) => transaction.repeatedWaits.has(one) || (one.pendingExchanges > 0 && clock.ticks() - one.progressAt >= limits.suspectMsMin)
    this.working = [...new Set([...own, ...transaction.asks, ...transaction.inUse])]
      .filter((one) => !isReplica(one) && isStuck(one))
      .map((connection) => ({ connection, progressAt: connection.progressAt, isParticipant: own.has(connection), repeats: transaction.repeatedWaits.has(connection) }))
    // One that has run nothing may yet leave the transaction, when what it runs now finds that its tables are elsewhere.
    const kept = participants.filter(({ fresh, connection }) => !fresh || connection.pendingExchanges === 0).map(({ connection }) => connection)
    this.keeping = transaction.pinned === undefined || kept.includes(transaction.pinned) ? kept : [...kept, transaction.pinned]
    // Outside of a transaction a statement stands for itself; its own server knows only its process.
    this.id = transaction.active ? transaction.id : `statement ${clock.randomHex(8)}`
    this.begunAt = transaction.active ? transaction.begunAt : clock.now() - (clock.ticks() - Math.max(...this.working.map(({ progressAt }) => progressAt)))
  }

  /** Still at the very same. */
  get isUnchanged(): boolean {
    const { transaction, serial } = this
    return transaction.serial === serial && this.working.every(({ connection, progressAt, repeats }) =>
      repeats ? transaction.repeatedWaits.has(connection) : connection.pendingExchanges > 0 && connection.progressAt === progressAt)
  }

  get repeats(): boolean {
    return this.working.some(({ repeats }) => repeats)
  }

  /** The processes that may be found waiting. */
  get processes(): readonly ServerProcess[] {
    return this.working.map(({ connection }) => processOf(connection))
  }

  /** What is to be told of it when these waits were seen while it did not change; undefined when it does not wait for a lock. */
  waiting(observed: ReadonlyMap<string, Wait>): WaitingTransaction | undefined {
    const waits = this.working.flatMap(({ connection, isParticipant, repeats }): OwnWait[] => {
      const process = processOf(connection)
      const wait = observed.get(processNode(process))
      if (wait === undefined && !repeats) return []
      return [{ ...process, since: repeats ? undefined : wait?.since, keeps: isParticipant }]
    })
    return waits.length === 0 ? undefined : { id: this.id, begunAt: this.begunAt, waits, keeps: this.keeping.map(processOf) }
  }

  cancel(): void {
    this.transaction.cancelAsVictim()
  }
}

const isReplica = ({ server }: Connection) => server.isReplica === true

function processOf({ server, pid }: Connection): ServerProcess {
  return { server: server.id, pid }
}
