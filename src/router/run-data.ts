/**
 * A statement of data: planned, run, and planned again when its tables have moved meanwhile.
 *
 * What finds its tables gone has done nothing there (StaleLayout). Outside of a block, and where nothing has gone to the client, it is planned
 * with the newest layout. In a block the same holds while the router knows that buckets are on their way: each statement then has a
 * savepoint of its own. A transaction whose statements see rows as of its first keeps its layout, and is told to begin again.
 */
import { limits } from '../base/limits.ts'
import type { Snapshot } from '../catalog/snapshot.ts'
import type { Arguments, ExecutionContext } from '../executor/context.ts'
import { executePlan } from '../executor/execute-plan.ts'
import type { ResultSink } from '../executor/result-sink.ts'
import { StaleLayout, tablesMoved } from '../executor/run-on-server.ts'
import type { StatementEnd } from '../executor/statement-exchange.ts'
import type { QueryPlan } from '../planner/plan.ts'
import { groupsOf } from '../planner/plan-groups.ts'
import type { Statement } from '../sql/parse.ts'
import { checkReadOnly } from './check-read-only.ts'
import type { Session } from './session.ts'

export async function runData(statement: Statement, args: Arguments, sink: ResultSink & { touched?: boolean }, session: Session): Promise<StatementEnd> {
  const { services, transaction, database } = session
  let refreshed = false
  let hasLetPass = false
  for (let attempt = 0; ; attempt++) {
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
      if (!(error instanceof StaleLayout)) throw error
      const hasRunPartly = transaction.active && !error.isUndone && plan.kind !== 'one-shard'
      if (sink.touched === true || hasRunPartly) throw tablesMoved()
      const canGoOn = attempt < limits.staleRetriesMax && (await awaitLayout(snapshot, attempt, session))
      if (!canGoOn) throw session.keptSnapshot === undefined ? error.error : tablesMoved()
    }
  }
}

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
  const passing = holds.passing(database, groupsOf(plan, snapshot))
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
