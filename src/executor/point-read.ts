/**
 * A point read on a connection that other sessions use at the same moment (transaction/lanes.ts).
 *
 * What can go wrong there through no fault of the statement (the connection breaks, another client's cancel request hits it,
 * a statement that it relied on could not be prepared) is mended by running it again on a connection of its own: it only
 * reads, and nothing of its answer has gone out.
 */
import type { OneShardPlan } from '../planner/plan.ts'
import { renderLeafText } from '../planner/plan.ts'
import { statementKey } from '../shard/requests.ts'
import type { LaneGroup } from '../transaction/lanes.ts'
import type { Arguments, ExecutionContext } from './context.ts'
import { noArguments, serverById } from './context.ts'
import { bucketAtOnce } from './key-bucket.ts'
import type { ResultSink } from './result-sink.ts'
import { explainFailure, typesOnShards } from './run-on-server.ts'
import type { StatementEnd, StatementRequest } from './statement-exchange.ts'
import { runShared, StatementFailure } from './statement-exchange.ts'

/** Undefined when it must run on a connection of its own: before it was tried, or as the promise's value, after. */
export function executePointRead(plan: OneShardPlan, args: Arguments, sink: ResultSink, context: ExecutionContext): Promise<StatementEnd | undefined> | undefined {
  const { route } = plan
  if (!plan.isPointRead || route.kind !== 'bucket' || context.transaction.active || args.rowsMax > 0 || sink.isCongested) return undefined
  const owners = context.snapshot.groups.get(route.group)?.owners ?? []
  const bucket = bucketAtOnce(route.key, route.keyType, owners.length, args)
  if (bucket === undefined) return undefined
  const server = serverById(context, owners[bucket] ?? 0)
  const translate = context.names.translation(server, context.snapshot)
  const group = translate === undefined ? undefined : context.laneGroup(server)
  const connection = group?.take()
  if (group === undefined || connection === undefined) return undefined
  const text = renderLeafText(plan.text, bucket)
  const types = typesOnShards(args.types)
  const keep = args.keep ? statementKey(context.snapshot.version, text, types) : undefined
  const prelude = plan.markers.map((marker) => `SELECT FROM ${marker}`)
  const isSimple = args === noArguments && prelude.length === 0
  return run(group, connection, { prelude, text, types, bind: args.bind, keep, isSimple, translate }, plan, sink, context)
}

async function run(
  group: LaneGroup,
  connection: NonNullable<ReturnType<LaneGroup['take']>>,
  request: StatementRequest,
  plan: OneShardPlan,
  sink: ResultSink,
  context: ExecutionContext,
): Promise<StatementEnd | undefined> {
  const { exchange, end } = runShared(connection, request, sink)
  const use = { connection, exchange, isCancelled: false }
  context.transaction.sharedUse = use
  try {
    return await end
  } catch (failure) {
    if (failure instanceof StatementFailure && isAnothers(failure, use.isCancelled)) return undefined
    const statement = { text: request.text, markers: plan.markers, writes: false, namesLeaves: true }
    throw await explainFailure(failure, group.server, statement, { connection, prelude: [], participant: undefined }, context)
  } finally {
    context.transaction.sharedUse = undefined
  }
}

const queryCanceled = '57014'
const invalidStatementName = '26000'

function isAnothers({ error, sentRows }: StatementFailure, isCancelled: boolean): boolean {
  if (sentRows) return false
  const { code } = error
  return code.startsWith('08') || code === '57P01' || code === invalidStatementName || (code === queryCanceled && !isCancelled)
}
