/**
 * Which shards a database is on, and what goes on with the cluster's shards: asked of the catalog itself, where it matters that the answer is
 * true now. A router's own list (server-list.ts) may be behind.
 */
import type pg from 'pg'
import { SqlError } from '../base/errors.ts'
import type { Credentials, ServerAddress } from '../catalog/server-address.ts'
import type { ShardServer } from '../catalog/snapshot.ts'
import { withAdmin } from './admin-client.ts'
import { clusterDatabase } from './catalog-store.ts'

export async function readServers(client: pg.Client): Promise<ShardServer[]> {
  const { rows } = await client.query<ShardServer>(
    `SELECT s.id AS shard, s.name, v.role, v.host, v.port, s.state, s.term::float8 AS term, coalesce(s.timeline, 0)::float8 AS timeline,
       coalesce(s.system_identifier, '') AS "systemIdentifier"
     FROM pgherd.shard s JOIN pgherd.server v ON v.shard_id = s.id
     WHERE s.state <> 'removed' ORDER BY s.id, v.role, v.port`,
  )
  return rows
}

export async function removedShards(catalog: ServerAddress, credentials: Credentials): Promise<ReadonlySet<number>> {
  const { rows } = await withAdmin(catalog, clusterDatabase, credentials, (client) => client.query<{ id: number }>(`SELECT id FROM pgherd.shard WHERE state = 'removed'`))
  return new Set(rows.map(({ id }) => id))
}

/** Throws 55006 when a shard joins or leaves just now. `client` is one of the cluster's database. */
export async function refuseWhileShardsChange(client: pg.Client, what: string, states: readonly string[]): Promise<void> {
  const { rows } = await client.query<{ id: number; name: string; state: string }>('SELECT id, name, state FROM pgherd.shard WHERE state = ANY ($1) ORDER BY id', [states])
  const [row] = rows
  if (row === undefined) return
  const hint = row.state === 'joining' ? `Try again when it has joined; SELECT pgherd.remove_shard('${row.name}') gives it up.` : `Try again when it has left; SELECT pgherd.remove_shard('${row.name}') goes on with that.`
  throw new SqlError('55006', `${what} is not possible while shard "${row.name}" is ${row.state}`, { hint })
}

/**
 * For a statement that changes what is the same in all databases (roles, settings of databases), once it has told the catalog so
 * (pgherd.change_globals): a shard that begins to join after this waits for the statement's transaction, and then copies what it did.
 */
export function checkGlobalsMayChange(catalog: ServerAddress, credentials: Credentials): Promise<void> {
  return withAdmin(catalog, clusterDatabase, credentials, (client) => refuseWhileShardsChange(client, 'a change of roles, or of settings of databases,', ['joining']))
}

/** Runs `work` with the shards of a database; none joins or leaves until it ends. */
export async function withMembers<T>(catalog: ServerAddress, database: string, credentials: Credentials, work: (members: readonly number[]) => Promise<T>): Promise<T> {
  return withAdmin(catalog, database, credentials, async (client) => {
    await client.query(`BEGIN; SELECT pg_advisory_xact_lock_shared(hashtextextended('pgherd.members', 0))`)
    const { rows } = await client.query<{ id: number }>(`SELECT shard_id AS id FROM pgherd.member WHERE state = 'in'`)
    const result = await work(rows.map(({ id }) => id))
    await client.query('COMMIT')
    return result
  })
}

/** In the transaction by which a shard joins or leaves: waits for those of `withMembers`, and they for it. */
export const holdMembers = `SELECT pg_advisory_xact_lock(hashtextextended('pgherd.members', 0))`
