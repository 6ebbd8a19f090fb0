/** Makes a cluster out of servers: the catalog's database `pgherd`, and each logical database everywhere. */
import type pg from 'pg'
import type { Clock } from '../base/clock.ts'
import { limits } from '../base/limits.ts'
import { quoteIdent } from '../base/quote.ts'
import type { Credentials, ServerAddress } from '../catalog/server-address.ts'
import { catalogId } from '../catalog/server-address.ts'
import type { ShardServer } from '../catalog/snapshot.ts'
import { primariesOf } from '../catalog/snapshot.ts'
import { withAdmin } from './admin-client.ts'
import { checkServers } from './check-servers.ts'
import { clusterDatabase } from './catalog-store.ts'
import { readServers } from './members.ts'
import { migrate } from './migrate.ts'
import { prepareDatabase } from './prepare-database.ts'

export interface ShardServers {
  readonly name: string
  readonly primary: { readonly host: string; readonly port: number }
  readonly replicas: readonly { readonly host: string; readonly port: number }[]
}

/** `others` are servers that may become its primary. */
export function catalogAddress(host: string, port: number, others: readonly { readonly host: string; readonly port: number }[] = []): ServerAddress {
  return { id: catalogId, name: 'catalog', host, port, ...(others.length === 0 ? {} : { others }) }
}

/**
 * Makes a cluster of these shards, and its first database. May be repeated; a shard that comes later joins (admin/shard-add.ts). `onStranger` is told of a server that is
 * none of a cluster that was made before: one that has not joined, or has left.
 */
export async function bootstrap(catalog: ServerAddress, shards: readonly ShardServers[], credentials: Credentials, clock: Clock, onStranger: (line: string) => void = refuseStranger): Promise<void> {
  const primaries = shards.map((shard, i) => ({ id: i + 1, name: shard.name, ...shard.primary }))
  await checkServers([catalog, ...primaries], credentials, (line) => {
    throw new Error(line)
  })
  await createDatabase(catalog, clusterDatabase, credentials)
  await withAdmin(catalog, clusterDatabase, credentials, async (client) => {
    await migrate(client, ['cluster'])
    await client.query('INSERT INTO pgherd.cluster (id) SELECT $1 WHERE NOT EXISTS (SELECT FROM pgherd.cluster)', [clock.randomHex(4)])
    await client.query('BEGIN')
    try {
      await registerShards(client, shards, onStranger)
      await client.query('COMMIT')
    } catch (error) {
      await client.query('ROLLBACK')
      throw error
    }
  })
  const { servers } = await readCluster(catalog, credentials)
  await prepareDatabase(catalog, primariesOf(servers.filter(({ state }) => state === 'active' || state === 'draining')), 'postgres', credentials)
}

function refuseStranger(line: string): void {
  throw new Error(line)
}

/** All at once, when there are none yet; later only what replicas they have. */
async function registerShards(client: pg.Client, shards: readonly ShardServers[], onStranger: (line: string) => void): Promise<void> {
  await client.query('SELECT FROM pgherd.cluster FOR UPDATE')
  const { rowCount } = await client.query('SELECT FROM pgherd.shard')
  for (const [i, shard] of shards.entries()) {
    const { host, port } = shard.primary
    if (rowCount === 0) await client.query('INSERT INTO pgherd.shard (id, name) VALUES ($1, $2)', [i + 1, shard.name])
    if (rowCount === 0) await client.query(`INSERT INTO pgherd.server VALUES ($1, $2, $3, 'primary')`, [i + 1, host, port])
    const { rows } = await client.query<{ id: number }>('SELECT shard_id AS id FROM pgherd.server WHERE host = $1 AND port = $2', [host, port])
    if (rows[0] === undefined) {
      onStranger(`${host}:${port} is no shard of this cluster, which has been made already: pgherd shard add ${host}:${port} adds it`)
      continue
    }
    for (const replica of shard.replicas) await client.query(`INSERT INTO pgherd.server VALUES ($1, $2, $3, 'replica') ON CONFLICT DO NOTHING`, [rows[0].id, replica.host, replica.port])
  }
}

/** What the catalog says of the cluster. Throws when it has not been made one. */
export async function readCluster(catalog: ServerAddress, credentials: Credentials): Promise<{ id: string; servers: ShardServer[]; shards: ServerAddress[] }> {
  return withAdmin(catalog, clusterDatabase, credentials, async (client) => {
    const cluster = await client.query<{ id: string }>('SELECT id FROM pgherd.cluster')
    const servers = await readServers(client)
    return { id: cluster.rows[0]?.id ?? '', servers, shards: primariesOf(servers) }
  }, limits.serverAnswerMsMax)
}

async function createDatabase(server: ServerAddress, database: string, credentials: Credentials): Promise<void> {
  await withAdmin(server, 'postgres', credentials, async (client) => {
    const { rowCount } = await client.query('SELECT FROM pg_database WHERE datname = $1', [database])
    if (rowCount === 0) await client.query(`CREATE DATABASE ${quoteIdent(database)}`)
  })
}
