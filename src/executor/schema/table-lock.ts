/**
 * A distributed table's lock on a shard, taken before it is changed there.
 *
 * A statement that names a leaf locks the leaf and then its parent, one that names the parent the other way round, as a change
 * does. So whoever waits while holding a part of the locks can be in a deadlock. A change never does for long: it gives up
 * what it has before PostgreSQL would look for deadlocks (deadlock_timeout), and tries again, until it has all at once. What it holds on
 * other servers it keeps, so the transaction is told of such waits: they may be part of a deadlock over several servers, and then it is
 * the change that gives way (transaction/deadlock-detector.ts).
 */
import { SqlError } from '../../base/errors.ts'
import { limits } from '../../base/limits.ts'
import { qualified, quoteLiteral } from '../../base/quote.ts'
import { settleAll } from '../../base/settle-all.ts'
import type { Relation } from '../../catalog/snapshot.ts'
import type { SchemaChange } from './schema-change.ts'
import { holders } from './table-definition.ts'

const lockNotAvailable = '55P03'

export async function lockTable(relation: Relation, change: SchemaChange): Promise<void> {
  if (relation.table?.kind !== 'distributed' || change.locked.has(relation.oid)) return
  await settleAll(holders(relation, change).map((shard) => lockOn(shard, qualified(relation.schema, relation.name), change)))
  change.locked.add(relation.oid)
}

/** The table of an index, where the shard has the index. */
export async function lockTableOf(index: string, shard: number, change: SchemaChange): Promise<void> {
  const { rows } = await change.onShard(
    shard,
    `SELECT format('%I.%I', n.nspname, c.relname) FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE i.indexrelid = to_regclass(${quoteLiteral(index)}) AND c.relkind = 'p'`,
  )
  const table = rows[0]?.[0]
  if (table !== undefined) await lockOn(shard, table, change)
}

async function lockOn(shard: number, table: string, change: SchemaChange): Promise<void> {
  const { transaction } = change.context
  const { rows } = await change.onShard(shard, `SELECT setting, current_setting('lock_timeout') FROM pg_settings WHERE name = 'lock_timeout'`)
  const connection = transaction.participants.get(shard)?.connection
  if (connection === undefined) throw new Error(`no transaction on shard ${shard}`)
  transaction.repeatedWaits.add(connection)
  try {
    await lockRepeatedly(shard, table, change, rows[0] ?? [])
  } finally {
    transaction.repeatedWaits.delete(connection)
  }
}

async function lockRepeatedly(shard: number, table: string, change: SchemaChange, [ms = '0', setting = '0']: readonly (string | undefined)[]): Promise<void> {
  const { clock, transaction } = change.context
  const until = Number(ms) === 0 ? Number.POSITIVE_INFINITY : clock.now() + Number(ms)
  for (;;) {
    const wait = Math.max(1, Math.min(limits.changeLockMsMax, until - clock.now()))
    try {
      await change.onShard(shard, `SAVEPOINT pgherd_lock; SET LOCAL lock_timeout = ${Math.ceil(wait)}; LOCK TABLE ${table} IN ACCESS EXCLUSIVE MODE; SET LOCAL lock_timeout = ${quoteLiteral(setting)}; RELEASE pgherd_lock`)
      return
    } catch (error) {
      if (!(error instanceof SqlError) || error.code !== lockNotAvailable || clock.now() >= until) throw error
      await change.onShard(shard, 'ROLLBACK TO pgherd_lock; RELEASE pgherd_lock')
      // Chosen while it waited for nothing: no server could tell it so.
      if (transaction.isVictim) throw new SqlError('57014', 'canceling statement due to user request')
      // Those who have waited for this come first.
      await clock.sleep(clock.randomInt(limits.changeLockMsMax) / 4)
    }
  }
}
