/**
 * Statements that find their tables gone.
 *
 * What finds them gone has done nothing there (StaleLayout). Outside of a block, and where nothing has gone to the client, the statement begins
 * anew with the newest layout. In a block the same holds while the router knows that buckets are on their way: each statement then has a
 * savepoint of its own. A transaction whose statements see rows as of its first keeps its layout, and is told to begin again.
 */
import { limits } from '../base/limits.ts'
import type { Snapshot } from '../catalog/snapshot.ts'
import { StaleLayout, tablesMoved } from '../executor/run-on-server.ts'
import type { StatementEnd } from '../executor/statement-exchange.ts'
import type { Session } from './session.ts'

/** What has come of an attempt. */
interface Attempt {
  readonly snapshot: Snapshot
  readonly number: number
  /** Something has gone to the client. */
  readonly isSeen: boolean
  /** It runs on one server, which refused it: nothing of it has run elsewhere. */
  readonly isOnOneServer: boolean
}

/** `once` plans with the session's newest snapshot, and runs. */
export async function beginningAnew(sink: { readonly touched?: boolean }, session: Session, once: () => Promise<StatementEnd>): Promise<StatementEnd> {
  for (let number = 0; ; number++) {
    const snapshot = await session.currentSnapshot()
    try {
      return await undoably(session, once)
    } catch (error) {
      await beginAnewOrThrow(error, { snapshot, number, isSeen: sink.touched === true, isOnOneServer: false }, session)
    }
  }
}

/** Returns when the statement may begin anew. */
export async function beginAnewOrThrow(error: unknown, { snapshot, number, isSeen, isOnOneServer }: Attempt, session: Session): Promise<void> {
  if (!(error instanceof StaleLayout)) throw error
  const hasRunPartly = session.transaction.active && !error.isUndone && !isOnOneServer
  if (isSeen || hasRunPartly) throw tablesMoved()
  const canGoOn = number < limits.staleRetriesMax && (await awaitLayout(snapshot, number, session))
  if (!canGoOn) throw session.keptSnapshot === undefined ? error.error : tablesMoved()
}

/** In a block whose tables may be on their way: what a statement has done that finds them gone is undone by itself. */
export async function undoably(session: Session, work: () => Promise<StatementEnd>): Promise<StatementEnd> {
  const { transaction } = session
  if (!session.mayFindTablesMoved) return work()
  transaction.beginStatement()
  try {
    const end = await work()
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
