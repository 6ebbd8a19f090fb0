/** VACUUM, ANALYZE, CLUSTER, REINDEX, CHECKPOINT, LOCK: on every server that has the table they name. */
import { settleAll } from '../../base/settle-all.ts'
import { SqlError } from '../../base/errors.ts'
import { noArguments, serverById } from '../../executor/context.ts'
import { NullSink } from '../../executor/result-sink.ts'
import { query } from '../../shard/query.ts'
import { runOnServer } from '../../executor/run-on-server.ts'
import { statementFacts } from '../../planner/facts.ts'
import type { Handler } from './run-statement.ts'

export const runMaintenance: Handler = async (statement, _args, sink, session) => {
  const snapshot = await session.currentSnapshot()
  const context = session.executionContext(snapshot)
  const { tables } = statementFacts(statement.node, session.nameContext(snapshot, []))
  const everywhere = new Set(snapshot.shards.map((shard) => shard.id))
  for (const { relation } of tables) {
    const holders =
      relation.table?.kind === 'single'
        ? new Set([relation.table.shard ?? 0])
        : relation.table === undefined
          ? new Set<number>()
          : new Set(snapshot.shards.map((shard) => shard.id))
    for (const id of everywhere) if (!holders.has(id)) everywhere.delete(id)
  }
  const { text } = statement.source
  const isLock = statement.node.LockStmt !== undefined
  if (isLock && session.transaction.state !== 'block') throw new SqlError('25P01', 'LOCK TABLE can only be used in transaction blocks')
  if (isLock || session.transaction.active) {
    // In a transaction block PostgreSQL itself says which of them cannot be.
    const end = await runOnServer(session.services.catalog, { text, markers: [], writes: false }, noArguments, sink, context)
    await settleAll([...everywhere].map((id) => runOnServer(serverById(context, id), { text, markers: [], writes: false }, noArguments, new NullSink(), context)))
    return end
  }
  const tags = await settleAll(
    [0, ...everywhere].map(async (id) => {
      // A request of its own, with nothing in front: these cannot run inside any transaction.
      const lease = await session.transaction.lease(serverById(context, id))
      try {
        for (const command of lease.prelude) await query(lease.connection, command)
        return (await query(lease.connection, text)).tag
      } finally {
        session.transaction.release(lease)
      }
    }),
  )
  return { kind: 'complete', tag: tags[0] ?? '' }
}
