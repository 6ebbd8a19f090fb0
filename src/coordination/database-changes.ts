/**
 * CREATE and DROP DATABASE over all servers, so that a crash at any point ends in all or nothing.
 *
 * No transaction can hold them. What is about to be done is written down first (pgherd.database_change), and one step decides:
 * a new database is there once the catalog's has pgherd's tables, an old one is gone once the catalog's is. What was left
 * before that step is undone, and after it finished, by any router that finds it without its advisory lock. On which shards a change is made
 * is read with the note of it: none joins or leaves as long as there are notes, and no note is made while one does.
 *
 * Recovery looks for such as one router's duty (duty.ts), and what it does about one is fenced: before a database is dropped the
 * catalog says that its locks are still this router's, and the note of the change goes in a transaction that an old fence ends.
 */
import type pg from 'pg'
import { SqlError } from '../base/errors.ts'
import { quoteIdent, quoteLiteral } from '../base/quote.ts'
import { settleAll } from '../base/settle-all.ts'
import type { Credentials, ServerAddress } from '../catalog/server-address.ts'
import { primariesOf } from '../catalog/snapshot.ts'
import type { Logger } from '../observability/logger.ts'
import { adminClient, withAdmin } from './admin-client.ts'
import { clusterDatabase } from './catalog-store.ts'
import { checkFence, fenced, isStaleFence } from './fences.ts'
import type { Lease } from './locks.ts'
import { readServers, refuseWhileShardsChange } from './members.ts'
import { prepareDatabase } from './prepare-database.ts'

export interface DatabaseServers {
  readonly catalog: ServerAddress
  readonly credentials: Credentials
  /** Begins the names of this cluster's prepared transactions. */
  readonly preparedPrefix: string
  readonly log: Logger
}

type Kind = 'create' | 'drop'

/** `statement` runs on every server, as the role of the session that sent it. */
export async function createDatabase(name: string, statement: (server: ServerAddress) => Promise<unknown>, servers: DatabaseServers): Promise<void> {
  const { catalog, credentials } = servers
  await asChange(name, servers, async (client) => {
    // PostgreSQL judges the statement; a database of that name on any server is somebody's.
    if (await exists(catalog, name, credentials)) {
      await statement(catalog)
      return
    }
    await refuseWhileShardsChange(client, 'to create a database', ['joining', 'leaving'])
    const shards = await shardsOf(client)
    const taken = await settleAll(shards.map((shard) => exists(shard, name, credentials)))
    const at = shards[taken.indexOf(true)]
    if (at !== undefined) throw new SqlError('42P04', `database "${name}" already exists on ${at.name}`)
    await note(client, name, 'create', shards)
    try {
      for (const server of [catalog, ...shards]) await statement(server)
      await prepareDatabase(catalog, shards, name, credentials)
    } catch (error) {
      await finish(client, name, 'create', servers)
      throw error
    }
    await forget(client, name)
  })
}

/** `statement` runs on the catalog. The database must be there. */
export async function dropDatabase(name: string, statement: () => Promise<unknown>, servers: DatabaseServers): Promise<void> {
  await asChange(name, servers, async (client) => {
    await note(client, name, 'drop')
    try {
      await statement()
    } catch (error) {
      await finish(client, name, 'drop', servers)
      throw error
    }
    // From here on it is gone. What fails is left to recovery.
    await finish(client, name, 'drop', servers).catch((error: Error) => servers.log.warn(`dropping ${name} is left to recovery: ${error.message}`))
  })
}

/** Finishes what routers that died have left. Throws when the lease is another's by now; right without one by the advisory locks. */
export async function recoverDatabases(servers: DatabaseServers, lease: Lease | undefined): Promise<void> {
  await withAdmin(servers.catalog, clusterDatabase, servers.credentials, async (client) => {
    const { rows } = await client.query<{ name: string }>('SELECT name FROM pgherd.database_change')
    for (const { name } of rows) {
      const { rows: locks } = await client.query<{ mine: boolean }>(`SELECT pg_try_advisory_lock(${lockKey(name)}) AS mine`)
      if (locks[0]?.mine !== true) continue
      await finishNoted(client, name, servers, lease).catch((error: Error) => {
        if (isStaleFence(error)) throw error
        servers.log.warn(`database ${name}: ${error.message}`)
      })
      await client.query(`SELECT pg_advisory_unlock(${lockKey(name)})`)
    }
  })
}

/** Alone with this name; what was left of it before comes first. */
async function asChange(name: string, servers: DatabaseServers, work: (client: pg.Client) => Promise<unknown>): Promise<void> {
  const client = await adminClient(servers.catalog, clusterDatabase, servers.credentials)
  try {
    await client.query(`SELECT pg_advisory_lock(${lockKey(name)})`)
    await finishNoted(client, name, servers, undefined)
    await work(client)
  } finally {
    await client.end().catch(() => undefined)
  }
}

const lockKey = (name: string) => `hashtextextended(${quoteLiteral(`pgherd.database ${name}`)}, 0)`

/** `checked` are the shards that do not have such a database: what is undone is dropped on all that there are by then. */
async function note(client: pg.Client, name: string, kind: Kind, checked?: readonly ServerAddress[]): Promise<void> {
  await client.query('BEGIN')
  try {
    await client.query('SELECT FROM pgherd.cluster FOR SHARE')
    await refuseWhileShardsChange(client, `to ${kind} a database`, ['joining', 'leaving'])
    if (checked !== undefined && JSON.stringify(await shardsOf(client)) !== JSON.stringify(checked)) throw new SqlError('40001', 'a shard has joined or left the cluster meanwhile', { hint: 'Try again.' })
    await client.query('INSERT INTO pgherd.database_change (name, kind) VALUES ($1, $2)', [name, kind])
    await client.query('COMMIT')
  } catch (error) {
    await client.query('ROLLBACK')
    throw error
  }
}

const shardsOf = async (client: pg.Client) => primariesOf(await readServers(client))

async function forget(client: pg.Client, name: string): Promise<void> {
  await client.query('DELETE FROM pgherd.database_change WHERE name = $1', [name])
}

async function finishNoted(client: pg.Client, name: string, servers: DatabaseServers, lease: Lease | undefined): Promise<void> {
  const { rows } = await client.query<{ kind: Kind }>('SELECT kind FROM pgherd.database_change WHERE name = $1', [name])
  if (rows[0] !== undefined) await finish(client, name, rows[0].kind, servers, lease)
}

/** Undoes it or finishes it, whichever the step that decides says. */
async function finish(client: pg.Client, name: string, kind: Kind, servers: DatabaseServers, lease?: Lease): Promise<void> {
  const { catalog, credentials, log } = servers
  const shards = await shardsOf(client)
  const stays = kind === 'create' ? await isPrepared(catalog, name, credentials) : await exists(catalog, name, credentials)
  if (!stays) {
    // The catalog's last when it is undone: while it is there, nobody else takes the name.
    await checkFence(client, lease)
    await settleAll(shards.map((shard) => dropOn(shard, name, servers)))
    await checkFence(client, lease)
    await dropOn(catalog, name, servers)
    log.info(`database ${name}: ${kind === 'create' ? 'undone' : 'dropped'} on all servers`)
  }
  await fenced(client, lease, () => forget(client, name))
}

async function exists(server: ServerAddress, name: string, credentials: Credentials): Promise<boolean> {
  const { rowCount } = await withAdmin(server, 'postgres', credentials, (client) => client.query('SELECT FROM pg_database WHERE datname = $1', [name]))
  return rowCount !== 0
}

async function isPrepared(catalog: ServerAddress, name: string, credentials: Credentials): Promise<boolean> {
  if (!(await exists(catalog, name, credentials))) return false
  const { rows } = await withAdmin(catalog, name, credentials, (client) => client.query<{ there: boolean }>(`SELECT to_regclass('pgherd.schema_version') IS NOT NULL AS there`))
  return rows[0]?.there === true
}

/** Transactions that were prepared in it can have no decision any more that matters. */
async function dropOn(server: ServerAddress, name: string, { credentials, preparedPrefix }: DatabaseServers): Promise<void> {
  if (!(await exists(server, name, credentials))) return
  await withAdmin(server, name, credentials, async (client) => {
    const { rows } = await client.query<{ gid: string }>('SELECT gid FROM pg_prepared_xacts WHERE database = current_database() AND starts_with(gid, $1)', [preparedPrefix])
    for (const { gid } of rows) await client.query(`ROLLBACK PREPARED ${quoteLiteral(gid)}`)
  })
  await withAdmin(server, 'postgres', credentials, (client) => client.query(`DROP DATABASE IF EXISTS ${quoteIdent(name)} WITH (FORCE)`))
}
