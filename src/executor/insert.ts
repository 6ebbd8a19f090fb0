/** INSERT over shards: rows given, and rows made on the catalog. */
import { settleAll } from '../base/settle-all.ts'
import { qualified, quoteIdent, quoteLiteral } from '../base/quote.ts'
import { refuse, SqlError } from '../base/errors.ts'
import { groupBy } from '../base/group-by.ts'
import { limits } from '../base/limits.ts'
import { catalogId } from '../catalog/server-address.ts'
import { bucketOfNull, bucketOfText } from '../catalog/bucket-hash.ts'
import type { Relation } from '../catalog/snapshot.ts'
import { leafName } from '../catalog/snapshot.ts'
import { insertText } from '../planner/plan-insert.ts'
import type { InsertRowsPlan, InsertSelectPlan, TimeDefault } from '../planner/plan.ts'
import { rowsTable } from '../planner/plan.ts'
import { hole, renderTimedText } from '../planner/rewrite.ts'
import { storedKey, storedText } from './stored-key.ts'
import { query } from '../shard/query.ts'
import type { Arguments, ExecutionContext } from './context.ts'
import { noArguments, serverById } from './context.ts'
import { decodeCopyLine } from './copy-format.ts'
import { catalogParticipant, gatherRows } from './gather.ts'
import { bucketOf } from './key-bucket.ts'
import type { ResultSink } from './result-sink.ts'
import { NullSink, RowsSink } from './result-sink.ts'
import { RowRouter } from './row-router.ts'
import { runOnServer } from './run-on-server.ts'
import { withTransaction } from './scatter.ts'
import { tagCount } from './tags.ts'
import { nextValuesText } from './sequence-values.ts'
import type { StatementEnd } from './statement-exchange.ts'
import { runStatement, StatementFailure } from './statement-exchange.ts'
import { catalogText, timeFor } from './transaction-time.ts'

interface FilledRow {
  readonly values: readonly string[]
  readonly bucket: number | undefined
}

export async function executeInsertRows(given: InsertRowsPlan, args: Arguments, sink: ResultSink, context: ExecutionContext): Promise<StatementEnd> {
  const filled = await fillRows(given, args, context)
  const table = given.relation.table
  const parent = qualified(given.relation.schema, given.relation.name)
  const { markers } = given
  const group = context.snapshot.groups.get(table?.group ?? 0)
  const owner = (row: FilledRow) => (table?.kind === 'distributed' ? (group?.owners[row.bucket ?? 0] ?? 0) : (table?.shard ?? 0))
  const shardIds = table?.kind === 'reference' ? [catalogId, ...context.snapshot.shards.map((shard) => shard.id)] : [...new Set(filled.map(owner))]
  const { plan, rows } = await withTime(given, filled, shardIds, context)
  if (table?.kind === 'single') {
    const text = insertText(plan, parent, rows)
    return runOnServer(serverById(context, table.shard ?? 0), { text, markers, writes: true }, args, sink, context)
  }
  if (table?.kind === 'reference') return insertEverywhere(insertText(plan, parent, rows), parent, markers, args, sink, context)
  if (table === undefined || group === undefined) throw new SqlError('XX000', 'the table has no group')
  const buckets = new Set(rows.map((row) => row.bucket))
  const [bucket] = buckets
  if (buckets.size === 1 && bucket !== undefined && !plan.namesConstraint) {
    const text = insertText(plan, leafName(table.id, bucket), rows)
    return runOnServer(serverById(context, group.owners[bucket] ?? 0), { text, markers: [], writes: true, namesLeaves: true }, args, sink, context)
  }
  const byShard = groupBy(rows, owner)
  if (byShard.size === 1) {
    const [shard] = byShard.keys()
    return runOnServer(serverById(context, shard as number), { text: insertText(plan, parent, rows), markers, writes: true }, args, sink, context)
  }
  return withTransaction(context, async () => {
    const results = await settleAll(
      [...byShard].map(async ([shard, own]) => {
        const collected = new RowsSink()
        const end = await runOnServer(serverById(context, shard), { text: insertText(plan, parent, own), markers, writes: true }, args, collected, context)
        return { shard, collected, count: tagCount(end) }
      }),
    )
    if (plan.returning) sendInOrder(plan, rows, results, sink, owner)
    return { kind: 'complete', tag: `INSERT 0 ${results.reduce((sum, one) => sum + one.count, 0)}` }
  })
}

/** The plan with the transaction's time in it, where the servers' own may be another. */
async function withTime(plan: InsertRowsPlan, rows: readonly FilledRow[], shards: readonly number[], context: ExecutionContext): Promise<{ plan: InsertRowsPlan; rows: readonly FilledRow[] }> {
  const timed = plan.timeDefaults.length > 0 || plan.usesTime || plan.relation.triggers.some((trigger) => trigger.usesTime)
  if (!timed) return { plan, rows }
  const time = await timeFor(shards.map((id) => serverById(context, id)), context)
  const fill = (text: string) => (plan.usesTime && text.includes(hole) ? renderTimedText({ pieces: text.split(hole) }, time) : text)
  // Where a server's now() is right, its defaults are too.
  const added = time === undefined ? [] : plan.timeDefaults
  const columns = [...plan.columns, ...added.map(({ column }) => column)]
  const values = added.map((one) => renderTimedText(one, time))
  return { plan: { ...plan, columns, tail: fill(plan.tail) }, rows: rows.map((row) => ({ ...row, values: [...row.values.map(fill), ...values] })) }
}

/** RETURNING gives rows in the order of VALUES, as one PostgreSQL does and ORMs rely on. */
function sendInOrder(
  plan: InsertRowsPlan,
  rows: readonly FilledRow[],
  results: readonly { shard: number; collected: RowsSink }[],
  sink: ResultSink,
  shardOf: (row: FilledRow) => number,
): void {
  const [first] = results
  if (first !== undefined) sink.fields(first.collected.description)
  const send = (row: Buffer | undefined) => row !== undefined && sink.row(row, 0, row.length)
  if (!plan.everyRowReturns) {
    for (const { collected } of results) for (const row of collected.rows) send(row)
    return
  }
  const next = new Map(results.map(({ shard, collected }) => [shard, collected.rows.values()]))
  for (const row of rows) send(next.get(shardOf(row))?.next().value)
}

/** The values of sequences take their places, and each row's bucket is known. */
async function fillRows(plan: InsertRowsPlan, args: Arguments, context: ExecutionContext): Promise<FilledRow[]> {
  const values = plan.rows.map((row) => [...row.values])
  for (const { column, sequence, rows } of plan.sequences) {
    const numbers = await nextValues(sequence, rows.length, context)
    context.noteSequence(sequence, numbers.at(-1) ?? '')
    for (const [i, row] of rows.entries()) (values[row] as string[])[column] = numbers[i] as string
  }
  const { table } = plan.relation
  const buckets = context.snapshot.groups.get(table?.group ?? 0)?.owners.length ?? 1
  const filled: FilledRow[] = []
  for (const [i, row] of plan.rows.entries()) {
    const own = values[i] as string[]
    if (table?.kind !== 'distributed' || table.keyType === undefined) filled.push({ values: own, bucket: undefined })
    else {
      const type = plan.relation.columns.find((column) => column.name === table.keyColumn)?.baseType ?? ''
      const source = storedKey(row.key ?? { kind: 'constant' as const, text: own[plan.keyColumn] ?? '' }, type, args)
      filled.push({ values: own, bucket: await bucketOf(source, table.keyType, buckets, args, context) })
    }
  }
  return filled
}

/** `count` next values of a sequence of the catalog, in order. A transaction that is on the catalog may have made the sequence. */
async function nextValues(sequence: string, count: number, context: ExecutionContext): Promise<string[]> {
  const { transaction } = context
  if (!transaction.participants.has(catalogId) && transaction.pinned === undefined) return context.sequences.next(context.database, context.user, sequence, count)
  const lease = await transaction.lease(context.catalog)
  const sink = new RowsSink()
  try {
    await runStatement(lease.connection, { prelude: lease.prelude, text: nextValuesText(sequence, count) }, sink)
    return sink.rows.map((row) => row.toString('utf8', 6))
  } catch (failure) {
    throw failure instanceof StatementFailure ? failure.error : failure
  } finally {
    transaction.release(lease)
  }
}

/**
 * Writers of a reference table come one by one: a copy that another's commit has not reached yet would not give the same
 * rows. The catalog first, so that they meet there and not in opposite order on two shards.
 */
export async function lockEverywhere(table: string, context: ExecutionContext): Promise<void> {
  if (context.transaction.isolationNow === 'serializable') throw refuse('a SERIALIZABLE transaction cannot write a reference table: its copies are on all servers', 'Use REPEATABLE READ.')
  const text = `LOCK TABLE ${table} IN SHARE ROW EXCLUSIVE MODE`
  for (const server of [context.catalog, ...context.snapshot.shards]) {
    await runOnServer(server, { text, markers: [], writes: false }, noArguments, new NullSink(), context)
  }
}

/** Reference tables: on the catalog, whose rows RETURNING gives, and on every shard. */
export function insertEverywhere(text: string, table: string, markers: readonly string[], args: Arguments, sink: ResultSink, context: ExecutionContext): Promise<StatementEnd> {
  return withTransaction(context, async () => {
    await lockEverywhere(table, context)
    const end = await runOnServer(context.catalog, { text, markers: [], writes: true }, args, sink, context)
    await settleAll(
      context.snapshot.shards.map((shard) => runOnServer(shard, { text, markers, writes: true }, args, new NullSink(), context)),
    )
    return end
  })
}

export async function executeInsertSelect(plan: InsertSelectPlan, args: Arguments, sink: ResultSink, context: ExecutionContext): Promise<StatementEnd> {
  return withTransaction(context, async () => {
    await gatherRows(plan.fetches, args, context)
    await makeRowsTable(plan.relation, plan.timeDefaults, context)
    const text = await catalogText(plan, context)
    await runOnServer(context.catalog, { text, markers: [], writes: false, cannotPrepare: true }, { ...args, portal: '', rowsMax: 0 }, new NullSink(), context)
    const columns = plan.relation.columns.filter((column) => !column.generated).map((column) => column.name)
    const tail = renderTimedText(plan.tail, plan.tail.pieces.length === 1 ? undefined : await tailTime(context))
    return tail === '' ? copyRows(plan, columns, context) : insertBatches(plan, tail, columns, sink, context)
  })
}

/** ON CONFLICT and RETURNING run on all shards, the rows were made on the catalog: the time is the same on all of them. */
function tailTime(context: ExecutionContext): Promise<string | undefined> {
  return timeFor([context.catalog, ...context.snapshot.shards], context)
}

/** A table on the catalog with the target's columns and defaults. Rules for rows are left to the shards, which have them all. */
export async function makeRowsTable(relation: Relation, timed: readonly TimeDefault[], context: ExecutionContext): Promise<void> {
  const lease = await catalogParticipant(context)
  const time = timed.length === 0 ? undefined : await timeFor([context.catalog], context)
  const changes = relation.columns.flatMap((column) => [
    ...(column.notNull ? [`ALTER ${quoteIdent(column.name)} DROP NOT NULL`] : []),
    ...(column.identity === '' || column.sequence === undefined
      ? []
      : [`ALTER ${quoteIdent(column.name)} SET DEFAULT nextval(${quoteLiteral(column.sequence)}::regclass)`]),
  ])
  if (time !== undefined) changes.push(...timed.map((one) => `ALTER ${quoteIdent(one.column)} SET DEFAULT ${renderTimedText(one, time)}`))
  const like = `LIKE ${qualified(relation.schema, relation.name)} INCLUDING DEFAULTS INCLUDING GENERATED`
  await query(
    lease.connection,
    `DROP TABLE IF EXISTS pg_temp.${rowsTable}; CREATE TEMPORARY TABLE ${rowsTable} (${like}) ON COMMIT DROP` +
      (changes.length === 0 ? '' : `; ALTER TABLE pg_temp.${rowsTable} ${changes.join(', ')}`),
  )
}

/** The rows of the temporary table go by COPY to the shards that they belong to. Gives the command tag. */
export async function copyRows(plan: { relation: Relation; markers: readonly string[] }, columns: readonly string[], context: ExecutionContext): Promise<StatementEnd> {
  const router = new RowRouter(plan.relation, columns, plan.markers, context)
  const text = `COPY (SELECT ${columns.map(quoteIdent).join(', ')} FROM pg_temp.${rowsTable}) TO STDOUT`
  try {
    if (plan.relation.table?.kind === 'reference') {
      // The catalog's connection cannot give rows and take them at once.
      const lines = new LinesSink()
      await runOnServer(context.catalog, { text, markers: [], writes: false }, noArguments, lines, context)
      await router.open()
      for (const line of lines.rows) {
        const whole = Buffer.concat([line, Buffer.from('\n')])
        if (!router.send(whole, 0, whole.length)) await router.drained()
      }
    } else {
      await router.open()
      await runOnServer(context.catalog, { text, markers: [], writes: false }, noArguments, router.sink, context)
    }
  } catch (error) {
    await router.abort()
    throw error
  }
  await router.finish()
  return { kind: 'complete', tag: `INSERT 0 ${router.count}` }
}

/** With ON CONFLICT or RETURNING rows can't go by COPY: they go as VALUES of strings, which PostgreSQL reads as each column's type. */
async function insertBatches(plan: InsertSelectPlan, tail: string, columns: readonly string[], sink: ResultSink, context: ExecutionContext): Promise<StatementEnd> {
  const { relation } = plan
  const { table } = relation
  const lines = new LinesSink()
  const text = `COPY (SELECT ${columns.map(quoteIdent).join(', ')} FROM pg_temp.${rowsTable}) TO STDOUT`
  await runOnServer(context.catalog, { text, markers: [], writes: false }, noArguments, lines, context)
  const group = context.snapshot.groups.get(table?.group ?? 0)
  const keyColumn = table?.keyColumn === undefined ? -1 : columns.indexOf(table.keyColumn)
  const rows = lines.rows.map((line) => decodeCopyLine(line))
  const shardOf = (row: readonly (string | undefined)[]): number => {
    if (table?.kind !== 'distributed' || table.keyType === undefined || group === undefined) return table?.shard ?? catalogId
    const key = row[keyColumn]
    const bucket = key === undefined ? bucketOfNull : bucketOfText(table.keyType, storedText(key, relation.columns.find((column) => column.name === table.keyColumn)?.baseType ?? ''), group.owners.length)
    return group.owners[bucket ?? 0] ?? 0
  }
  const alias = quoteIdent(plan.alias ?? relation.name)
  const head = `INSERT INTO ${qualified(relation.schema, relation.name)} AS ${alias} (${columns.map(quoteIdent).join(', ')}) VALUES `
  const literal = (value: string | undefined) => (value === undefined ? 'NULL' : quoteLiteral(value))
  const shards = rows.map(shardOf)
  const collected = new Map<number, RowsSink>()
  let count = 0
  const byShard = groupBy(rows.keys(), (i) => shards[i] as number)
  if (byShard.size === 0) await describeNothing(plan, tail, head, columns, sink, context)
  // ON CONFLICT must see all rows of a shard at once: PostgreSQL refuses to update one of them twice.
  const batchRows = /^\s*on\s/i.test(tail) ? rows.length : limits.insertBatchRowsMax
  for (const [shard, indexes] of byShard) {
    const own = new RowsSink()
    collected.set(shard, own)
    for (let at = 0; at < indexes.length; at += batchRows) {
      const batch = indexes.slice(at, at + batchRows)
      const values = batch.map((i) => `(${(rows[i] ?? []).map(literal).join(', ')})`).join(', ')
      const statement = `${head}${values} ${tail}`
      const end =
        table?.kind === 'reference'
          ? await insertEverywhere(statement, qualified(relation.schema, relation.name), plan.markers, noArguments, own, context)
          : await runOnServer(serverById(context, shard), { text: statement, markers: plan.markers, writes: true }, noArguments, own, context)
      count += tagCount(end)
    }
  }
  if (plan.returning && collected.size > 0) {
    sink.fields([...collected.values()][0]?.description ?? [])
    const next = new Map([...collected].map(([shard, own]) => [shard, own.rows.values()]))
    const everyRow = !/^\s*on\s/i.test(tail)
    if (everyRow) {
      for (const shard of shards) {
        const row = next.get(shard)?.next().value
        if (row !== undefined) sink.row(row, 0, row.length)
      }
    } else for (const own of collected.values()) for (const row of own.rows) sink.row(row, 0, row.length)
  }
  return { kind: 'complete', tag: `INSERT 0 ${count}` }
}

/** Without rows the client still wants the columns of RETURNING: an INSERT of no rows gives them. */
async function describeNothing(plan: InsertSelectPlan, tail: string, head: string, columns: readonly string[], sink: ResultSink, context: ExecutionContext): Promise<void> {
  if (!plan.returning) return
  const text = `${head.replace(/ VALUES $/, '')} SELECT ${columns.map(quoteIdent).join(', ')} FROM pg_temp.${rowsTable} WHERE false ${tail}`
  await runOnServer(context.catalog, { text, markers: [], writes: false }, noArguments, sink, context)
}

class LinesSink extends NullSink {
  readonly rows: Buffer[] = []

  override copyData(buffer: Buffer, start: number, end: number): boolean {
    this.rows.push(Buffer.from(buffer.subarray(start, end - 1)))
    return true
  }
}
