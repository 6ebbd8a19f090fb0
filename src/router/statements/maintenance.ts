/** VACUUM, ANALYZE, CLUSTER, REINDEX, CHECKPOINT, LOCK: on every server that has the table they name. */
import { settleAll } from '../../base/settle-all.ts'
import { SqlError } from '../../base/errors.ts'
import { qualified, quoteIdent } from '../../base/quote.ts'
import type { Relation, Snapshot } from '../../catalog/snapshot.ts'
import type { ExecutionContext } from '../../executor/context.ts'
import { noArguments, serverById } from '../../executor/context.ts'
import { NullSink, RowsSink } from '../../executor/result-sink.ts'
import { query } from '../../shard/query.ts'
import { runOnServer } from '../../executor/run-on-server.ts'
import { statementFacts } from '../../planner/facts.ts'
import { readDataRow } from '../../protocol/row-description.ts'
import type { Statement } from '../../sql/parse.ts'
import type { Handler } from './run-statement.ts'

export const runMaintenance: Handler = async (statement, _args, sink, session) => {
  const snapshot = await session.currentSnapshot()
  const context = { ...session.executionContext(snapshot), replicas: undefined }
  const { tables, relations: named } = statementFacts(statement.node, session.nameContext(snapshot, []))
  if (statement.node.LockStmt !== undefined && named.some(({ rangeVar }) => rangeVar.schemaname === 'pgherd')) {
    throw new SqlError('42501', "permission denied: the tables of schema pgherd are pgherd's own")
  }
  const relations = await Promise.all(tables.map(({ relation }) => tableOf(relation, snapshot, context)))
  const all = snapshot.shards.map((shard) => shard.id)
  const shards = all.filter((id) => relations.every((relation) => holds(relation, id)))
  const { text } = statement.source
  const isLock = statement.node.LockStmt !== undefined
  if (isLock && session.transaction.state !== 'block') throw new SqlError('25P01', 'LOCK TABLE can only be used in transaction blocks')
  if (isLock || session.transaction.active) {
    // In a transaction block PostgreSQL itself says which of them cannot be.
    const end = await runOnServer(session.services.catalog, { text, markers: [], writes: false }, noArguments, sink, context)
    await settleAll(shards.map((id) => runOnServer(serverById(context, id), { text, markers: [], writes: false }, noArguments, new NullSink(), context)))
    return end
  }
  const run = async (id: number, sql: string) => {
    // A request of its own, with nothing in front: these cannot run inside any transaction.
    const lease = await session.transaction.lease(serverById(context, id))
    try {
      for (const command of lease.prelude) await query(lease.connection, command)
      return (await query(lease.connection, sql)).tag
    } finally {
      session.transaction.release(lease)
    }
  }
  // The shell first: it judges the statement.
  const tag = await run(0, text)
  const shardText = await onShards(statement, relations[0], context)
  await settleAll(shards.map((id) => run(id, shardText)))
  return { kind: 'complete', tag }
}

function holds(relation: Relation, shard: number): boolean {
  const { table } = relation
  return table !== undefined && (table.kind !== 'single' || table.shard === shard)
}

async function ask(text: string, context: ExecutionContext): Promise<string | undefined> {
  const sink = new RowsSink()
  await runOnServer(context.catalog, { text, markers: [], writes: false }, noArguments, sink, context)
  const [row] = sink.rows
  return row === undefined ? undefined : readDataRow(row, 0)[0]?.toString()
}

/** An index is where its table is. */
async function tableOf(relation: Relation, snapshot: Snapshot, context: ExecutionContext): Promise<Relation> {
  if (relation.relkind !== 'i' && relation.relkind !== 'I') return relation
  const oid = await ask(`SELECT indrelid::int8 FROM pg_index WHERE indexrelid = ${relation.oid}`, context)
  return snapshot.relationsByOid.get(Number(oid)) ?? relation
}

/** By which index a table is clustered only the shell knows: a partitioned table cannot say. */
async function onShards({ node, source }: Statement, relation: Relation | undefined, context: ExecutionContext): Promise<string> {
  if (node.ClusterStmt === undefined || node.ClusterStmt.indexname !== undefined || relation?.table?.kind !== 'distributed') return source.text
  const index = await ask(`SELECT relname FROM pg_index JOIN pg_class c ON c.oid = indexrelid WHERE indrelid = ${relation.oid} AND indisclustered`, context)
  return `CLUSTER ${qualified(relation.schema, relation.name)} USING ${quoteIdent(index ?? '')}`
}
