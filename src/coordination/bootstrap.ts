/** Makes a cluster out of servers: the catalog's database `pgherd`, and each logical database everywhere. */
import type { Clock } from '../base/clock.ts'
import { limits } from '../base/limits.ts'
import { quoteIdent } from '../base/quote.ts'
import type { Credentials, ServerAddress } from '../catalog/server-address.ts'
import { catalogId } from '../catalog/server-address.ts'
import type { ShardServer } from '../catalog/snapshot.ts'
import { withAdmin } from './admin-client.ts'
import { checkServers } from './check-servers.ts'
import { clusterDatabase } from './catalog-store.ts'
import { migrate } from './migrate.ts'
import { prepareDatabase } from './prepare-database.ts'

export interface ShardServers {
  readonly name: string
  readonly primary: { readonly host: string; readonly port: number }
  readonly replicas: readonly { readonly host: string; readonly port: number }[]
}

export function catalogAddress(host: string, port: number): ServerAddress {
  return { id: catalogId, name: 'catalog', host, port }
}

/** Registers the shards that the catalog does not know yet, and makes the first database. May be repeated. */
export async function bootstrap(catalog: ServerAddress, shards: readonly ShardServers[], credentials: Credentials, clock: Clock): Promise<void> {
  const primaries = shards.map((shard, i) => ({ id: i + 1, name: shard.name, ...shard.primary }))
  await checkServers([catalog, ...primaries], credentials, (line) => {
    throw new Error(line)
  })
  await createDatabase(catalog, clusterDatabase, credentials)
  await withAdmin(catalog, clusterDatabase, credentials, async (client) => {
    await migrate(client, 'cluster')
    await client.query('INSERT INTO pgherd.cluster (id) SELECT $1 WHERE NOT EXISTS (SELECT FROM pgherd.cluster)', [clock.randomHex(4)])
    for (const [i, shard] of shards.entries()) {
      await client.query('INSERT INTO pgherd.shard (id, name) VALUES ($1, $2) ON CONFLICT DO NOTHING', [i + 1, shard.name])
      for (const [role, server] of [['primary', shard.primary] as const, ...shard.replicas.map((r) => ['replica', r] as const)]) {
        await client.query('INSERT INTO pgherd.server VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING', [i + 1, server.host, server.port, role])
      }
    }
  })
  const { shards: known } = await readCluster(catalog, credentials)
  await prepareDatabase(catalog, known, 'postgres', credentials)
}

/** What the catalog says of the cluster. Throws when it has not been made one. */
export async function readCluster(catalog: ServerAddress, credentials: Credentials): Promise<{ id: string; servers: ShardServer[]; shards: ServerAddress[] }> {
  return withAdmin(catalog, clusterDatabase, credentials, async (client) => {
    const cluster = await client.query<{ id: string }>('SELECT id FROM pgherd.cluster')
    const { rows: servers } = await client.query<ShardServer>(
      `SELECT s.id AS shard, s.name, v.role, v.host, v.port, s.state, s.term::float8 AS term, coalesce(s.timeline, 0)::float8 AS timeline,
         coalesce(s.system_identifier, '') AS "systemIdentifier"
       FROM pgherd.shard s JOIN pgherd.server v ON v.shard_id = s.id
       WHERE s.state <> 'removed' ORDER BY s.id, v.role, v.port`,
    )
    const shards = servers.filter((server) => server.role === 'primary').map(({ shard, name, host, port }) => ({ id: shard, name, host, port }))
    return { id: cluster.rows[0]?.id ?? '', servers, shards }
  }, limits.serverAnswerMsMax)
}

async function createDatabase(server: ServerAddress, database: string, credentials: Credentials): Promise<void> {
  await withAdmin(server, 'postgres', credentials, async (client) => {
    const { rowCount } = await client.query('SELECT FROM pg_database WHERE datname = $1', [database])
    if (rowCount === 0) await client.query(`CREATE DATABASE ${quoteIdent(database)}`)
  })
}
