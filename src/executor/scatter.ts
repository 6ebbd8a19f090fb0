/** The same statement on several shards at once. */
import { settleAll } from '../base/settle-all.ts'
import { SqlError } from '../base/errors.ts'
import { catalogId } from '../catalog/server-address.ts'
import type { EverywherePlan, ScatterPlan, TimedText } from '../planner/plan.ts'
import { renderTimedText } from '../planner/rewrite.ts'
import type { FieldDescription } from '../protocol/row-description.ts'
import { readDataRow } from '../protocol/row-description.ts'
import { MessageWriter } from '../protocol/message-writer.ts'
import type { TransactionModes } from '../transaction/transaction.ts'
import type { Arguments, ExecutionContext } from './context.ts'
import { serverById } from './context.ts'
import { HeldRows } from './held-rows.ts'
import { insertEverywhere } from './insert.ts'
import { inOrder } from './in-order.ts'
import { shardsFor } from './key-bucket.ts'
import { openReads } from './open-reads.ts'
import type { ResultSink } from './result-sink.ts'
import { NullSink, RowsSink } from './result-sink.ts'
import { withoutMoves } from './moved-rows.ts'
import { runOnServer } from './run-on-server.ts'
import type { StatementEnd } from './statement-exchange.ts'
import { tagCount } from './tags.ts'
import { timeFor } from './transaction-time.ts'

/** Runs `work` in the session's transaction, or in one of its own that commits with it. */
export async function withTransaction<T>(context: ExecutionContext, work: () => Promise<T>, modes?: TransactionModes): Promise<T> {
  const { transaction } = context
  if (transaction.active) return work()
  transaction.begin('implicit', modes)
  transaction.isOfOneStatement = true
  try {
    const result = await work()
    await transaction.commit()
    return result
  } catch (error) {
    if (transaction.active) await transaction.rollback()
    throw error
  }
}

export async function executeScatter(plan: ScatterPlan, args: Arguments, sink: ResultSink, context: ExecutionContext): Promise<StatementEnd> {
  const shards = await shardsFor(plan, args, context)
  const text = await timedText(plan.text, shards, context)
  const { markers, writes, locks } = plan
  if (writes || locks) return withTransaction(context, () => withoutMoves(shards, markers, context, () => runOnEach(plan, text, shards, args, sink, context)))
  if (shards.length === 1) {
    return runOnServer(serverById(context, shards[0] as number), { text, markers, writes }, args, sink, context)
  }
  if (plan.combine !== undefined) return combineRows(plan, text, shards, args, sink, context)
  return runOnEach(plan, text, shards, args, sink, context)
}

async function runOnEach({ markers, writes, locks }: ScatterPlan, text: string, shards: readonly number[], args: Arguments, sink: ResultSink, context: ExecutionContext): Promise<StatementEnd> {
  const shared = new SharedSink(sink)
  const statement = { text, markers, writes, locks }
  const ends = writes
    ? await inOrder(shards, (shard) => runOnServer(serverById(context, shard), statement, args, shared, context))
    : await allAtOnce(shards, shared, await openReads(statement, shards, args, context))
  return { kind: 'complete', tag: sumTags(ends) }
}

/** Nothing goes to `sink` before all shards have begun to answer. */
export function allAtOnce(shards: readonly number[], sink: ResultSink, on: (shard: number, sink: ResultSink) => Promise<StatementEnd>): Promise<StatementEnd[]> {
  const held = new HeldRows(shards.length, sink)
  const run = (shard: number, i: number) =>
    on(shard, held.parts[i] as ResultSink).catch((error: unknown) => {
      held.abandon()
      throw error
    })
  return settleAll(shards.map(run))
}

export async function executeEverywhere(plan: EverywherePlan, args: Arguments, sink: ResultSink, context: ExecutionContext): Promise<StatementEnd> {
  const text = await timedText(plan.text, [catalogId, ...context.snapshot.shards.map((shard) => shard.id)], context)
  if (plan.table === undefined) return lockRowsEverywhere(text, plan, args, sink, context)
  return insertEverywhere(text, plan.table, plan.markers, args, sink, context)
}

/** The catalog first, which gives the rows, and the shards in order: two lockers meet on the first, and not in opposite order. */
function lockRowsEverywhere(text: string, { markers }: EverywherePlan, args: Arguments, sink: ResultSink, context: ExecutionContext): Promise<StatementEnd> {
  return withTransaction(context, async () => {
    const end = await runOnServer(context.catalog, { text, markers: [], writes: false }, args, sink, context)
    await inOrder(context.snapshot.shards.map((shard) => shard.id), (shard) => runOnServer(serverById(context, shard), { text, markers, writes: false }, args, new NullSink(), context))
    return end
  })
}

export async function timedText(text: TimedText, servers: readonly number[], context: ExecutionContext): Promise<string> {
  if (text.pieces.length === 1) return text.pieces[0] ?? ''
  const time = await timeFor(servers.map((id) => serverById(context, id)), context)
  return renderTimedText(text, time)
}

async function combineRows(
  plan: ScatterPlan,
  text: string,
  shards: readonly number[],
  args: Arguments,
  sink: ResultSink,
  context: ExecutionContext,
): Promise<StatementEnd> {
  const { markers } = plan
  // The sums are computed here: the shards answer in text, and the client gets the format that it asked for.
  const textArgs = { ...args, bind: { ...args.bind, resultFormats: [] } }
  const read = await openReads({ text, markers, writes: false }, shards, textArgs, context)
  const results = await settleAll(
    shards.map(async (shard) => {
      const rows = new RowsSink()
      await read(shard, rows)
      return rows
    }),
  )
  const columns = plan.combine?.length ?? 0
  const sums = Array.from({ length: columns }, () => 0n)
  for (const { rows } of results) {
    const values = readDataRow(rows[0] as Buffer, 0)
    for (let i = 0; i < columns; i++) sums[i] = (sums[i] as bigint) + BigInt(values[i]?.toString() ?? 0)
  }
  const formats = args.bind.resultFormats
  const formatAt = (i: number) => (formats.length > 1 ? (formats[i] ?? 0) : (formats[0] ?? 0))
  sink.fields((results[0]?.description ?? []).map((field: FieldDescription, i) => ({ ...field, format: formatAt(i) })))
  const writer = new MessageWriter(64).int16(columns)
  for (const [i, sum] of sums.entries()) {
    const value = formatAt(i) === 1 ? Buffer.alloc(8) : Buffer.from(String(sum))
    if (formatAt(i) === 1) value.writeBigInt64BE(sum)
    writer.int32(value.length).bytes(value)
  }
  const row = writer.take()
  sink.row(row, 0, row.length)
  return { kind: 'complete', tag: 'SELECT 1' }
}

/** Rows of several servers into one sink: the columns are told once. */
export class SharedSink extends NullSink {
  private readonly sink: ResultSink
  private described: boolean

  constructor(sink: ResultSink, described = false) {
    super()
    this.sink = sink
    this.described = described
  }

  bound(): void {
    this.sink.bound?.()
  }

  override fields(fields: readonly FieldDescription[]): void {
    if (this.described) return
    this.described = true
    this.sink.fields(fields)
  }

  override row(buffer: Buffer, start: number, end: number): boolean {
    return this.sink.row(buffer, start, end)
  }

  override notice(fields: Parameters<ResultSink['notice']>[0]): void {
    this.sink.notice(fields)
  }

  override whenDrained(resume: () => void): void {
    this.sink.whenDrained(resume)
  }
}

export function sumTags(ends: readonly StatementEnd[]): string {
  const [first] = ends
  if (first?.kind !== 'complete') throw new SqlError('XX000', 'a shard gave no command tag')
  const words = first.tag.split(' ').slice(0, -1)
  return [...words, ends.reduce((sum, end) => sum + tagCount(end), 0)].join(' ')
}

