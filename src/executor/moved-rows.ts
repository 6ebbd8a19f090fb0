/**
 * Keeps a write over many rows from missing one that moves under it.
 *
 * A row whose key changes is deleted in one bucket and inserted in another. A write (or FOR UPDATE) that has waited for it, or comes to
 * the one place after it has gone and has left the other before it came, would find it nowhere, where one PostgreSQL follows it.
 * So who moves rows leaves a *note*, a row of the table's marker, in the same transaction on all shards that it takes rows from or
 * brings them to; and who writes many rows asks for notes before and after. A new one means that a row may have been missed: 40001,
 * as PostgreSQL says it of a row that moves between partitions. Notes are known by their xmin; transaction/forget-moves.ts takes them away.
 *
 *   look at all shards -> wait until no commit of a move is under way -> work -> look again
 *
 * A transaction that is committed on one shard and prepared on another has its note on the one only. What has been seen first is
 * therefore waited for: the work sees either all of a move, or the second look does.
 *
 * A write (or FOR UPDATE) of one row by its primary key needs no look: a row that has moved has that key no more. But it may have come back in the same
 * transaction, as a new row. So one that finds nothing runs again where there are notes: it has done nothing, and it is as if it had come a
 * little later. Where several rows have the key, one that moves away and back may be missed.
 *
 * Under REPEATABLE READ PostgreSQL itself refuses to write what has gone meanwhile.
 */
import { SqlError } from '../base/errors.ts'
import { limits } from '../base/limits.ts'
import { quoteLiteral } from '../base/quote.ts'
import { settleAll } from '../base/settle-all.ts'
import { catalogId } from '../catalog/server-address.ts'
import { readDataRow } from '../protocol/row-description.ts'
import type { Arguments, ExecutionContext } from './context.ts'
import { noArguments, serverById } from './context.ts'
import { NullSink, RowsSink } from './result-sink.ts'
import { markerThere, runOnServer } from './run-on-server.ts'
import type { StatementEnd } from './statement-exchange.ts'

/** Runs inside a transaction: `work` writes or locks rows of the markers' tables on these shards. Throws 40001. */
export async function withoutMoves<T>(shards: readonly number[], markers: readonly string[], context: ExecutionContext, work: () => Promise<T>): Promise<T> {
  const { isolation } = context.transaction
  const own = shards.filter((shard) => shard !== catalogId)
  if (markers.length === 0 || own.length === 0 || isolation === 'repeatable read' || isolation === 'serializable') return work()
  const known = await wholeNotes(own, markers, context)
  const result = await work()
  const isMissing = await settleAll(own.map((shard) => hasNewNote(shard, markers, known.get(shard) ?? '', context)))
  if (isMissing.includes(true)) throw rowsMoved()
  return result
}

/** Only these do nothing where they find nothing: behind WITH, other writes may stand. */
const findsRows = /^\s*(update|delete|select)\b/i
const locksRows = /\bfor\s+(no\s+key\s+update|update|share|key\s+share)\b/i

/** Whether a statement for one bucket has found nothing where a row may have been while it waited. `text` is what the shard was sent. */
export async function mayHaveMissed(end: StatementEnd, text: string, { portal, rowsMax }: Arguments, shard: number, markers: readonly string[], context: ExecutionContext): Promise<boolean> {
  if (end.kind !== 'complete' || !/^(UPDATE|DELETE|SELECT) 0$/.test(end.tag) || markers.length === 0 || portal !== '' || rowsMax > 0) return false
  if (!/^read/.test(context.transaction.isolationNow) || !findsRows.test(text) || (end.tag === 'SELECT 0' && !locksRows.test(text))) return false
  return (await notes(shard, markers, context)) !== ''
}

/** Says on a shard that rows of the marker's table leave it, or come to it. */
export async function noteMove(shard: number, marker: string, context: ExecutionContext): Promise<void> {
  const text = `INSERT INTO ${markerThere(marker, shard, context)} DEFAULT VALUES`
  await runOnServer(serverById(context, shard), { text, markers: [], writes: true, namesLeaves: true }, noArguments, new NullSink(), { ...context, text: '' })
}

function rowsMoved(): SqlError {
  return new SqlError('40001', 'could not serialize access: rows moved to other buckets due to concurrent updates of their keys', { hint: 'Try again.' })
}

/** The notes that are committed, or this transaction's own. */
async function notes(shard: number, markers: readonly string[], context: ExecutionContext): Promise<string> {
  const lists = markers.map((marker) => `(SELECT string_agg(xmin::text, ',') FROM ${markerThere(marker, shard, context)})`)
  const [row] = await ask(shard, `SELECT concat_ws(',', ${lists.join(', ')})`, context)
  return row ?? ''
}

async function hasNewNote(shard: number, markers: readonly string[], known: string, context: ExecutionContext): Promise<boolean> {
  const parts = markers.map((marker) => `SELECT 1 FROM ${markerThere(marker, shard, context)} WHERE xmin::text <> ALL ('{${known}}')`)
  return (await ask(shard, `${parts.join(' UNION ALL ')} LIMIT 1`, context)).length > 0
}

/**
 * The notes of each shard, where no commit that left one of them is still under way on another. A prepared transaction with a note
 * has been decided, or is about to be: it ends soon, by its router or by recovery.
 */
async function wholeNotes(shards: readonly number[], markers: readonly string[], context: ExecutionContext): Promise<ReadonlyMap<number, string>> {
  const { clock } = context
  const until = clock.ticks() + limits.moveCommitMsMax
  const look = () => settleAll(shards.map((shard) => notes(shard, markers, context)))
  for (let seen = await look(); ; seen = await look()) {
    const known = new Map(shards.map((shard, i) => [shard, seen[i] ?? ''] as const))
    if (seen.every((list) => list === '')) return known
    const pending = await settleAll(shards.map((shard) => hasPrepared(shard, markers, context)))
    // What has ended in between would be taken for one that came later.
    if (!pending.includes(true) && (await look()).join(';') === seen.join(';')) return known
    if (clock.ticks() > until) throw rowsMoved()
    await clock.sleep(limits.moveCommitEveryMs)
  }
}

async function hasPrepared(shard: number, markers: readonly string[], context: ExecutionContext): Promise<boolean> {
  const names = markers.map((marker) => `${quoteLiteral(markerThere(marker, shard, context))}::regclass`)
  const text = `SELECT 1 FROM pg_locks WHERE pid IS NULL AND mode = 'RowExclusiveLock' AND relation IN (${names.join(', ')})
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) LIMIT 1`
  return (await ask(shard, text, context)).length > 0
}

/** The first column. */
async function ask(shard: number, text: string, context: ExecutionContext): Promise<string[]> {
  const sink = new RowsSink()
  await runOnServer(serverById(context, shard), { text, markers: [], writes: false, namesLeaves: true }, noArguments, sink, { ...context, text: '' })
  return sink.rows.map((row) => readDataRow(row, 0)[0]?.toString() ?? '')
}
