/**
 * Any write, with PostgreSQL's own semantics: the statement runs on the catalog over benches (planner/plan-workbench.ts).
 *
 *   lock and copy rows -> run the statement -> collect what it did -> rows go, change, come -> drop the benches
 *
 * All of it is one transaction, so that an error anywhere leaves nothing.
 */
import { SqlError } from '../../base/errors.ts'
import type { WorkbenchPlan } from '../../planner/plan.ts'
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
    const named = await gatherRows(plan.fetches, args, context)
    const text = await catalogText(plan, context)
    const statement = { text, markers: [], writes: false, cannotPrepare: true, pins: plan.pins, translate: withTables(benches, named) }
    const end = await runOnServer(context.catalog, statement, { ...args, keep: false, portal: '', rowsMax: 0 }, sink, context).catch((error: unknown) => {
      throw error instanceof SqlError ? withNames(error, benches) : error
    })
    await carryAll(benches, context)
    const { connection } = await catalogParticipant(context)
    await query(connection, benches.map(dropText).join('; '))
    return end
  })
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
function withTables(benches: readonly MadeBench[], others: Translate): Translate {
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
function withNames(error: SqlError, benches: readonly MadeBench[]): SqlError {
  const { fields } = error
  const rename = (text: string | undefined) => benches.reduce((done, { temporary, relation }) => done?.replaceAll(`"${temporary}"`, `"${relation.name}"`), text)
  const bench = benches.find((one) => one.temporary === fields.table)
  const place = bench === undefined ? {} : { schema: bench.relation.schema, table: bench.relation.name }
  return new SqlError(fields.code, rename(fields.message) ?? '', { ...fields, detail: rename(fields.detail), ...place })
}
