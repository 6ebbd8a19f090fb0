/**
 * Materialized views: on one shard each. The shell has the view itself, without rows, for its definition; the shard has one of
 * the same name over a table of rows (pgherd_data.q<id>), which a refresh fills with what the query gives over all shards.
 * So PostgreSQL itself sees to what can be read, indexed, locked, and refreshed CONCURRENTLY.
 */
import { refuse, SqlError } from '../../base/errors.ts'
import { limits } from '../../base/limits.ts'
import { quoteIdent } from '../../base/quote.ts'
import { proposeShard } from '../../catalog/ring.ts'
import type { Relation } from '../../catalog/snapshot.ts'
import { markerName } from '../../catalog/snapshot.ts'
import type { ExecutionContext } from '../../executor/context.ts'
import { noArguments, serverById } from '../../executor/context.ts'
import { executePlan } from '../../executor/execute-plan.ts'
import { makeRowsTable } from '../../executor/insert.ts'
import { NullSink, RowsSink } from '../../executor/result-sink.ts'
import { RowRouter } from '../../executor/row-router.ts'
import { runOnServer, StaleLayout } from '../../executor/run-on-server.ts'
import { placeMaterializedView } from '../../executor/schema/place-table.ts'
import { rowsOfView } from '../../executor/schema/materialized-view.ts'
import { withTransaction } from '../../executor/scatter.ts'
import { rowsTable } from '../../planner/plan.ts'
import { planStatement } from '../../planner/plan-statement.ts'
import { readDataRow } from '../../protocol/row-description.ts'
import type { RangeVar } from '../../sql/ast.ts'
import { parseStatements } from '../../sql/parse.ts'
import type { Session } from '../session.ts'
import type { Handler } from '../statements/run-statement.ts'
import { changeSchema } from './change-schema.ts'
import { splitCreateAs } from './create-as-text.ts'
import { targetOf } from './target.ts'

export const createMaterializedView: Handler = async (statement, _args, _sink, session) => {
  const { head, query, withoutData } = splitCreateAs(statement)
  return changeSchema(session, async (change) => {
    const before = new Set(change.snapshot.relationsByOid.keys())
    const made = await change.onCatalog(`${head} ${query} WITH NO DATA`)
    const relation = [...(await change.reload()).relationsByOid.values()].find((one) => one.relkind === 'm' && !before.has(one.oid))
    if (relation === undefined) return { kind: 'complete', tag: made.tag }
    const shard = proposeShard(`${relation.schema}.${relation.name}`, change.shardsForNew)
    const placed = await placeMaterializedView(relation, shard, change)
    if (withoutData) return { kind: 'complete', tag: 'CREATE MATERIALIZED VIEW' }
    const count = await refresh(placed, false, { ...change.context, snapshot: change.snapshot }, session)
    return { kind: 'complete', tag: `SELECT ${count}` }
  })
}

/** No schema changes: only the shard is written, so that what CONCURRENTLY needs there (temporary tables) can be committed. */
export const refreshMaterializedView: Handler = async (statement, _args, sink, session) => {
  const node = statement.node.RefreshMatViewStmt
  const isConcurrent = node?.concurrent === true
  if (isConcurrent && node?.skipData === true) throw new SqlError('42601', 'REFRESH options CONCURRENTLY and WITH NO DATA cannot be used together')
  for (let attempt = 0; ; attempt++) {
    const snapshot = await session.currentSnapshot()
    // What is written must not rest on rows that are old.
    const context = { ...session.executionContext(snapshot, statement.source.text), replicas: undefined }
    const relation = targetOf(node?.relation as RangeVar, snapshot, session)
    if (relation?.relkind !== 'm' || relation.table === undefined) {
      // PostgreSQL says what is wrong with it.
      await runOnServer(session.services.catalog, { text: statement.source.text, markers: [], writes: true }, noArguments, sink, context)
      throw refuse('this materialized view is not on a shard')
    }
    try {
      await withTransaction(context, async () => {
        if (node?.skipData === true) await onShard(relation, `REFRESH MATERIALIZED VIEW ${rowsOfView(relation).view} WITH NO DATA`, context)
        else await refresh(relation, isConcurrent, context, session)
      })
      return { kind: 'complete', tag: 'REFRESH MATERIALIZED VIEW' }
    } catch (error) {
      if (!(error instanceof StaleLayout)) throw error
      if (attempt === limits.staleRetriesMax || session.transaction.active) throw error.error
      await session.services.store.refresh(session.database)
    }
  }
}

async function onShard(relation: Relation, text: string, context: ExecutionContext, cannotPrepare = false): Promise<void> {
  const { table } = relation
  const statement = { text, markers: table === undefined ? [] : [markerName(table)], writes: true, cannotPrepare }
  await runOnServer(serverById(context, table?.shard ?? 0), statement, noArguments, new NullSink(), context)
}

/** Gives the number of rows. */
async function refresh(relation: Relation, isConcurrent: boolean, context: ExecutionContext, session: Session): Promise<number> {
  const { view, rows, columns } = rowsOfView(relation)
  // Two refreshes at once come one after the other, as in PostgreSQL; readers are not kept.
  await onShard(relation, `LOCK TABLE ${rows} IN EXCLUSIVE MODE`, context)
  const found = new RowsSink()
  await runOnServer(context.catalog, { text: `SELECT pg_get_viewdef(${relation.oid})`, markers: [], writes: false }, noArguments, found, context)
  const definition = readDataRow(found.rows[0] as Buffer, 0)[0]?.toString().replace(/;\s*$/, '') ?? ''
  await makeRowsTable(relation, [], context)
  await queryInto(relation, definition, context, session)
  const count = await copyTo(relation, rows, columns, context)
  await onShard(relation, `REFRESH MATERIALIZED VIEW ${isConcurrent ? 'CONCURRENTLY ' : ''}${view}`, context, isConcurrent)
  await onShard(relation, `TRUNCATE ${rows}`, context)
  return count
}

/** The query's rows, from wherever they are, into the temporary table of rows on the catalog. */
async function queryInto(relation: Relation, definition: string, context: ExecutionContext, session: Session): Promise<void> {
  const list = relation.columns.map((column) => quoteIdent(column.name)).join(', ')
  const [insert] = parseStatements(`INSERT INTO pg_temp.${rowsTable} (${list}) ${definition}`)
  if (insert === undefined) throw refuse('cannot read the query of the materialized view')
  const { plan } = planStatement(insert, session.nameContext(context.snapshot, []))
  // The table of rows is the transaction's: the session need not keep the connection for it, nor has the catalog been written.
  const own = plan.kind === 'gather' || plan.kind === 'catalog' ? { ...plan, pins: false, writes: false } : plan
  await executePlan(own, noArguments, new NullSink(), context)
}

async function copyTo(relation: Relation, rows: string, columns: readonly string[], context: ExecutionContext): Promise<number> {
  const [schema = '', name = ''] = rows.split('.')
  const target: Relation = { ...relation, schema, name, columns: relation.columns.map((column, i) => ({ ...column, name: columns[i] ?? '' })), triggers: [] }
  const router = new RowRouter(target, columns, [], context)
  const list = relation.columns.map((column) => quoteIdent(column.name)).join(', ')
  try {
    await router.open()
    await runOnServer(context.catalog, { text: `COPY (SELECT ${list} FROM pg_temp.${rowsTable}) TO STDOUT`, markers: [], writes: false }, noArguments, router.sink, context)
  } catch (error) {
    await router.abort()
    throw error
  }
  await router.finish()
  return router.count
}
