/**
 * REPEATABLE READ: all statements of a transaction see what was committed before its first. A server's snapshot begins with the
 * first statement that it gets, so the transaction's first statement begins them all, on every server at once.
 */
import { settleAll } from '../base/settle-all.ts'
import type { ServerAddress } from '../catalog/server-address.ts'
import { query } from '../shard/query.ts'
import type { ExecutionContext } from './context.ts'

export async function openSnapshots(context: ExecutionContext): Promise<void> {
  const { transaction, catalog, snapshot } = context
  await settleAll([catalog, ...snapshot.shards].map((server) => openOn(server, context)))
  transaction.snapshotsOpen = true
}

async function openOn(server: ServerAddress, { transaction }: ExecutionContext): Promise<void> {
  const lease = await transaction.lease(server)
  try {
    await query(lease.connection, [...lease.prelude, 'SELECT 1'].join('; '))
    if (lease.participant !== undefined) lease.participant.fresh = false
  } finally {
    transaction.release(lease)
  }
}
