/**
 * REPEATABLE READ: all statements of a transaction see what was committed before its first. A server's snapshot begins with the
 * first statement that it gets, so the transaction's first statement begins them all, on every server at once.
 */
import type { ExecutionContext } from './context.ts'
import { openSnapshots } from './one-moment.ts'

export async function openAllSnapshots(context: ExecutionContext): Promise<void> {
  const { transaction, catalog, snapshot } = context
  await openSnapshots([catalog.id, ...snapshot.shards.map((server) => server.id)], context)
  transaction.snapshotsOpen = true
}
