import type { Credentials, ServerAddress } from '../catalog/server-address.ts'
import { withAdmin } from './admin-client.ts'
import { migrate } from './migrate.ts'

/** Gives a database that exists on every server pgherd's own schemas. May be repeated. */
export async function prepareDatabase(
  catalog: ServerAddress,
  shards: readonly ServerAddress[],
  database: string,
  credentials: Credentials,
): Promise<void> {
  await Promise.all(shards.map((shard) => withAdmin(shard, database, credentials, (client) => migrate(client, 'server'))))
  // Last, and at once: a database whose catalog has all of it is known to have it everywhere.
  await withAdmin(catalog, database, credentials, (client) => migrate(client, 'server', 'database'))
}
