import type pg from 'pg'
import type { Credentials, ServerAddress } from '../catalog/server-address.ts'
import { withAdmin } from './admin-client.ts'
import { migrate } from './migrate.ts'

/** Gives a database that exists on the catalog and these shards pgherd's own schemas: they are its members. May be repeated. */
export async function prepareDatabase(
  catalog: ServerAddress,
  shards: readonly ServerAddress[],
  database: string,
  credentials: Credentials,
): Promise<void> {
  await Promise.all(shards.map((shard) => withAdmin(shard, database, credentials, (client) => migrate(client, ['server']))))
  // Last, and at once: a database whose catalog has all of it is known to have it everywhere.
  const isOn = async (client: pg.Client) => {
    await client.query('INSERT INTO pgherd.member (shard_id) SELECT unnest($1::integer[]) WHERE NOT EXISTS (SELECT FROM pgherd.member)', [shards.map(({ id }) => id)])
  }
  await withAdmin(catalog, database, credentials, (client) => migrate(client, ['server', 'database'], isOn))
}
