/** Makes the benches of a statement: copies of tables on the catalog, with the tables' rules and a log of what happens to them. */
import { qualified, quoteIdent, quoteLiteral } from '../../base/quote.ts'
import { catalogId } from '../../catalog/server-address.ts'
import type { Relation } from '../../catalog/snapshot.ts'
import type { Bench, TimeDefault } from '../../planner/plan.ts'
import { renderTimedText } from '../../planner/rewrite.ts'
import { query } from '../../shard/query.ts'
import type { Lease } from '../../transaction/transaction.ts'
import type { Arguments, ExecutionContext } from '../context.ts'
import { noArguments, serverById } from '../context.ts'
import { analyzeRowsMin, catalogParticipant, copyInto, CopySink, withValues } from '../gather.ts'
import { lockEverywhere } from '../insert.ts'
import { shardsFor } from '../key-bucket.ts'
import { withoutMoves } from '../moved-rows.ts'
import { runOnServer } from '../run-on-server.ts'
import { inOrder } from '../in-order.ts'
import { endCopy, failCopy, StatementFailure } from '../statement-exchange.ts'
import { timeFor } from '../transaction-time.ts'
import type { TableRules } from './table-rules.ts'
import { readTableRules } from './table-rules.ts'

export interface MadeBench extends Bench {
  readonly rules: TableRules
  /** On the catalog, of the copy. */
  readonly oid: number
  readonly rowTypeOid: number
}

/** The columns that values are given for. */
export const writableColumns = (relation: Relation): string[] => relation.columns.filter((column) => !column.generated).map((column) => column.name)

const part = (bench: Bench, letter: string) => `pg_temp.${bench.temporary.replace('pgherd_w', `pgherd_${letter}`)}`

/** The copy, the rows it was filled with and where they are, and what the statement did. */
export const copyOf = (bench: Bench) => `pg_temp.${bench.temporary}`
export const stageOf = (bench: Bench) => part(bench, 's')
export const logOf = (bench: Bench) => part(bench, 'l')
export const changesOf = (bench: Bench) => part(bench, 'c')
const noteOf = (bench: Bench) => part(bench, 'note')

/** Runs inside a transaction. */
export async function makeBench(bench: Bench, timed: readonly TimeDefault[], args: Arguments, context: ExecutionContext): Promise<MadeBench> {
  const lease = await catalogParticipant(context)
  const { connection } = lease
  const { relation } = bench
  const rules = await readTableRules(relation, connection)
  const columns = writableColumns(relation).map(quoteIdent).join(', ')
  const table = qualified(relation.schema, relation.name)
  await query(
    connection,
    `CREATE TEMPORARY TABLE ${stageOf(bench).slice('pg_temp.'.length)} ON COMMIT DROP AS
       SELECT ${columns}, 0::int4 AS pgherd_shard, 0::int8 AS pgherd_leaf, '(0,0)'::tid AS pgherd_tid FROM ${table} WITH NO DATA`,
  )
  const rows = bench.changes ? await fillStage(bench, lease, args, context) : 0
  const time = timed.length === 0 ? undefined : await timeFor([context.catalog], context)
  const name = copyOf(bench)
  const defaults = [
    ...relation.columns.flatMap((column) => (column.identity === '' || column.sequence === undefined ? [] : [`ALTER ${quoteIdent(column.name)} SET DEFAULT nextval(${quoteLiteral(column.sequence)}::regclass)`])),
    ...(time === undefined ? [] : timed.map((one) => `ALTER ${quoteIdent(one.column)} SET DEFAULT ${renderTimedText(one, time)}`)),
  ]
  await query(
    connection,
    [
      `CREATE TEMPORARY TABLE ${bench.temporary} (LIKE ${table} INCLUDING DEFAULTS INCLUDING GENERATED) ON COMMIT DROP`,
      ...(defaults.length === 0 ? [] : [`ALTER TABLE ${name} ${defaults.join(', ')}`]),
      `INSERT INTO ${name} (${columns}) SELECT ${columns} FROM ${stageOf(bench)}`,
      ...rules.statements.map((statement) => statement.replace('%TABLE%', name)),
      ...(rows >= analyzeRowsMin ? [`ANALYZE ${name}`, `ANALYZE ${stageOf(bench)}`] : []),
      ...logStatements(bench),
    ].join('; '),
  )
  const found = await query(connection, `SELECT oid::int8, reltype::int8 FROM pg_class WHERE oid = '${name}'::regclass`)
  return { ...bench, rules, oid: Number(found.rows[0]?.[0]), rowTypeOid: Number(found.rows[0]?.[1]) }
}

/** A row trigger writes what happens, in the order in which it happens. */
function logStatements(bench: Bench): string[] {
  const name = copyOf(bench)
  const log = logOf(bench)
  return [
    `CREATE TEMPORARY TABLE ${log.slice('pg_temp.'.length)} (n int8 GENERATED ALWAYS AS IDENTITY, op text, old_row ${name}, new_row ${name}) ON COMMIT DROP`,
    `CREATE FUNCTION ${noteOf(bench)}() RETURNS trigger LANGUAGE plpgsql AS $note$ BEGIN
       IF TG_OP = 'INSERT' THEN INSERT INTO ${log} (op, new_row) VALUES (TG_OP, NEW);
       ELSIF TG_OP = 'DELETE' THEN INSERT INTO ${log} (op, old_row) VALUES (TG_OP, OLD);
       ELSE INSERT INTO ${log} (op, old_row, new_row) VALUES (TG_OP, OLD, NEW);
       END IF;
       RETURN NULL;
     END $note$`,
    `CREATE TRIGGER pgherd_note AFTER INSERT OR UPDATE OR DELETE ON ${name} FOR EACH ROW EXECUTE FUNCTION ${noteOf(bench)}()`,
  ]
}

export function dropText(bench: Bench): string {
  return `DROP TABLE IF EXISTS ${changesOf(bench)}, ${logOf(bench)}, ${stageOf(bench)}, ${copyOf(bench)}; DROP FUNCTION IF EXISTS ${noteOf(bench)}()`
}

/** The rows that may change come from their shards, locked there. Gives how many there are. */
async function fillStage(bench: Bench, lease: Lease, args: Arguments, context: ExecutionContext): Promise<number> {
  const { relation } = bench
  const table = qualified(relation.schema, relation.name)
  const columns = writableColumns(relation).map(quoteIdent).join(', ')
  const conditions = bench.where.flatMap((condition) => withValues(condition, args) ?? [])
  const where = conditions.length === 0 ? '' : ` WHERE ${conditions.map((condition) => `(${condition})`).join(' AND ')}`
  if (relation.table?.kind === 'reference') {
    await lockEverywhere(table, context)
    const { tag } = await query(lease.connection, `INSERT INTO ${stageOf(bench)} SELECT ${columns}, 0, 0, '(0,0)' FROM ${table}${where}`)
    return Number(tag.split(' ').at(-1))
  }
  const shards = await shardsFor(bench, args, context)
  const input = await copyInto(lease, `COPY ${stageOf(bench)} FROM STDIN`)
  try {
    const fill = () => inOrder(shards, (shard) => {
      const text = `COPY (SELECT ${columns}, ${shard}, tableoid::int8, ctid FROM ${table}${where} FOR UPDATE) TO STDOUT`
      return runOnServer(serverById(context, shard), { text, markers: shard === catalogId ? [] : bench.markers, writes: false }, noArguments, new CopySink(input), context)
    })
    // A row that has one key, and gets another, is not among those with that key.
    const mayMiss = relation.table?.kind === 'distributed' && bench.keys?.sources.length !== 1
    await withoutMoves(shards, mayMiss ? bench.markers : [], context, fill)
  } catch (error) {
    await failCopy(input, 'a shard failed').catch(() => undefined)
    throw error
  }
  const end = await endCopy(input).catch((failure: unknown) => {
    throw failure instanceof StatementFailure ? failure.error : failure
  })
  return end.kind === 'complete' ? Number(end.tag.split(' ')[1]) : 0
}
