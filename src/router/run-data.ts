/**
 * A statement of data: planned, run, and planned again when its tables have moved meanwhile, or a server was lost.
 *
 * What finds its tables gone has done nothing there (StaleLayout). Outside of a block, and where nothing has gone to the client, it is planned
 * with the newest layout. In a block the same holds while the router knows that buckets are on their way: each statement then has a
 * savepoint of its own. A transaction whose statements see rows as of its first keeps its layout, and is told to begin again.
 *
 * What loses a server runs again outside of a block, where nothing has gone to the client, when it cannot have been done: it was never sent, it only reads, or
 * it was a part of the statement's own transaction, which is then undone everywhere. What waits for a server's new primary is shard/pool.ts.
 */
import { SqlError } from '../base/errors.ts'
import { limits } from '../base/limits.ts'
import type { Snapshot } from '../catalog/snapshot.ts'
import type { Arguments, ExecutionContext } from '../executor/context.ts'
import { executePlan } from '../executor/execute-plan.ts'
import type { ResultSink } from '../executor/result-sink.ts'
import { StaleLayout, tablesMoved } from '../executor/run-on-server.ts'
import type { StatementEnd } from '../executor/statement-exchange.ts'
import type { QueryPlan } from '../planner/plan.ts'
import { planWrites } from '../planner/plan.ts'
import { groupsOf, leafGroupsOf } from '../planner/plan-groups.ts'
import type { Statement } from '../sql/parse.ts'
import { checkReadOnly } from './check-read-only.ts'
import type { Session } from './session.ts'

export async function runData(statement: Statement, args: Arguments, sink: ResultSink & { touched?: boolean }, session: Session): Promise<StatementEnd> {
  const { services, transaction, database } = session
  let refreshed = false
  let hasLetPass = false
  const wasActive = transaction.active
  const began = services.clock.ticks()
  for (let [attempt, losses] = [0, 0]; ; attempt++) {
    const snapshot = await session.currentSnapshot()
    const { plan, unknownNames } = session.plan(statement, args.types, snapshot, args.rowsMax > 0)
    if (unknownNames && !refreshed && session.transactionSnapshot === undefined) {
      // A name that this router does not know may have been made through another one.
      refreshed = true
      const fresh = await services.store.refresh(database)
      if (fresh.version !== snapshot.version) continue
    }
    checkReadOnly(plan, transaction)
    if (!hasLetPass && (await letCutOverPass(plan, snapshot, session))) {
      hasLetPass = true
      continue
    }
    try {
      return await execute(plan, args, sink, session.executionContext(snapshot, statement.source.text), session)
    } catch (error) {
      if (!(error instanceof StaleLayout)) {
        const isUndone = !wasActive && !transaction.active && sink.touched !== true && hasNotRun(error, plan)
        if (!isUndone || ++losses > limits.leaseRetriesMax || services.clock.ticks() - began > limits.failoverWaitMsMax) throw error
        continue
      }
      const hasRunPartly = transaction.active && !error.isUndone && plan.kind !== 'one-shard'
      if (sink.touched === true || hasRunPartly) throw tablesMoved()
      const canGoOn = attempt < limits.staleRetriesMax && (await awaitLayout(snapshot, attempt, session))
      if (!canGoOn) throw session.keptSnapshot === undefined ? error.error : tablesMoved()
    }
  }
}

/** 08007 alone says that it may have been done. A read may be done twice: whoever ended its connection may have been about to let go of the server. */
function hasNotRun(error: unknown, plan: QueryPlan): boolean {
  if (!(error instanceof SqlError)) return false
  const { code } = error
  return code === connectionFailure || code === connectionRejected || code === cannotConnectNow || (!planWrites(plan) && (code === adminShutdown || code === crashShutdown))
}

const [connectionFailure, connectionRejected] = ['08006', '08004']
const [adminShutdown, crashShutdown, cannotConnectNow] = ['57P01', '57P02', '57P03']

async function execute(plan: QueryPlan, args: Arguments, sink: ResultSink, context: ExecutionContext, session: Session): Promise<StatementEnd> {
  const { transaction } = session
  if (!session.mayFindTablesMoved || args.rowsMax > 0) return executePlan(plan, args, sink, context)
  transaction.beginStatement()
  try {
    const end = await executePlan(plan, args, sink, context)
    await transaction.endStatement()
    return end
  } catch (error) {
    if (error instanceof StaleLayout) {
      await transaction.undoStatement()
      error.isUndone = true
    } else transaction.forgetStatement()
    throw error
  }
}

/** True when it has waited: whoever has locks that a cut-over may wait for does not. */
async function letCutOverPass(plan: QueryPlan, snapshot: Snapshot, { services, transaction, database }: Session): Promise<boolean> {
  const { holds } = services.store
  if (!holds.isAny || transaction.participants.size > 0) return false
  // A read of one bucket outside of a block is over at once.
  const isBrief = plan.kind === 'one-shard' && !plan.writes && !transaction.active
  const passing = holds.passing(database, groupsOf(plan, snapshot), isBrief ? [] : leafGroupsOf(plan, snapshot))
  await passing
  if (transaction.cancelled !== undefined) throw transaction.cancelled
  return passing !== undefined
}

/** False when there is no other layout to plan with. */
async function awaitLayout(snapshot: Snapshot, attempt: number, session: Session): Promise<boolean> {
  const { services, transaction } = session
  if (session.transactionSnapshot !== undefined) return false
  const fresh = await services.store.refresh(session.database)
  if (session.keptSnapshot !== undefined) {
    // As long as it has seen nothing it may keep the newest as well.
    if (transaction.participants.size > 0) return false
    session.keptSnapshot = fresh
  }
  if (fresh.version !== snapshot.version) return true
  if (!fresh.isMoving) return false
  // The catalog's part of a move's commit is there, that of a shard not yet.
  await services.clock.sleep(Math.min(limits.staleWaitMsMin * 2 ** attempt, limits.staleWaitMsMax))
  return true
}
