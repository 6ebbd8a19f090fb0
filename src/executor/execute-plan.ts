/** A plan to rows: the executor's door. */
import { refuse, unreachable } from '../base/errors.ts'
import type { CatalogPlan, GatherPlan, OneShardPlan, QueryPlan, RekeyPlan } from '../planner/plan.ts'
import { planWrites, renderLeafText } from '../planner/plan.ts'
import type { Arguments, ExecutionContext } from './context.ts'
import { serverById } from './context.ts'
import { executeBroadcast } from './broadcast.ts'
import { gatherRows } from './gather.ts'
import { executeMerge } from './merge.ts'
import { executeInsertRows, executeInsertSelect } from './insert.ts'
import { bucketAtOnce, bucketOf } from './key-bucket.ts'
import { readAtOneMoment } from './one-moment.ts'
import { withOwnNames } from './own-temporaries.ts'
import { isReadCommitted } from './open-reads.ts'
import { executePointRead } from './point-read.ts'
import { mayHaveMissed } from './moved-rows.ts'
import type { ResultSink } from './result-sink.ts'
import { runOnServer } from './run-on-server.ts'
import { executeEverywhere, executeScatter, SharedSink, withTransaction } from './scatter.ts'
import type { StatementEnd } from './statement-exchange.ts'
import { storedKey } from './stored-key.ts'
import { catalogText, oneShardText } from './transaction-time.ts'
import { executeWorkbench } from './workbench/run-workbench.ts'

/** Throws SqlError, or StaleLayout when the plan should be made again. */
export function executePlan(plan: QueryPlan, args: Arguments, sink: ResultSink, context: ExecutionContext): Promise<StatementEnd> {
  // What is written must not rest on rows that are old, and rows are locked on primaries alone.
  if (context.replicas !== undefined && (planWrites(plan) || locksRows(plan))) return executePlan(plan, args, sink, { ...context, replicas: undefined })
  // Servers know nothing of each other's serializable transactions: one that touches two shards is refused, and is one transaction so that it is seen.
  if (!context.transaction.active && context.transaction.isolationNow === 'serializable' && (plan.kind === 'scatter' || plan.kind === 'merge')) {
    return withTransaction(context, () => execute(plan, args, sink, context))
  }
  return readAtOneMoment(plan, args, context, () => execute(plan, args, sink, context))
}

/** Over several shards; a statement for one falls back by itself. */
const locksRows = (plan: QueryPlan) => (plan.kind === 'scatter' || plan.kind === 'merge') && plan.locks

function execute(plan: QueryPlan, given: Arguments, sink: ResultSink, context: ExecutionContext): Promise<StatementEnd> {
  // Only what one server answers can wait there for its next rows.
  if (context.snapshot.timeTriggers && !context.transaction.active && writesOnSeveral(plan)) {
    return withTransaction(context, () => executePlan(plan, given, sink, context))
  }
  const inParts = plan.kind === 'one-shard' || plan.kind === 'catalog' || plan.kind === 'gather'
  const args = inParts ? given : { ...given, portal: '', rowsMax: 0 }
  switch (plan.kind) {
    case 'one-shard':
      return executePointRead(plan, args, sink, context)?.then((end) => end ?? executeOneShard(plan, args, sink, context)) ?? executeOneShard(plan, args, sink, context)
    case 'scatter':
      return executeScatter(plan, args, sink, context)
    case 'merge':
      return executeMerge(plan, args, sink, context)
    case 'broadcast':
      return executeBroadcast(plan, args, sink, context)
    case 'everywhere':
      return executeEverywhere(plan, args, sink, context)
    case 'gather':
      return executeGather(plan, args, sink, context)
    case 'catalog':
      return executeOnCatalog(plan, args, sink, context)
    case 'insert-rows':
      return executeInsertRows(plan, args, sink, context)
    case 'insert-select':
      return executeInsertSelect(plan, args, sink, context)
    case 'workbench':
      return executeWorkbench(plan, args, sink, context)
    case 'rekey':
      return executeRekey(plan, args, sink, context)
    default:
      return unreachable(plan)
  }
}

/** Where triggers ask for the time, it has to be one transaction's from the start. */
function writesOnSeveral(plan: QueryPlan): boolean {
  if (plan.kind === 'scatter') return plan.writes && plan.shards.length > 1
  if (plan.kind === 'insert-rows') return plan.rows.length > 1
  return plan.kind === 'broadcast' || plan.kind === 'insert-select'
}

async function executeOnCatalog(plan: CatalogPlan, args: Arguments, sink: ResultSink, context: ExecutionContext): Promise<StatementEnd> {
  const text = await catalogText(plan, context)
  return runOnServer(context.catalog, { text, markers: [], writes: plan.writes, pins: plan.pins, cannotPrepare: plan.pins }, args, sink, context)
}

async function executeOneShard(plan: OneShardPlan, args: Arguments, sink: ResultSink, context: ExecutionContext): Promise<StatementEnd> {
  const { route, markers, leafMarkers, writes } = plan
  let shard: number
  let bucket: number | undefined
  if (route.kind === 'bucket') {
    const owners = context.snapshot.groups.get(route.group)?.owners ?? []
    bucket = bucketAtOnce(route.key, route.keyType, owners.length, args) ?? (await bucketOf(route.key, route.keyType, owners.length, args, context))
    shard = owners[bucket] ?? 0
  } else if (route.kind === 'shard') shard = route.shard
  else shard = anyShard(context)
  const { timed, hiddenTime } = plan
  const text = timed === undefined && !hiddenTime ? renderLeafText(plan.text, bucket) : await oneShardText(plan, bucket, shard, context)
  const statement = { text, markers, leafMarkers, writes, namesLeaves: bucket !== undefined, mayRepeat: plan.isPointRead }
  const end = await runOnServer(serverById(context, shard), statement, args, sink, context)
  if (bucket === undefined || !(await mayHaveMissed(end, text, args, shard, leafMarkers, context))) return end
  return runOnServer(serverById(context, shard), statement, args, new SharedSink(sink, true), context)
}

async function executeRekey(plan: RekeyPlan, args: Arguments, sink: ResultSink, context: ExecutionContext): Promise<StatementEnd> {
  const { route } = plan.stays
  if (route.kind !== 'bucket') throw new Error('a row that is not in a bucket cannot move')
  const buckets = context.snapshot.groups.get(route.group)?.owners.length ?? 1
  const [bench] = plan.moves.benches
  const type = bench?.relation.columns.find((column) => column.name === bench.relation.table?.keyColumn)?.baseType ?? ''
  const before = await bucketOf(route.key, route.keyType, buckets, args, context)
  const after = await bucketOf(storedKey(plan.newKey, type, args), route.keyType, buckets, args, context)
  return before === after ? executeOneShard(plan.stays, args, sink, context) : executeWorkbench(plan.moves, args, sink, context)
}

/** A shard that the transaction is on already, or any. */
function anyShard(context: ExecutionContext): number {
  const { shards } = context.snapshot
  const known = shards.find((shard) => context.transaction.participants.has(shard.id))
  return (known ?? shards[context.clock.randomInt(shards.length)])?.id ?? 0
}

async function executeGather(plan: GatherPlan, args: Arguments, sink: ResultSink, context: ExecutionContext): Promise<StatementEnd> {
  return withTransaction(context, async () => {
    // Plans for such a block fetch them (NameContext.fetchesReference): this is for one that came another way.
    if (plan.readsReference && plan.fetches.length > 0 && isReadCommitted(context) && context.consistency !== 'shard') {
      throw refuse(`pgherd.read_consistency '${context.consistency}' cannot hold for reference tables beside rows of several shards in a READ COMMITTED block`, 'Use BEGIN ISOLATION LEVEL REPEATABLE READ, or run the statement outside of a block.')
    }
    // Rows that wait in a portal keep their tables: a gather beside it must have others.
    const prefix = args.portal === '' ? undefined : `pgherd_p${context.clock.randomHex(4)}_`
    const { fetches, text } = prefix === undefined ? { fetches: plan.fetches, text: await catalogText(plan, context) } : withOwnNames(plan.fetches, await catalogText(plan, context), prefix)
    const translate = await gatherRows(fetches, args, context)
    const statement = { text, markers: [], writes: false, cannotPrepare: true, pins: plan.pins, translate }
    return runOnServer(context.catalog, statement, { ...args, keep: false }, sink, context)
  })
}
