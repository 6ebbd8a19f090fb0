/** CREATE TABLE AS and SELECT INTO: the table from the query's columns, then its rows by INSERT ... SELECT. */
import { refuse } from '../../base/errors.ts'
import { qualified, quoteIdent } from '../../base/quote.ts'
import { noArguments } from '../../executor/context.ts'
import { executePlan } from '../../executor/execute-plan.ts'
import { gatherRows } from '../../executor/gather.ts'
import { NullSink } from '../../executor/result-sink.ts'
import { readAtOneMoment } from '../../executor/one-moment.ts'
import { runOnServer } from '../../executor/run-on-server.ts'
import { withTransaction } from '../../executor/scatter.ts'
import { catalogText } from '../../executor/transaction-time.ts'
import { tagCount } from '../../executor/tags.ts'
import { placeNewTable } from '../../executor/schema/place-table.ts'
import { planStatement } from '../../planner/plan-statement.ts'
import type { SelectStmt } from '../../sql/ast.ts'
import { intoOf } from '../../sql/ast.ts'
import { parseStatements } from '../../sql/parse.ts'
import { SourceText } from '../../sql/source-text.ts'
import type { Handler } from '../statements/run-statement.ts'
import { beginningAnew } from '../begin-anew.ts'
import { changeSchema } from './change-schema.ts'
import { splitCreateAs } from './create-as-text.ts'
import { placementOptions } from './placement-options.ts'

export const createTableAs: Handler = async (statement, _args, _sink, session) => {
  const { head, query, withoutData } = splitCreateAs(statement)
  const [select] = parseStatements(query)
  if (select?.node.SelectStmt === undefined) throw refuse('CREATE TABLE AS of anything but a SELECT is not supported')
  const into = statement.node.CreateTableAsStmt?.into ?? intoOf(statement.node.SelectStmt as SelectStmt | undefined)
  const rangeVar = into?.rel
  if (rangeVar?.relpersistence === 't' || rangeVar?.schemaname === 'pg_temp') {
    const end = await beginningAnew({}, session, async () => {
      const snapshot = await session.currentSnapshot()
      const context = session.executionContext(snapshot)
      const { plan } = planStatement(select, session.nameContext(snapshot, []), 'catalog')
      const make = async () => {
        if (plan.kind === 'gather') await gatherRows(plan.fetches, noArguments, context)
        const text = plan.kind === 'gather' || plan.kind === 'catalog' ? await catalogText(plan, context) : query
        const shell = { text: `${head} ${text}${withoutData ? ' WITH NO DATA' : ''}`, markers: [], writes: false, pins: true, cannotPrepare: true }
        return runOnServer(session.services.catalog, shell, noArguments, new NullSink(), context)
      }
      return readAtOneMoment(plan, noArguments, context, () => withTransaction(context, make))
    })
    await session.refreshTemporary()
    return end
  }
  let count = 0
  const end = await changeSchema(session, async (change) => {
    const before = new Set(change.snapshot.relationsByOid.keys())
    const { shellText, asked } = placementOptions({ ...statement, source: new SourceText(head) }, change.snapshot)
    const made = await change.onCatalog(`${shellText} ${query} WITH NO DATA`)
    const after = await change.reload()
    const relation = [...after.relationsByOid.values()].find((one) => one.relkind === 'r' && !before.has(one.oid))
    if (relation === undefined) return { kind: 'complete', tag: made.tag }
    await placeNewTable(relation.oid, asked?.(relation), change, (message) => session.notice('00000', message))
    if (withoutData) return { kind: 'complete', tag: 'CREATE TABLE AS' }
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
