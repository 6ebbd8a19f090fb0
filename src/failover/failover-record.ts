/**
 * The rows of the cluster's database that failovers go by. Each change is one transaction that shows the fence of the shard's lock and holds the
 * shard's row, and nothing happens in another term than the one that was read.
 */
import type pg from 'pg'
import { limits } from '../base/limits.ts'
import type { Credentials, ServerAddress } from '../catalog/server-address.ts'
import { withAdmin } from '../coordination/admin-client.ts'
import { clusterDatabase } from '../coordination/catalog-store.ts'
import { fenced } from '../coordination/fences.ts'
import type { Lease } from '../coordination/locks.ts'
import type { GuardedShard, InSync, OpenFailover } from './guarded-shard.ts'
import { readGuardedShards, serverKey } from './guarded-shard.ts'

export interface RecordPlace {
  readonly catalog: ServerAddress
  readonly credentials: Credentials
}

/** What was read is not so any more. */
export class ShardChanged extends Error {
  constructor({ name }: GuardedShard) {
    super(`${name} has changed meanwhile`)
  }
}

export function askCatalog<T>({ catalog, credentials }: RecordPlace, work: (client: pg.Client) => Promise<T>): Promise<T> {
  return withAdmin(catalog, clusterDatabase, credentials, work, limits.serverAnswerMsMax)
}

export async function readShard(id: number, place: RecordPlace): Promise<GuardedShard | undefined> {
  return (await askCatalog(place, readGuardedShards)).find((shard) => shard.id === id)
}

/** Throws ShardChanged when the shard's primary, or who is in sync, is another than `shard` says. */
function change<T>(shard: GuardedShard, lease: Lease, place: RecordPlace, work: (client: pg.Client) => Promise<T>): Promise<T> {
  return askCatalog(place, (client) =>
    fenced(client, lease, async () => {
      await client.query('SELECT FROM pgherd.shard WHERE id = $1 FOR UPDATE', [shard.id])
      const now = (await readGuardedShards(client)).find(({ id }) => id === shard.id)
      if (now === undefined || now.term !== shard.term || serverKey(now.primary) !== serverKey(shard.primary) || now.failover?.id !== shard.failover?.id) throw new ShardChanged(shard)
      return work(client)
    }),
  )
}

export async function writeInSync(shard: GuardedShard, replicas: readonly InSync[], lease: Lease, place: RecordPlace): Promise<void> {
  await change(shard, lease, place, async (client) => {
    if (shard.failover !== undefined) throw new ShardChanged(shard)
    // A server that was another shard's once may still be on record there.
    await client.query('DELETE FROM pgherd.in_sync WHERE shard_id = $1 OR (host, port) IN (SELECT host, port FROM pgherd.server WHERE shard_id = $1)', [shard.id])
    await client.query(
      'INSERT INTO pgherd.in_sync (host, port, shard_id, term, name) SELECT r.host, r.port, $1, $2, r.name FROM json_to_recordset($3) AS r (host text, port integer, name text)',
      [shard.id, shard.term, JSON.stringify(replicas)],
    )
  })
}

/** From here on the old primary's term is over: nothing of it is recorded any more, and no router takes it for the shard's primary. */
export async function beginFailover(shard: GuardedShard, lease: Lease, place: RecordPlace): Promise<void> {
  await change(shard, lease, place, async (client) => {
    if (shard.failover !== undefined) throw new ShardChanged(shard)
    const { rows } = await client.query<{ key: string }>(`SELECT host || ':' || port AS key FROM pgherd.in_sync WHERE shard_id = $1 AND term = $2`, [shard.id, shard.term])
    const inSync = rows.map(({ key }) => key).toSorted()
    if (String(inSync) !== String(shard.inSync.map(serverKey).toSorted()) || inSync.length === 0) throw new ShardChanged(shard)
    await client.query('UPDATE pgherd.shard SET term = term + 1 WHERE id = $1', [shard.id])
    await client.query(`INSERT INTO pgherd.failover (shard_id, term, step, in_sync, old_primary) VALUES ($1, $2, 'cutting off', $3, $4)`, [shard.id, shard.term + 1, inSync, serverKey(shard.primary)])
  })
}

/** Whom to promote is stored before it is promoted, and never changes. */
export async function storeChoice(shard: GuardedShard, { id }: OpenFailover, newPrimary: string, lease: Lease, place: RecordPlace): Promise<void> {
  await change(shard, lease, place, (client) => client.query(`UPDATE pgherd.failover SET step = 'promoting', new_primary = $2, error = NULL WHERE id = $1 AND step = 'cutting off'`, [id, newPrimary]))
}

/** The new primary is one: from now on it is the shard's. */
export async function endFailover(shard: GuardedShard, failover: OpenFailover, promoted: Promoted, lease: Lease, place: RecordPlace): Promise<void> {
  await change(shard, lease, place, async (client) => {
    const { rows } = await client.query<{ term: string | null }>('SELECT pgherd.change_primary($1, $2, $3, $4, $5, $6) AS term', [shard.id, shard.term, promoted.host, promoted.port, promoted.timeline, promoted.system])
    if (rows[0]?.term === null) throw new Error(`${serverKey(promoted)} cannot follow ${serverKey(shard.primary)} as the primary: its timeline is ${promoted.timeline}`)
    await end(client, failover, serverKey(promoted))
  })
}

/** Another primary is on record by now: a router has seen that one was promoted, by this failover or by a person. */
export async function endOvertaken(shard: GuardedShard, failover: OpenFailover, lease: Lease, place: RecordPlace): Promise<void> {
  await change(shard, lease, place, (client) => end(client, failover, serverKey(shard.primary)))
}

async function end(client: pg.Client, { id }: OpenFailover, newPrimary: string): Promise<void> {
  await client.query(`UPDATE pgherd.failover SET step = 'done', new_primary = $2, error = NULL, ended_at = clock_timestamp() WHERE id = $1`, [id, newPrimary])
}

/** What a server says of itself once it has been promoted. */
export interface Promoted {
  readonly host: string
  readonly port: number
  readonly timeline: number
  readonly system: string
}

export async function noteError({ id }: OpenFailover, error: string, place: RecordPlace): Promise<void> {
  await askCatalog(place, (client) => client.query(`UPDATE pgherd.failover SET error = $2 WHERE id = $1 AND step <> 'done'`, [id, error]))
}
