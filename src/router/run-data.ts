/**
 * A statement of data: planned, run, and planned again when its tables have moved meanwhile (begin-anew.ts), or a server was lost.
 *
 * What loses a server runs again outside of a block, where nothing has gone to the client, when it cannot have been done: it was never sent, it only reads, or
 * it was a part of the statement's own transaction, which is then undone everywhere. What waits for a server's new primary is shard/pool.ts.
 */
import { SqlError } from '../base/errors.ts'
import { limits } from '../base/limits.ts'
import type { Snapshot } from '../catalog/snapshot.ts'
import type { Arguments } from '../executor/context.ts'
import { executePlan } from '../executor/execute-plan.ts'
import type { ResultSink } from '../executor/result-sink.ts'
import { StaleLayout } from '../executor/run-on-server.ts'
import type { StatementEnd } from '../executor/statement-exchange.ts'
import type { QueryPlan } from '../planner/plan.ts'
import { planWrites } from '../planner/plan.ts'
import { groupsOf, leafGroupsOf } from '../planner/plan-groups.ts'
import type { Statement } from '../sql/parse.ts'
import { beginAnewOrThrow, undoably } from './begin-anew.ts'
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
    const context = session.executionContext(snapshot, statement.source.text)
    const run = () => executePlan(plan, args, sink, context)
    try {
      return await (args.rowsMax > 0 ? run() : undoably(session, run))
    } catch (error) {
      if (!(error instanceof StaleLayout)) {
        const isUndone = !wasActive && !transaction.active && sink.touched !== true && hasNotRun(error, plan)
        if (!isUndone || ++losses > limits.leaseRetriesMax || services.clock.ticks() - began > limits.failoverWaitMsMax) throw error
        continue
      }
      await beginAnewOrThrow(error, { snapshot, number: attempt, isSeen: sink.touched === true, isOnOneServer: plan.kind === 'one-shard' }, session)
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
