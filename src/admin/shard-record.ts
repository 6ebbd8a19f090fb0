/**
 * The states of shards in the cluster's database. Each change of one shows the lock's fence, and holds the row of pgherd.cluster: so no database
 * is made or dropped from a list of shards that is not true any more (coordination/database-changes.ts).
 */
import type pg from 'pg'
import { SqlError } from '../base/errors.ts'
import { limits } from '../base/limits.ts'
import { withAdmin } from '../coordination/admin-client.ts'
import { clusterDatabase } from '../coordination/catalog-store.ts'
import { fenced } from '../coordination/fences.ts'
import type { Lease } from '../coordination/locks.ts'
import { refuseWhileShardsChange } from '../coordination/members.ts'
import type { ShardParts } from './shard-parts.ts'

export type ShardState = 'joining' | 'active' | 'draining' | 'leaving' | 'removed'

export interface ShardRow {
  readonly id: number
  readonly name: string
  readonly state: ShardState
  readonly systemId: string | undefined
}

export interface HostPort {
  readonly host: string
  readonly port: number
}

export const shardsLock = 'shards'

/** Runs `work` as the only one that changes shards. Throws 55P03 when somebody does already. */
export async function withShardsLock<T>(parts: ShardParts, work: (lease: Lease) => Promise<T>): Promise<T> {
  const lease = await parts.locks.acquire(shardsLock)
  if (lease === undefined) throw new SqlError('55P03', 'shards are being added or removed by another router just now', { hint: 'SELECT * FROM pgherd.locks shows which. Try again.' })
  try {
    return await work(lease)
  } finally {
    await lease.release()
  }
}

export function shardAt({ host, port }: HostPort, parts: ShardParts): Promise<ShardRow | undefined> {
  return find(`JOIN pgherd.server v ON v.shard_id = s.id WHERE v.host = $1 AND v.port = $2`, [host, port], parts)
}

/** By its name or its number. Throws 42704 when there is none. */
export async function shardNamed(name: string, parts: ShardParts): Promise<ShardRow> {
  const row = await find(`WHERE (s.name = $1 OR s.id::text = $1) AND s.state <> 'removed' ORDER BY s.name = $1 DESC LIMIT 1`, [name], parts)
  if (row === undefined) throw new SqlError('42704', `shard "${name}" does not exist`)
  return row
}

async function find(condition: string, values: readonly unknown[], { catalog, credentials }: ShardParts): Promise<ShardRow | undefined> {
  const text = `SELECT s.id, s.name, s.state, s.system_identifier AS "systemId" FROM pgherd.shard s ${condition}`
  const { rows } = await withAdmin(catalog, clusterDatabase, credentials, (client) => client.query<Omit<ShardRow, 'systemId'> & { systemId: string | null }>(text, [...values]))
  return rows[0] && { ...rows[0], systemId: rows[0].systemId ?? undefined }
}

/** A new shard, joining. From here on nobody makes or drops a database. Waits for those who do. */
export async function beginJoining(servers: readonly HostPort[], systemId: string, lease: Lease, parts: ShardParts): Promise<ShardRow> {
  const id = await change(lease, parts, async (client) => {
    await refuseWhileShardsChange(client, 'to add a shard', ['joining', 'leaving'])
    const { rows } = await client.query<{ id: number }>(
      `INSERT INTO pgherd.shard (id, name, state, system_identifier) SELECT n, 'shard' || n, 'joining', $1 FROM (SELECT coalesce(max(id), 0) + 1 AS n FROM pgherd.shard) x RETURNING id`,
      [systemId],
    )
    for (const [i, { host, port }] of servers.entries()) {
      await client.query('INSERT INTO pgherd.server (shard_id, host, port, role) VALUES ($1, $2, $3, $4)', [rows[0]?.id, host, port, i === 0 ? 'primary' : 'replica'])
    }
    return rows[0]?.id
  })
  return shardNamed(String(id), parts)
}

/** Throws 55000 when the shard is in none of the states `from`. */
export async function setState({ id, name }: ShardRow, from: readonly ShardState[], to: ShardState, lease: Lease, parts: ShardParts): Promise<void> {
  await change(lease, parts, async (client) => {
    const { rowCount } = await client.query('UPDATE pgherd.shard SET state = $2 WHERE id = $1 AND state = ANY ($3)', [id, to, from])
    if (rowCount !== 1) throw new SqlError('55000', `shard "${name}" is not ${from.join(' or ')} any more`)
    // Its servers may join again, as another shard.
    if (to === 'removed') await client.query('DELETE FROM pgherd.server WHERE shard_id = $1', [id])
    if (to === 'removed') await client.query('UPDATE pgherd.shard SET name = name || $2 WHERE id = $1', [id, ` (removed ${id})`])
  })
  await parts.list.refresh()
  // This router's own sessions see it at once.
  await Promise.all(parts.store.knownDatabases.map((database) => parts.store.refresh(database)))
}

/** With no change of databases under way: such a change has read the list of shards. */
async function change<T>(lease: Lease, parts: ShardParts, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const { catalog, credentials, clock } = parts
  const until = clock.ticks() + limits.joinWaitMsMax
  for (;;) {
    const done = await withAdmin(catalog, clusterDatabase, credentials, (client) =>
      fenced(client, lease, async () => {
        await client.query('SELECT FROM pgherd.cluster FOR UPDATE')
        const { rowCount } = await client.query('SELECT FROM pgherd.database_change')
        return rowCount === 0 ? { result: await work(client) } : undefined
      }),
    )
    if (done !== undefined) return done.result
    if (clock.ticks() > until) throw new SqlError('55006', 'databases are being made or dropped just now', { hint: 'Try again.' })
    await clock.sleep(limits.recoveryEveryMs / 4)
  }
}

/** Every database of the cluster, by its name on the catalog. */
export async function clusterDatabases({ catalog, credentials }: ShardParts): Promise<string[]> {
  const { rows } = await withAdmin(catalog, 'postgres', credentials, (client) =>
    client.query<{ name: string }>('SELECT datname AS name FROM pg_database WHERE datallowconn AND NOT datistemplate AND datname <> $1 ORDER BY datname', [clusterDatabase]),
  )
  const names: string[] = []
  for (const { name } of rows) {
    const { rows: found } = await withAdmin(catalog, name, credentials, (client) => client.query<{ there: boolean }>(`SELECT to_regclass('pgherd.schema_version') IS NOT NULL AS there`))
    if (found[0]?.there === true) names.push(name)
  }
  return names
}
