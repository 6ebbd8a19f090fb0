/** CREATE TABLE AS and SELECT INTO: the table from the query's columns, then its rows by INSERT ... SELECT. */
import { refuse } from '../../base/errors.ts'
import { qualified, quoteIdent } from '../../base/quote.ts'
import { noArguments } from '../../executor/context.ts'
import { executePlan } from '../../executor/execute-plan.ts'
import { gatherRows } from '../../executor/gather.ts'
import { NullSink } from '../../executor/result-sink.ts'
import { runOnServer } from '../../executor/run-on-server.ts'
import { withTransaction } from '../../executor/scatter.ts'
import { tagCount } from '../../executor/tags.ts'
import { placeNewTable } from '../../executor/schema/place-table.ts'
import { planStatement } from '../../planner/plan-statement.ts'
import { parseStatements } from '../../sql/parse.ts'
import { findKeyword } from '../../sql/scanner.ts'
import type { Handler } from '../statements/run-statement.ts'
import { changeSchema } from './change-schema.ts'

export const createTableAs: Handler = async (statement, _args, _sink, session) => {
  const node = statement.node.CreateTableAsStmt
  if (node === undefined) throw refuse('SELECT INTO is not supported', 'Use CREATE TABLE AS.')
  const { source } = statement
  const as = findKeyword(source.raw, 'as')
  const noData = node.into?.skipData === true
  const withData = /\bwith\s+(no\s+)?data\s*;?\s*$/i.exec(source.raw)
  const query = source.between(as?.end ?? 0, withData?.index ?? source.length).replace(/;\s*$/, '')
  const head = source.between(0, as?.end ?? 0)
  const [select] = parseStatements(query)
  if (select?.node.SelectStmt === undefined) throw refuse('CREATE TABLE AS of anything but a SELECT is not supported')
  const rangeVar = node.into?.rel
  if (rangeVar?.relpersistence === 't' || rangeVar?.schemaname === 'pg_temp') {
    const snapshot = await session.currentSnapshot()
    const context = session.executionContext(snapshot)
    const end = await withTransaction(context, async () => {
      const { plan } = planStatement(select, session.nameContext(snapshot, []), 'catalog')
      if (plan.kind === 'gather') await gatherRows(plan.fetches, noArguments, context)
      const text = plan.kind === 'gather' || plan.kind === 'catalog' ? plan.text : query
      const shell = { text: `${head} ${text} ${withData?.[0] ?? ''}`, markers: [], writes: false, pins: true, cannotPrepare: true }
      return runOnServer(session.services.catalog, shell, noArguments, new NullSink(), context)
    })
    await session.refreshTemporary()
    return end
  }
  let count = 0
  const end = await changeSchema(session, async (change) => {
    const before = new Set(change.snapshot.relationsByOid.keys())
    const made = await change.onCatalog(`${head} ${query} WITH NO DATA`)
    const after = await change.reload()
    const relation = [...after.relationsByOid.values()].find((one) => one.relkind === 'r' && !before.has(one.oid))
    if (relation === undefined) return { kind: 'complete', tag: made.tag }
    await placeNewTable(relation.oid, undefined, change, (message) => session.notice('00000', message))
    if (noData) return { kind: 'complete', tag: 'CREATE TABLE AS' }
    const columns = relation.columns.map((column) => quoteIdent(column.name)).join(', ')
    const [insert] = parseStatements(`INSERT INTO ${qualified(relation.schema, relation.name)} (${columns}) ${query}`)
    const snapshot = await change.reload()
    if (insert === undefined) throw refuse('cannot read the query')
    const { plan } = planStatement(insert, session.nameContext(snapshot, []))
    count = tagCount(await executePlan(plan, noArguments, new NullSink(), { ...change.context, snapshot }))
    return { kind: 'complete', tag: `SELECT ${count}` }
  })
  return end
}
