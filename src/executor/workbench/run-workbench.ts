/**
 * Any write, with PostgreSQL's own semantics: the statement runs on the catalog over benches (planner/plan-workbench.ts).
 *
 *   lock and copy rows -> run the statement -> collect what it did -> rows go, change, come -> drop the benches
 *
 * All of it is one transaction, so that an error anywhere leaves nothing.
 */
import { SqlError } from '../../base/errors.ts'
import { quoteIdent } from '../../base/quote.ts'
import type { Relation } from '../../catalog/snapshot.ts'
import type { BenchView, WorkbenchPlan } from '../../planner/plan.ts'
import { query } from '../../shard/query.ts'
import type { Arguments, ExecutionContext } from '../context.ts'
import { catalogParticipant, gatherRows } from '../gather.ts'
import type { ResultSink } from '../result-sink.ts'
import { runOnServer } from '../run-on-server.ts'
import { withTransaction } from '../scatter.ts'
import type { Translate } from '../shell-names.ts'
import type { StatementEnd } from '../statement-exchange.ts'
import { catalogText } from '../transaction-time.ts'
import type { MadeBench } from './benches.ts'
import { dropText, makeBench } from './benches.ts'
import { Carrier } from './carry.ts'

export function executeWorkbench(plan: WorkbenchPlan, args: Arguments, sink: ResultSink, context: ExecutionContext): Promise<StatementEnd> {
  return withTransaction(context, async () => {
    const benches: MadeBench[] = []
    for (const bench of plan.benches) {
      const timed = plan.timeDefaults.find((one) => one.temporary === bench.temporary)?.defaults ?? []
      benches.push(await makeBench(bench, timed, args, context))
    }
    const views = await makeViews(plan.views, context)
    const named = await gatherRows(plan.fetches, args, context)
    const text = await catalogText(plan, context)
    const statement = { text, markers: [], writes: false, cannotPrepare: true, pins: plan.pins, translate: withTables([...benches, ...views], named) }
    const end = await runOnServer(context.catalog, statement, { ...args, keep: false, portal: '', rowsMax: 0 }, sink, context).catch((error: unknown) => {
      throw error instanceof SqlError ? withNames(error, [...benches, ...plan.views]) : error
    })
    await carryAll(benches, context)
    const { connection } = await catalogParticipant(context)
    const dropViews = plan.views.toReversed().map((view) => `DROP VIEW pg_temp.${view.temporary}`)
    await query(connection, [...dropViews, ...benches.map(dropText)].join('; '))
    return end
  })
}

interface Named {
  readonly temporary: string
  readonly relation: Relation
}

async function makeViews(views: readonly BenchView[], context: ExecutionContext): Promise<(Named & Oids)[]> {
  const { connection } = await catalogParticipant(context)
  const made: (Named & Oids)[] = []
  for (const { temporary, relation, text, defaults } of views) {
    const changes = defaults.map((one) => `ALTER VIEW pg_temp.${temporary} ALTER COLUMN ${quoteIdent(one.column)} SET DEFAULT ${one.text}`)
    await query(connection, [`CREATE TEMPORARY VIEW ${temporary} ${text}`, ...changes].join('; '))
    const { rows } = await query(connection, `SELECT c.oid::int8, c.reltype::int8, (SELECT o.reltype::int8 FROM pg_class o WHERE o.oid = ${relation.oid}) FROM pg_class c WHERE c.oid = 'pg_temp.${temporary}'::regclass`)
    const [oid, rowTypeOid, own] = rows[0] ?? []
    made.push({ temporary, relation, oid: Number(oid), rowTypeOid: Number(rowTypeOid), rules: { rowTypeOid: Number(own) } })
  }
  return made
}

interface Oids {
  readonly oid: number
  readonly rowTypeOid: number
  readonly rules: { readonly rowTypeOid: number }
}

/** Rows that refer to others go before them, and come after them. */
async function carryAll(benches: readonly MadeBench[], context: ExecutionContext): Promise<void> {
  const carriers: { carrier: Carrier; bench: MadeBench }[] = []
  for (const bench of childrenFirst(benches)) {
    const carrier = new Carrier(bench, context)
    if (await carrier.collect()) carriers.push({ carrier, bench })
  }
  for (const { carrier, bench } of carriers) if (bench.changes) await carrier.removeRows()
  for (const { carrier, bench } of carriers) if (bench.changes) await carrier.changeRows()
  for (const { carrier } of carriers.toReversed()) await carrier.addRows()
}

function childrenFirst(benches: readonly MadeBench[]): MadeBench[] {
  const ordered: MadeBench[] = []
  const place = (bench: MadeBench, above: ReadonlySet<MadeBench>): void => {
    if (ordered.includes(bench) || above.has(bench)) return
    const children = benches.filter((one) => one !== bench && bench.rules.referencedBy.some((key) => key.child === one.relation.oid))
    for (const child of children) place(child, new Set([...above, bench]))
    ordered.push(bench)
  }
  for (const bench of benches) place(bench, new Set())
  return ordered
}

/** Columns of a bench are its table's. */
function withTables(benches: readonly (Named & Oids)[], others: Translate): Translate {
  const byOid = new Map(benches.map((bench) => [bench.oid, bench.relation]))
  const rowTypes = new Map(benches.map((bench) => [bench.rowTypeOid, bench.rules.rowTypeOid]))
  return (fields) =>
    others(fields).map((field) => {
      const relation = byOid.get(field.tableOid)
      const typed = { ...field, typeOid: rowTypes.get(field.typeOid) ?? field.typeOid }
      return relation === undefined ? typed : { ...typed, tableOid: relation.oid, columnNumber: relation.columns[field.columnNumber - 1]?.number ?? 0 }
    })
}

/** An error about a bench is one about its table. */
function withNames(error: SqlError, benches: readonly Named[]): SqlError {
  const { fields } = error
  const rename = (text: string | undefined) => benches.reduce((done, { temporary, relation }) => done?.replaceAll(`"${temporary}"`, `"${relation.name}"`), text)
  const bench = benches.find((one) => one.temporary === fields.table)
  const place = bench === undefined ? {} : { schema: bench.relation.schema, table: bench.relation.name }
  return new SqlError(fields.code, rename(fields.message) ?? '', { ...fields, detail: rename(fields.detail), ...place })
}
