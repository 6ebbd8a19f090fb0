/**
 * Indexes that are built concurrently: what no transaction can hold, under names of its own until one transaction makes an
 * index of it all.
 *
 * Before the first step it is written down (pgherd.index_change) which names are used, those that begin with
 * pgherd_c<number>_. The transaction that makes the index of them gives them another name or attaches them to it. What still
 * has such a name and is not attached is therefore of no index, and is dropped: by the builder when it is done, or by any
 * router that finds the row without its advisory lock.
 */
import type pg from 'pg'
import { limits } from '../base/limits.ts'
import { quoteLiteral } from '../base/quote.ts'
import { settleAll } from '../base/settle-all.ts'
import type { ServerAddress } from '../catalog/server-address.ts'
import { primariesOf } from '../catalog/snapshot.ts'
import { adminClient, withAdmin } from './admin-client.ts'
import { clusterDatabase } from './catalog-store.ts'
import type { DatabaseServers } from './database-changes.ts'
import { checkFence, fenced, isStaleFence } from './fences.ts'
import type { Lease } from './locks.ts'
import { readServers } from './members.ts'

/** `work` may make indexes whose names begin with the prefix that it is given. */
export async function asIndexChange<T>(database: string, servers: DatabaseServers, work: (prefix: string) => Promise<T>): Promise<T> {
  const client = await adminClient(servers.catalog, clusterDatabase, servers.credentials)
  try {
    const id = await note(client, database)
    try {
      return await work(prefixOf(id))
    } finally {
      await finish(client, id, database, servers).catch((error: Error) => servers.log.info(`index build ${id} is left to recovery: ${error.message}`))
    }
  } finally {
    await client.end().catch(() => undefined)
  }
}

/** Drops what builders that are gone have left, as one router's duty (duty.ts). What open transactions keep from being dropped is left for the next time. */
export async function recoverIndexChanges(servers: DatabaseServers, lease: Lease | undefined): Promise<void> {
  await withAdmin(servers.catalog, clusterDatabase, servers.credentials, async (client) => {
    const { rows } = await client.query<{ id: string; database: string }>('SELECT id, database FROM pgherd.index_change ORDER BY id')
    for (const { id, database } of rows) {
      const { rows: locks } = await client.query<{ mine: boolean }>(`SELECT pg_try_advisory_lock(${lockKey(id)}) AS mine`)
      if (locks[0]?.mine !== true) continue
      await finish(client, id, database, servers, lease).catch((error: Error) => {
        if (isStaleFence(error)) throw error
        servers.log.info(`index build ${id}: ${error.message}`)
      })
      await client.query(`SELECT pg_advisory_unlock(${lockKey(id)})`)
    }
  })
}

const prefixOf = (id: string) => `pgherd_c${id}_`

const lockKey = (id: string) => `hashtextextended(${quoteLiteral(`pgherd.index ${id}`)}, 0)`

/** Nobody sees the row before its lock is taken. */
async function note(client: pg.Client, database: string): Promise<string> {
  await client.query('BEGIN')
  const { rows } = await client.query<{ id: string }>('INSERT INTO pgherd.index_change (database) VALUES ($1) RETURNING id', [database])
  const id = rows[0]?.id ?? ''
  await client.query(`SELECT pg_advisory_lock(${lockKey(id)})`)
  await client.query('COMMIT')
  return id
}

async function finish(client: pg.Client, id: string, database: string, servers: DatabaseServers, lease?: Lease): Promise<void> {
  await checkFence(client, lease)
  const { rowCount } = await client.query('SELECT FROM pg_database WHERE datname = $1', [database])
  const shards = primariesOf(await readServers(client))
  if (rowCount !== 0) await settleAll([servers.catalog, ...shards].map((server) => dropRest(server, prefixOf(id), database, servers)))
  await fenced(client, lease, () => client.query('DELETE FROM pgherd.index_change WHERE id = $1', [id]))
}

async function dropRest(server: ServerAddress, prefix: string, database: string, { credentials }: DatabaseServers): Promise<void> {
  await withAdmin(server, database, credentials, async (client) => {
    // A server goes on building for a router that is gone.
    await client.query(
      `SELECT pg_terminate_backend(pid, ${limits.recoveryLockMsMax}) FROM pg_stat_activity
       WHERE datname = current_database() AND pid <> pg_backend_pid() AND state = 'active' AND query ~ ('^CREATE (UNIQUE )?INDEX CONCURRENTLY ' || $1)`,
      [prefix],
    )
    const { rows } = await client.query<{ name: string }>(
      `SELECT format('%I.%I', n.nspname, c.relname) AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
       WHERE c.relkind = 'i' AND starts_with(c.relname, $1) AND NOT EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = c.oid)`,
      [prefix],
    )
    // It waits for transactions that are open on the table; nobody should wait for them here.
    await client.query(`SET statement_timeout = ${limits.recoveryLockMsMax}`)
    for (const { name } of rows) await client.query(`DROP INDEX CONCURRENTLY IF EXISTS ${name}`)
  }).catch((error: Error & { code?: string }) => {
    if (error.code !== noSuchDatabase) throw error // a shard that joins does not have it yet, and nothing was built there
  })
}

const noSuchDatabase = '3D000'
