/**
 * Reads of several servers, or several reads of one, as of one moment.
 *
 * Under READ COMMITTED each statement has a snapshot of its own. What is one statement to the client may be several to the servers:
 * then they run in a REPEATABLE READ transaction, so that one server shows them one moment. With read_consistency 'atomic' or 'snapshot' the
 * snapshots of all servers are opened through the gate (transaction/commit-gate.ts), so that no commit over several servers is half seen.
 */
import { limits } from '../base/limits.ts'
import { settleAll } from '../base/settle-all.ts'
import { catalogId } from '../catalog/server-address.ts'
import type { QueryPlan } from '../planner/plan.ts'
import { query } from '../shard/query.ts'
import type { Arguments, ExecutionContext } from './context.ts'
import { serverById } from './context.ts'
import { shardsFor } from './key-bucket.ts'
import { beginOn, noMoment } from './open-reads.ts'
import { withTransaction } from './scatter.ts'

export type ReadConsistency = 'shard' | 'atomic' | 'snapshot'

const repeatableRead = { text: 'ISOLATION LEVEL REPEATABLE READ', isolation: 'repeatable read', readOnly: undefined }

/** Runs what reads by a plan, in one piece: at one moment, where that takes more than running it. */
export function readAtOneMoment<T>(plan: QueryPlan, args: Arguments, context: ExecutionContext, run: () => Promise<T>): Promise<T> {
  return readsSeveral(plan, args, context) ? atOneMoment(plan, args, context, run) : run()
}

/** Runs what reads for one statement; with its snapshots opened before, where one statement's reads are several. */
async function atOneMoment<T>(plan: QueryPlan, args: Arguments, context: ExecutionContext, run: () => Promise<T>): Promise<T> {
  const { transaction } = context
  const reads = await readsOf(plan, args, context)
  const servers = [...new Set(reads)]
  const isGated = context.consistency !== 'shard' && servers.length > 1
  if (!isGated && servers.length === reads.length) return run()
  // A transaction that nothing has run in may still become another.
  if (transaction.active) transaction.addModes(repeatableRead)
  const work = async () => {
    if (isGated) await openSnapshots(servers, context)
    return run()
  }
  return transaction.active ? work() : withTransaction(context, work, repeatableRead)
}

/** Whether `atOneMoment` is for a plan, as far as can be told without waiting. */
function readsSeveral(plan: QueryPlan, args: Arguments, { transaction }: ExecutionContext): boolean {
  if (plan.kind !== 'gather' && plan.kind !== 'merge' && (plan.kind !== 'scatter' || plan.writes || plan.shards.length < 2)) return false
  // Rows are locked at their newest versions, whatever was there when the statement began.
  if (plan.kind !== 'gather' && plan.locks) return false
  // A portal whose rows are fetched in parts has a transaction already.
  const isFresh = transaction.state === 'implicit' && transaction.participants.size === 0 && args.portal !== ''
  return (!transaction.active || isFresh) && /^read/.test(transaction.isolationNow)
}

/** A server for each read of it. */
async function readsOf(plan: QueryPlan, args: Arguments, context: ExecutionContext): Promise<readonly number[]> {
  if (plan.kind === 'scatter' || plan.kind === 'merge') return shardsFor(plan, args, context)
  if (plan.kind !== 'gather') return []
  const fetched = await Promise.all(plan.fetches.map((fetch) => ('query' in fetch ? shardsFor(fetch, args, context) : fetch.shards)))
  return [catalogId, ...fetched.flat()]
}

/** Opens the snapshots of a REPEATABLE READ transaction on these servers: at one moment of all, where the session wants that. */
export async function openSnapshots(servers: readonly number[], context: ExecutionContext): Promise<void> {
  const { transaction, gate, database } = context
  const open = () => settleAll(servers.map((id) => openOn(id, context))).then(() => undefined)
  if (context.consistency === 'shard' || servers.length < 2) return open()
  const before = new Set(transaction.participants.keys())
  for (let tried = 0; ; tried++) {
    await beginOn(servers, context)
    if (await gate.through(database, open)) return
    const mayDrop = servers.every((id) => !before.has(id))
    if (tried === limits.gateRetriesMax || !mayDrop) throw noMoment()
    for (const id of servers) {
      const participant = transaction.participants.get(id)
      if (participant !== undefined) await transaction.dropFresh(participant)
    }
  }
}

async function openOn(id: number, context: ExecutionContext): Promise<void> {
  const { transaction } = context
  const lease = await transaction.lease(serverById(context, id))
  try {
    await query(lease.connection, [...lease.prelude, 'SELECT 1'].join('; '))
    if (lease.participant !== undefined) lease.participant.fresh = false
  } finally {
    transaction.release(lease)
  }
}
