/**
 * A write beside rows of other shards: the rows are gathered on the catalog, and copied from there to every shard that the
 * write runs on, into tables that live as long as the transaction. (Temporary tables could not be prepared.)
 */
import { quoteIdent } from '../base/quote.ts'
import { settleAll } from '../base/settle-all.ts'
import { dataSchema } from '../catalog/snapshot.ts'
import type { BroadcastPlan, Fetch } from '../planner/plan.ts'
import { timeHole } from '../planner/plan.ts'
import { renderTimedText } from '../planner/rewrite.ts'
import { query } from '../shard/query.ts'
import type { Lease } from '../transaction/transaction.ts'
import type { Arguments, ExecutionContext } from './context.ts'
import { noArguments, serverById } from './context.ts'
import { copyInto, gatherRows } from './gather.ts'
import { inOrder } from './in-order.ts'
import type { ResultSink } from './result-sink.ts'
import { NullSink } from './result-sink.ts'
import { withoutMoves } from './moved-rows.ts'
import { runOnServer } from './run-on-server.ts'
import { SharedSink, sumTags, withTransaction } from './scatter.ts'
import type { CopyInput, StatementEnd } from './statement-exchange.ts'
import { endCopy, failCopy, sendCopyData } from './statement-exchange.ts'
import { timeFor } from './transaction-time.ts'

export async function executeBroadcast(plan: BroadcastPlan, args: Arguments, sink: ResultSink, context: ExecutionContext): Promise<StatementEnd> {
  const shards = plan.shards.map((id) => serverById(context, id))
  const time = plan.uses.includes(timeHole) ? await timeFor(shards, context) : undefined
  return withTransaction(context, async () => {
    const suffix = context.clock.randomHex(6)
    const nameOf = (fetch: Fetch | undefined) => `${dataSchema}.${fetch?.temporary}_${suffix}`
    await gatherRows(plan.fetches, args, context)
    const leases = await Promise.all(plan.shards.map((shard) => begin(shard, context)))
    for (const fetch of plan.fetches) await distribute(fetch, nameOf(fetch), leases, context)
    const filling = (use: number) => (use === timeHole ? renderTimedText(timeItself, time) : nameOf(plan.fetches[use]))
    const text = plan.pieces.map((piece, i) => (i === 0 ? piece : filling(plan.uses[i - 1] ?? 0) + piece)).join('')
    const shared = new SharedSink(sink)
    const statement = { text, markers: plan.markers, writes: true }
    const write = () => inOrder(plan.shards, (shard) => runOnServer(serverById(context, shard), statement, args, shared, context))
    const ends = await withoutMoves(plan.shards, plan.markers, context, write)
    const drops = plan.fetches.map((fetch) => `DROP TABLE ${nameOf(fetch)}`).join('; ')
    await settleAll(leases.map((lease) => query(lease.connection, drops)))
    return { kind: 'complete', tag: sumTags(ends) }
  })
}

const timeItself = { pieces: ['', ''] }

async function begin(shard: number, context: ExecutionContext): Promise<Lease> {
  const lease = await context.transaction.lease(serverById(context, shard))
  if (lease.prelude.length > 0) await query(lease.connection, lease.prelude.join('; '))
  if (lease.participant !== undefined) lease.participant.fresh = false
  return { ...lease, prelude: [] }
}

async function distribute(fetch: Fetch, name: string, leases: readonly Lease[], context: ExecutionContext): Promise<void> {
  const columns = fetch.relation.columns.map((column) => {
    const collation = column.collation === undefined ? '' : ` COLLATE ${column.collation}`
    return `${quoteIdent(column.name)} ${column.type}${collation}`
  })
  await settleAll(leases.map((lease) => query(lease.connection, `CREATE UNLOGGED TABLE ${name} (${columns.join(', ')})`)))
  const list = fetch.columns.map(quoteIdent).join(', ')
  const inputs = await settleAll(leases.map((lease) => copyInto(lease, `COPY ${name} (${list}) FROM STDIN`)))
  try {
    const text = `COPY (SELECT ${list} FROM pg_temp.${fetch.temporary}) TO STDOUT`
    await runOnServer(context.catalog, { text, markers: [], writes: false }, noArguments, new FanOutSink(inputs), context)
  } catch (error) {
    await Promise.allSettled(inputs.map((input) => failCopy(input, 'the source failed')))
    throw error
  }
  await settleAll(inputs.map(endCopy))
}

class FanOutSink extends NullSink {
  private readonly inputs: readonly CopyInput[]

  constructor(inputs: readonly CopyInput[]) {
    super()
    this.inputs = inputs
  }

  override copyData(buffer: Buffer, start: number, end: number): boolean {
    for (const input of this.inputs) sendCopyData(input, buffer, start, end)
    return !this.inputs.some((input) => input.connection.isCongested)
  }

  override whenDrained(resume: () => void): void {
    void Promise.all(this.inputs.map((input) => input.connection.drained())).then(resume)
  }
}
