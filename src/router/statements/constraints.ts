/** SET CONSTRAINTS: on the shards that keep the constraints; all of them are told with ALL, those to come as well. */
import { quoteIdent, quoteLiteral } from '../../base/quote.ts'
import { settleAll } from '../../base/settle-all.ts'
import { dataSchema } from '../../catalog/snapshot.ts'
import { noArguments, serverById } from '../../executor/context.ts'
import { NullSink, RowsSink } from '../../executor/result-sink.ts'
import { runOnServer } from '../../executor/run-on-server.ts'
import { readDataRow } from '../../protocol/row-description.ts'
import type { AnyNode } from '../../sql/ast.ts'
import type { Handler } from './run-statement.ts'

export const setConstraints: Handler = async (statement, _args, sink, session) => {
  const node = statement.node.ConstraintsSetStmt
  const { transaction, services } = session
  const snapshot = await session.currentSnapshot()
  const context = session.executionContext(snapshot)
  const on = (server: typeof services.catalog, text: string) => runOnServer(server, { text, markers: [], writes: false }, noArguments, new NullSink(), context)
  // The shell says whether there is such a constraint, and whether it can be deferred.
  const end = await runOnServer(services.catalog, { text: statement.source.text, markers: [], writes: false }, noArguments, sink, context)
  if (!transaction.active) return end
  const mode = node?.deferred === true ? 'DEFERRED' : 'IMMEDIATE'
  if (node?.constraints === undefined) {
    await settleAll([...transaction.participants.values()].filter((one) => one.server.id !== 0).map((one) => on(one.server, statement.source.text)))
    transaction.note(`SET CONSTRAINTS ALL ${mode}`, undefined)
    return end
  }
  for (const item of node.constraints) {
    const { schemaname, relname = '' } = (item as AnyNode).RangeVar ?? {}
    const found = new RowsSink()
    const schema = schemaname === undefined ? 'n.nspname = ANY (current_schemas(true))' : `n.nspname = ${quoteLiteral(schemaname)}`
    const text = `SELECT c.conrelid::int8, n.nspname FROM pg_constraint c JOIN pg_namespace n ON n.oid = c.connamespace WHERE c.conname = ${quoteLiteral(relname)} AND c.condeferrable AND ${schema}`
    await runOnServer(services.catalog, { text, markers: [], writes: false }, noArguments, found, context)
    for (const row of found.rows) {
      const [oid, nsp] = readDataRow(row, 0).map(String)
      const table = snapshot.relationsByOid.get(Number(oid))?.table
      if (table === undefined) continue
      // Co-located tables have the constraint from leaf to leaf.
      const name = `${quoteIdent(table.kind === 'distributed' ? dataSchema : (nsp ?? ''))}.${quoteIdent(relname)}`
      const shards = table.kind === 'single' ? [table.shard ?? 0] : snapshot.shards.map((shard) => shard.id)
      await settleAll(shards.map((shard) => on(serverById(context, shard), `SET CONSTRAINTS ${name} ${mode}`)))
    }
  }
  return end
}
