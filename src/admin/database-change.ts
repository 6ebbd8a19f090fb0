/** A change of one database by the router itself: a schema change, in a transaction over all servers that it touches. */
import { limits } from '../base/limits.ts'
import { asSqlError } from '../base/errors.ts'
import { fromDriver } from '../coordination/driver-error.ts'
import type { Lease } from '../coordination/locks.ts'
import type { ExecutionContext } from '../executor/context.ts'
import { SchemaChange } from '../executor/schema/schema-change.ts'
import { query } from '../shard/query.ts'
import { Transaction } from '../transaction/transaction.ts'
import type { ShardParts } from './shard-parts.ts'

/** Commits when `work` is done. Where others keep it from its locks for long, or it would be in a deadlock, it lets go of all and begins again. */
export async function changeDatabase<T>(database: string, lease: Lease, parts: ShardParts, work: (change: SchemaChange) => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await once(database, lease, parts, work)
    } catch (error) {
      if (!givesWay.has(asSqlError(fromDriver(error)).code) || attempt === limits.joinTriesMax) throw error
      await parts.clock.sleep(parts.clock.randomInt(limits.joinPauseMs))
    }
  }
}

/** lock_not_available, deadlock_detected, query_canceled: chosen to end a deadlock over several servers. */
export const givesWay: ReadonlySet<string> = new Set(['55P03', '40P01', '57014'])

async function once<T>(database: string, lease: Lease, parts: ShardParts, work: (change: SchemaChange) => Promise<T>): Promise<T> {
  const { pool, credentials, commit, store, transactions, clock, log } = parts
  const transaction = new Transaction(pool, database, credentials.user, commit, { isolation: 'read committed', readOnly: false })
  transactions.add(transaction)
  transaction.begin('block')
  // One server may be at work for long while others wait; a router that sleeps says nothing.
  const stopBeating = clock.every(limits.joinIdleMsMax / 4, () => {
    if (!lease.lost.aborted) beat(transaction)
  })
  try {
    // Others wait for this one: it must not wait for long, nor sleep in between.
    transaction.note(`SET LOCAL search_path = ''; SET LOCAL lock_timeout = ${limits.joinLockMsMax}; SET LOCAL idle_in_transaction_session_timeout = ${limits.joinIdleMsMax}`, undefined)
    const change = await SchemaChange.begin(await contextOf(transaction, database, parts), store.builtins, () => undefined)
    const result = await work(change)
    await transaction.commit()
    return result
  } catch (error) {
    if (transaction.active) await transaction.rollback()
    throw error
  } finally {
    stopBeating()
    transactions.delete(transaction)
    await store.refresh(database).catch((error: Error) => log.warn(`snapshot of ${database}: ${error.message}`))
  }
}

function beat(transaction: Transaction): void {
  for (const { connection } of transaction.participants.values()) {
    if (connection.pendingExchanges === 0 && !connection.isLost) void query(connection, 'SELECT').catch(() => undefined) // what follows hears of it
  }
}

async function contextOf(transaction: Transaction, database: string, parts: ShardParts): Promise<ExecutionContext> {
  const { catalog, pool, lanes, names, sequences, gate, clock, store, credentials } = parts
  const { user } = credentials
  return {
    transaction, catalog, pool, names, sequences, gate, clock, database, user,
    snapshot: await store.get(database),
    text: '',
    sessionPid: 0,
    consistency: 'shard',
    routerRows: () => Promise.resolve([]),
    refreshSchema: () => store.refresh(database),
    laneGroup: (server) => lanes.group(server, database, user, transaction.settings),
    noteSequence: () => undefined,
  }
}
