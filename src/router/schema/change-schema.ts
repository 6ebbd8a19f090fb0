/** A schema change as a transaction: the session's own, or one for itself, tried again when its snapshot was behind. */
import { limits } from '../../base/limits.ts'
import { StaleLayout } from '../../executor/run-on-server.ts'
import { SchemaChange } from '../../executor/schema/schema-change.ts'
import type { StatementEnd } from '../../executor/statement-exchange.ts'
import type { Session } from '../session.ts'

/** Runs `work` as a schema change: in the session's transaction, or in one of its own. */
export async function changeSchema(session: Session, work: (change: SchemaChange) => Promise<StatementEnd>): Promise<StatementEnd> {
  const own = !session.transaction.active
  for (let attempt = 0; ; attempt++) {
    if (own) session.transaction.begin('implicit')
    try {
      const context = session.executionContext(await session.currentSnapshot())
      const change = await SchemaChange.begin(context, session.services.store.builtins, (fields) => {
        if (!session.replaying && !fields.message.includes('pgherd_')) session.notice(fields.code, fields.message, fields.severity, fields)
      })
      session.schemaChanged = true
      const end = await work(change)
      session.transactionSnapshot = await change.reload()
      if (own) await session.commit()
      return end
    } catch (error) {
      const stale = error instanceof StaleLayout
      const { isVictim } = session.transaction
      if (own && session.transaction.active) await session.rollback()
      // Locks of the shell are held while those of shards are waited for: where that has made a deadlock, one PostgreSQL would have
      // let the change wait.
      if (!(stale || isVictim) || attempt === limits.staleRetriesMax || !own) throw stale ? error.error : error
      if (stale) await session.services.store.refresh(session.database)
    }
  }
}

export async function reloadTransactionSnapshot(session: Session): Promise<void> {
  const context = session.executionContext(await session.currentSnapshot())
  const change = await SchemaChange.begin(session.executionContext({ ...context.snapshot, version: -1 }), session.services.store.builtins, () => undefined)
  session.transactionSnapshot = await change.reload()
}
