/** Work in the catalog that counts on shards being there: none of them is drained or removed before the work has committed. */
import { SqlError } from '../base/errors.ts'
import { limits } from '../base/limits.ts'
import { withAdmin } from '../coordination/admin-client.ts'
import { clusterDatabase } from '../coordination/catalog-store.ts'
import { checkFence } from '../coordination/fences.ts'
import type { Lease } from '../coordination/locks.ts'
import type pg from 'pg'
import type { AdminContext } from './admin-context.ts'

/**
 * Begins a transaction of the database, runs `work` in it, and commits it while it holds the shards, and the lease's fence, in the cluster's database. The
 * database's transaction may not idle for longer than the cluster's: so it never commits after what it counts on was let go. Throws 55000 for a
 * shard that takes no buckets, 42704 for one that is not there.
 */
export async function withActiveShards<T>(context: AdminContext, database: string, shards: readonly number[], lease: Lease | undefined, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const { catalog, credentials } = context
  const begin = `BEGIN; SET LOCAL idle_in_transaction_session_timeout = '${limits.leaseMs}ms'; SET LOCAL lock_timeout = '${limits.leaseMs}ms'`
  return withAdmin(catalog, database, credentials, (client) =>
    withAdmin(catalog, clusterDatabase, credentials, async (cluster) => {
      await cluster.query(begin)
      await checkShards(cluster, shards)
      await client.query(begin)
      const result = await work(client)
      await checkFence(cluster, lease)
      await client.query('COMMIT')
      return result // what was held is let go with the connection
    }),
  )
}

async function checkShards(cluster: pg.Client, shards: readonly number[]): Promise<void> {
  const { rows } = await cluster.query<{ id: number; state: string }>('SELECT id, state FROM pgherd.shard WHERE id = ANY ($1) ORDER BY id FOR SHARE', [shards])
  for (const shard of shards) {
    const state = rows.find(({ id }) => id === shard)?.state ?? 'removed'
    if (state === 'removed') throw new SqlError('42704', `shard ${shard} does not exist`, { hint: 'SELECT * FROM pgherd.shards shows them.' })
    if (state !== 'active') throw new SqlError('55000', `shard ${shard} takes no buckets: it is ${state}`)
  }
}
