/**
 * A distributed table's locks on its shards, taken before it is changed there.
 *
 * A statement that names a leaf locks the leaf and then its parent, one that names the parent the other way round, as a change
 * does. So whoever waits while holding a part of the locks can be in a deadlock. A change never does for long: it gives up
 * what it has before PostgreSQL would look for deadlocks (deadlock_timeout), and tries again, until it has all at once, on all
 * shards: a reader that merges the rows of several shards reads no more of one while another keeps it waiting, and would wait for ever
 * for a change that has the one and waits for the other.
 *
 * The locks of other tables, and the shell's, it keeps. So the transaction is told of such waits: they may be part of a deadlock over
 * several servers, and then it is the change that gives way (transaction/deadlock-detector.ts).
 */
import { SqlError } from '../../base/errors.ts'
import { limits } from '../../base/limits.ts'
import { qualified, quoteLiteral } from '../../base/quote.ts'
import { settleAll } from '../../base/settle-all.ts'
import type { Relation } from '../../catalog/snapshot.ts'
import type { SchemaChange } from './schema-change.ts'
import { holders } from './table-definition.ts'

export interface TableOnShard {
  readonly shard: number
  /** Quoted and qualified. */
  readonly table: string
}

const lockNotAvailable = '55P03'

export async function lockTable(relation: Relation, change: SchemaChange): Promise<void> {
  if (relation.table?.kind !== 'distributed' || change.locked.has(relation.oid)) return
  const table = qualified(relation.schema, relation.name)
  await lockTables(holders(relation, change).map((shard) => ({ shard, table })), change)
  change.locked.add(relation.oid)
}

/** The table of an index, where shards have the index. */
export async function lockTableOf(index: string, change: SchemaChange): Promise<void> {
  const found = await settleAll(
    change.shardIds.map(async (shard) => {
      const { rows } = await change.onShard(
        shard,
        `SELECT format('%I.%I', n.nspname, c.relname) FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE i.indexrelid = to_regclass(${quoteLiteral(index)}) AND c.relkind = 'p'`,
      )
      const table = rows[0]?.[0]
      return table === undefined ? [] : [{ shard, table }]
    }),
  )
  await lockTables(found.flat(), change)
}

/** Locks all of them, or nothing, again and again until lock_timeout is over. */
export async function lockTables(tables: readonly TableOnShard[], change: SchemaChange): Promise<void> {
  const { transaction } = change.context
  const timeouts = await settleAll(tables.map(({ shard }) => change.onShard(shard, `SELECT setting, current_setting('lock_timeout') FROM pg_settings WHERE name = 'lock_timeout'`)))
  const [ms = '0', setting = '0'] = timeouts[0]?.rows[0] ?? []
  const connections = tables.flatMap(({ shard }) => transaction.participants.get(shard)?.connection ?? [])
  for (const connection of connections) transaction.repeatedWaits.add(connection)
  try {
    await lockRepeatedly(tables, change, Number(ms), setting)
  } finally {
    for (const connection of connections) transaction.repeatedWaits.delete(connection)
  }
}

async function lockRepeatedly(tables: readonly TableOnShard[], change: SchemaChange, timeoutMs: number, setting: string): Promise<void> {
  const { clock, transaction } = change.context
  const onAll = (text: string) => settleAll(tables.map(({ shard }) => change.onShard(shard, text)))
  const until = timeoutMs === 0 ? Number.POSITIVE_INFINITY : clock.ticks() + timeoutMs
  for (;;) {
    const wait = Math.ceil(Math.max(1, Math.min(limits.changeLockMsMax, until - clock.ticks())))
    const lock = (table: string) => `SAVEPOINT pgherd_lock; SET LOCAL lock_timeout = ${wait}; LOCK TABLE ${table} IN ACCESS EXCLUSIVE MODE; SET LOCAL lock_timeout = ${quoteLiteral(setting)}`
    const results = await Promise.allSettled(tables.map(({ shard, table }) => change.onShard(shard, lock(table))))
    const errors = results.flatMap((result) => (result.status === 'rejected' ? [result.reason as unknown] : []))
    if (errors.length === 0) {
      await onAll('RELEASE pgherd_lock')
      return
    }
    const isTaken = (error: unknown) => error instanceof SqlError && error.code === lockNotAvailable
    const failure = clock.ticks() >= until ? errors[0] : errors.find((error) => !isTaken(error))
    if (failure !== undefined) throw failure
    await onAll('ROLLBACK TO pgherd_lock; RELEASE pgherd_lock')
    // Chosen while it waited for nothing: no server could tell it so.
    if (transaction.isVictim) throw new SqlError('57014', 'canceling statement due to user request')
    // Those who have waited for this come first.
    await clock.sleep(clock.randomInt(limits.changeLockMsMax) / 4)
  }
}
