/**
 * The one who works on a server that is no shard yet, or will be none: makes roles and databases there, or drops them, which no transaction with the
 * catalog can hold. It does so on one connection, under an advisory lock of the server, and shows its fence once it has it. Who takes over
 * ends that connection: so a holder that was asleep does nothing more there.
 */
import type pg from 'pg'
import { limits } from '../base/limits.ts'
import type { ServerAddress } from '../catalog/server-address.ts'
import { adminClient, withAdmin } from '../coordination/admin-client.ts'
import { clusterDatabase } from '../coordination/catalog-store.ts'
import { checkFence } from '../coordination/fences.ts'
import type { Lease } from '../coordination/locks.ts'
import type { ShardParts } from './shard-parts.ts'

/** A database that every server has and nobody drops. */
const database = 'template1'
const key = `hashtextextended('pgherd.shards', 0)`

export async function withServer<T>(server: ServerAddress, lease: Lease, parts: ShardParts, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = await adminClient(server, database, parts.login)
  try {
    await takeOver(client, server)
    await assertHeld(lease, parts)
    return await work(client)
  } finally {
    await client.end().catch(() => undefined)
  }
}

async function takeOver(client: pg.Client, { name }: ServerAddress): Promise<void> {
  const take = async () => (await client.query<{ mine: boolean }>(`SELECT pg_try_advisory_lock(${key}) AS mine`)).rows[0]?.mine === true
  if (await take()) return
  await client.query(
    `SELECT pg_terminate_backend(pid, ${limits.serverAnswerMsMax}) FROM pg_locks
     WHERE locktype = 'advisory' AND granted AND objsubid = 1 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
       AND ((classid::bigint << 32) | objid::bigint) = ${key}`,
  )
  if (!(await take())) throw new Error(`${name} is still at work for another router that changes shards`)
}

/** Throws `staleFence` when somebody else changes shards by now. */
export async function assertHeld(lease: Lease, { catalog, credentials }: ShardParts): Promise<void> {
  lease.lost.throwIfAborted()
  await withAdmin(catalog, clusterDatabase, credentials, (client) => checkFence(client, lease))
}
