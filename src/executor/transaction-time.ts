/**
 * One time for a whole transaction, as now() gives it.
 *
 * The first server that is asked for the time in a transaction is its *clock*: there now() stays as it is. A text for any
 * other server gets the clock's time written into it. Most transactions stay on one server, and pay nothing.
 */
import { refuse } from '../base/errors.ts'
import type { ServerAddress } from '../catalog/server-address.ts'
import { catalogId } from '../catalog/server-address.ts'
import type { LeafText, OneShardPlan, TimedText, TimeUse } from '../planner/plan.ts'
import { renderLeafText } from '../planner/plan.ts'
import { renderTimedText } from '../planner/rewrite.ts'
import { query } from '../shard/query.ts'
import type { ExecutionContext } from './context.ts'
import { serverById } from './context.ts'

/** The time to write into a text for these servers; undefined when now() there is the transaction's time. */
export async function timeFor(servers: readonly ServerAddress[], context: ExecutionContext): Promise<string | undefined> {
  const { transaction } = context
  const [only, another] = servers
  if (!transaction.active) return another === undefined ? undefined : new Date(context.clock.now()).toISOString()
  // A time that has been asked for stays the transaction's, also when the server that gave it has left it.
  if (another === undefined && transaction.time === undefined) transaction.clock ??= only
  if (another === undefined && only !== undefined && transaction.clock?.id === only.id) return undefined
  if (transaction.time === undefined) transaction.time = await askClock(servers, context)
  return transaction.time
}

/** Before the clock leaves the transaction: now() stays what it was. */
export async function keepTime(context: ExecutionContext): Promise<void> {
  context.transaction.time ??= await askClock([], context)
}

async function askClock(servers: readonly ServerAddress[], context: ExecutionContext): Promise<string> {
  const { transaction } = context
  const [begun] = transaction.participants.values()
  const server = transaction.clock ?? begun?.server ?? servers[0] ?? context.catalog
  const lease = await transaction.lease(server)
  if (lease.participant !== undefined) lease.participant.fresh = false
  transaction.clock = server
  const { rows } = await query(lease.connection, [...lease.prelude, `SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') || '+00'`].join('; '))
  return rows.at(-1)?.[0] ?? ''
}

/** What triggers on this server are told in front of a write: the time, where it is not the server's own (pgherd.now). */
export async function timeSetting(server: ServerAddress, context: ExecutionContext): Promise<readonly string[]> {
  if (!context.snapshot.timeTriggers || !context.transaction.active || server.id === catalogId) return noSetting
  const time = await timeFor([server], context)
  return time === undefined ? noSetting : [`SET LOCAL pgherd.now TO '${time}'`]
}

const noSetting: readonly string[] = []

/** The same for a plan's text; refused where the time can't be written into it. */
async function timeInPlan(use: TimeUse<TimedText | LeafText>, servers: readonly ServerAddress[], context: ExecutionContext): Promise<string | undefined> {
  const time = await timeFor(servers, context)
  if (time !== undefined && use.hiddenTime) {
    throw refuse('a function that uses the time would give another than the statements before it in the transaction', 'Give the time as a value, or call it outside of the transaction.')
  }
  return time
}

/** The text of a plan for the catalog. */
export async function catalogText(plan: TimeUse<TimedText> & { readonly text: string }, context: ExecutionContext): Promise<string> {
  if (plan.timed === undefined && !plan.hiddenTime) return plan.text
  const time = await timeInPlan(plan, [context.catalog], context)
  return time === undefined || plan.timed === undefined ? plan.text : renderTimedText(plan.timed, time)
}

/** The text of a plan for one shard. */
export async function oneShardText(plan: OneShardPlan, bucket: number | undefined, shard: number, context: ExecutionContext): Promise<string> {
  if (plan.timed === undefined && !plan.hiddenTime) return renderLeafText(plan.text, bucket)
  const time = await timeInPlan(plan, [serverById(context, shard)], context)
  return time === undefined || plan.timed === undefined ? renderLeafText(plan.text, bucket) : renderLeafText(plan.timed, bucket, time)
}
