import type { Credentials, ServerAddress } from '../catalog/server-address.ts'
import { catalogId } from '../catalog/server-address.ts'
import { withAdmin } from './admin-client.ts'
import { migrate } from './migrate.ts'

/** Gives a database that exists on every server pgherd's own schemas. May be repeated. */
export async function prepareDatabase(
  catalog: ServerAddress,
  shards: readonly ServerAddress[],
  database: string,
  credentials: Credentials,
): Promise<void> {
  await Promise.all(
    [catalog, ...shards].map((server) =>
      withAdmin(server, database, credentials, async (client) => {
        await migrate(client, 'server')
        if (server.id === catalogId) await migrate(client, 'database')
      }),
    ),
  )
}
