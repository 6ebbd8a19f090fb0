/** A schema change that lets others write: it is rolled back and tried again until it gets its locks almost at once. */
import { limits } from '../../base/limits.ts'
import { LockBusy } from '../../executor/schema/brief-lock.ts'
import type { SchemaChange } from '../../executor/schema/schema-change.ts'
import type { StatementEnd } from '../../executor/statement-exchange.ts'
import type { Session } from '../session.ts'
import { changeSchema } from './change-schema.ts'

const firstWaitMs = 10
/** Between two tries others have this many times as long as a try may keep them waiting. */
const pauseFactor = 4

/** `work` is given how long it may wait for its locks (lockBriefly), before it has done anything. */
export async function changeGently(session: Session, work: (change: SchemaChange, waitMs: number) => Promise<StatementEnd>): Promise<StatementEnd> {
  const { clock } = session.services
  const begun = clock.ticks()
  for (let waitMs = firstWaitMs; ; waitMs = Math.min(waitMs * 2, limits.changeLockMsMax)) {
    try {
      return await changeSchema(session, (change) => work(change, waitMs))
    } catch (error) {
      if (!(error instanceof LockBusy)) throw error
      const isOver = error.timeoutMs > 0 && clock.ticks() - begun >= error.timeoutMs
      if (isOver || session.stream.isEnded) throw error.error
    }
    await clock.sleep(waitMs * pauseFactor)
  }
}
