/** A shard that has begun to join is given up: nothing of it stays, neither on its server nor here. */
import type pg from 'pg'
import { SqlError } from '../base/errors.ts'
import { quoteIdent, quoteLiteral } from '../base/quote.ts'
import type { ServerAddress } from '../catalog/server-address.ts'
import { withAdmin } from '../coordination/admin-client.ts'
import type { Lease } from '../coordination/locks.ts'
import { primariesOf } from '../catalog/snapshot.ts'
import { withServer } from './server-session.ts'
import type { ShardParts } from './shard-parts.ts'
import type { ShardRow } from './shard-record.ts'
import { clusterDatabases, setState } from './shard-record.ts'
import { systemIdOf } from './shard-server.ts'

export async function isMemberAnywhere(shard: number, parts: ShardParts): Promise<boolean> {
  for (const database of await clusterDatabases(parts)) {
    const { rowCount } = await withAdmin(parts.catalog, database, parts.credentials, (client) => client.query(`SELECT FROM pgherd.member WHERE shard_id = $1 AND state = 'in'`, [shard]))
    if (rowCount !== 0) return true
  }
  return false
}

/** Throws 55006 when a database has it already: then it has to leave, as any other shard. */
export async function giveUp(shard: ShardRow, lease: Lease, parts: ShardParts): Promise<void> {
  await parts.list.refresh()
  for (const database of await clusterDatabases(parts)) await forbid(shard, database, parts)
  // From here on nobody who was at work for the shard, and sleeps, lets it join.
  await clearServer(shard, lease, parts)
  await setState(shard, ['joining'], 'removed', lease, parts)
  parts.log.info(`${shard.name} has not joined: what had been made for it is gone`)
}

/** Whoever is just about to let it join this database commits first, or never. */
async function forbid({ id, name }: ShardRow, database: string, { catalog, credentials }: ShardParts): Promise<void> {
  await withAdmin(catalog, database, credentials, async (client) => {
    await client.query(`INSERT INTO pgherd.member (shard_id, state) VALUES ($1, 'gone') ON CONFLICT DO NOTHING`, [id])
    const { rows } = await client.query<{ state: string }>('SELECT state FROM pgherd.member WHERE shard_id = $1', [id])
    if (rows[0]?.state !== 'gone') throw new SqlError('55006', `shard "${name}" has joined database "${database}" already`)
  })
}

/** It was empty when it began to join. A server that is away, or another one by now, keeps what it has. */
async function clearServer(shard: ShardRow, lease: Lease, parts: ShardParts): Promise<void> {
  const { list, log } = parts
  const address = primariesOf(list.servers).find(({ id }) => id === shard.id)
  if (address === undefined) return
  const systemId = await systemIdOf(address, parts).catch(() => undefined)
  if (systemId !== shard.systemId) {
    log.warn(`${address.host}:${address.port} ${systemId === undefined ? 'does not answer' : 'is another server by now'}: what was made there for ${shard.name} is left`)
    return
  }
  await withServer(address, lease, parts, (client) => clear(client, address, parts))
}

async function clear(client: pg.Client, address: ServerAddress, { login, pool }: ShardParts): Promise<void> {
  const { rows: names } = await client.query<{ name: string }>('SELECT datname AS name FROM pg_database WHERE NOT datistemplate')
  for (const { name } of names) await pool.closeDatabase(name)
  for (const { name } of names) {
    await withAdmin(address, name, login, async (own) => {
      const { rows } = await own.query<{ gid: string }>('SELECT gid FROM pg_prepared_xacts WHERE database = current_database()')
      for (const { gid } of rows) await own.query(`ROLLBACK PREPARED ${quoteLiteral(gid)}`)
    })
  }
  for (const { name } of names) await client.query(`DROP DATABASE ${quoteIdent(name)} WITH (FORCE)`)
  await client.query('CREATE DATABASE postgres TEMPLATE template0')
  await client.query(`COMMENT ON DATABASE postgres IS 'default administrative connection database'`)
  const { rows: roles } = await client.query<{ name: string }>('SELECT rolname AS name FROM pg_roles WHERE oid >= 16384 AND rolname <> current_user')
  for (const { name } of roles) await client.query(`DROP ROLE ${quoteIdent(name)}`)
}
