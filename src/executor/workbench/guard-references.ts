/**
 * A row that moves is deleted and inserted, where one PostgreSQL updates its key. For rows of other tables that refer to it
 * these are not the same: ON DELETE CASCADE must not delete them, and ON UPDATE CASCADE would have to move them too.
 */
import { refuse, SqlError } from '../../base/errors.ts'
import { quoteIdent, quoteLiteral } from '../../base/quote.ts'
import type { ExecutionContext } from '../context.ts'
import { noArguments, serverById } from '../context.ts'
import { RowsSink } from '../result-sink.ts'
import { runOnServer } from '../run-on-server.ts'
import type { MadeBench } from './benches.ts'
import type { ForeignKey } from './table-rules.ts'

/** `names` are the columns that `rows` are of: the old values of rows that will leave the shard. */
export async function guardReferences(bench: MadeBench, names: readonly string[], rows: readonly (readonly (string | undefined)[])[], shard: number, context: ExecutionContext): Promise<void> {
  for (const key of bench.rules.referencedBy) {
    const effects = 'cnd'
    // Where a delete raises the error that an update would, it may.
    if (!effects.includes(key.onUpdate) && !effects.includes(key.onDelete)) continue
    const found = await firstReferred(bench, key, names, rows, shard, context)
    if (found === undefined) continue
    if (effects.includes(key.onUpdate)) {
      throw refuse(`cannot change the shard key of a row of "${bench.relation.name}" to which rows of "${key.childName}" refer with ON UPDATE actions`, 'Insert the row with its new key, change the rows that refer to it, and delete the old one.')
    }
    throw new SqlError('23503', `update or delete on table "${bench.relation.name}" violates foreign key constraint "${key.name}" on table "${key.childName}"`, {
      detail: `Key (${key.columns.join(', ')})=(${found.join(', ')}) is still referenced from table "${key.childName}".`,
      schema: bench.relation.schema,
      table: key.childName,
      constraint: key.name,
    })
  }
}

async function firstReferred(bench: MadeBench, key: ForeignKey, names: readonly string[], rows: readonly (readonly (string | undefined)[])[], shard: number, context: ExecutionContext): Promise<(string | undefined)[] | undefined> {
  const values = rows.map((row) => key.columns.map((column) => row[names.indexOf(column)])).filter((row) => !row.includes(undefined))
  if (values.length === 0) return undefined
  const typeOf = (column: string) => bench.relation.columns.find((one) => one.name === column)?.type ?? 'text'
  const list = values.map((row, i) => `(${i}, ${row.map((value, at) => `${quoteLiteral(value ?? '')}::${typeOf(key.columns[at] ?? '')}`).join(', ')})`)
  const match = key.childColumns.map((column, i) => `c.${quoteIdent(column)} = v.k${i}`).join(' AND ')
  const text = `SELECT v.i::text FROM (VALUES ${list.join(', ')}) v (i, ${key.columns.map((_, i) => `k${i}`).join(', ')}) WHERE EXISTS (SELECT FROM ${key.childName} c WHERE ${match}) ORDER BY v.i LIMIT 1`
  const sink = new RowsSink()
  await runOnServer(serverById(context, shard), { text, markers: [], writes: false }, noArguments, sink, { ...context, text: '' })
  const [row] = sink.rows
  return row === undefined ? undefined : values[Number(row.toString('utf8', 6))]
}
