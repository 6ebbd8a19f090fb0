/**
 * Lets a running, empty server join the cluster.
 *
 *   looked at -> joining: roles, databases, then each database joins -> active
 *
 * What begins is written down first. Whoever repeats the command goes on with it; where it fails before the first database has joined,
 * all that was made is taken away again (shard-leave.ts).
 */
import type pg from 'pg'
import { refuse, SqlError } from '../base/errors.ts'
import type { ServerAddress } from '../catalog/server-address.ts'
import type { Lease } from '../coordination/locks.ts'
import { withServer } from './server-session.ts'
import { copyDatabaseSettings, makeDatabase } from './shard-databases.ts'
import { joinDatabase } from './shard-join.ts'
import { giveUp, isMemberAnywhere } from './shard-leave.ts'
import type { ShardParts } from './shard-parts.ts'
import type { HostPort, ShardRow } from './shard-record.ts'
import { beginJoining, clusterDatabases, setState, shardAt, withShardsLock } from './shard-record.ts'
import { awaitRoleChanges, copyRoles } from './shard-roles.ts'
import { checkNewServers, systemIdOf } from './shard-server.ts'

/** Gives the shard's number and name. Its replicas follow the primary already. */
export function addShard(servers: readonly [HostPort, ...HostPort[]], parts: ShardParts): Promise<ShardRow> {
  return withShardsLock(parts, async (lease) => {
    const [primary] = servers
    const known = await shardAt(primary, parts)
    if (known !== undefined && known.state !== 'joining') throw new SqlError('42710', `${primary.host}:${primary.port} is a server of ${known.name} already`)
    const shard = known ?? (await beginJoining(servers, await checkNewServers(servers, parts), lease, parts))
    const address: ServerAddress = { id: shard.id, name: shard.name, ...primary }
    if (shard.systemId !== (await systemIdOf(address, parts))) throw new SqlError('55000', `${primary.host}:${primary.port} is another server than the one that began to join`, { hint: `SELECT pgherd.remove_shard('${shard.name}') gives that up.` })
    try {
      await parts.list.refresh()
      await withServer(address, lease, parts, (server) => join(shard, address, server, lease, parts))
    } catch (error) {
      await takeBack(shard, lease, parts)
      throw error
    }
    parts.log.info(`${shard.name} has joined: ${primary.host}:${primary.port}`)
    return shard
  })
}

/** Starts a server with its replicas and lets it join. Throws 0A000 where this router has no servers of its own. */
export async function addNewShard(parts: ShardParts): Promise<ShardRow> {
  if (parts.newServers === undefined) throw refuse('this router cannot start servers', 'Name one that runs and is empty: SELECT pgherd.add_shard(host, port).')
  const { servers, discard } = await parts.newServers()
  try {
    return await addShard(servers, parts)
  } catch (error) {
    const shard = await shardAt(servers[0], parts)
    if (shard === undefined) await discard()
    throw error
  }
}

async function join(shard: ShardRow, address: ServerAddress, server: pg.Client, lease: Lease, parts: ShardParts): Promise<void> {
  // As long as it joins nobody makes or drops a database, or changes a role: what is read now stays.
  await awaitRoleChanges(parts)
  await parts.onStep?.('roles')
  await copyRoles(server, parts)
  const databases = await clusterDatabases(parts)
  for (const database of databases) {
    lease.lost.throwIfAborted()
    await parts.store.get(database) // one of an earlier pgherd is brought up to date
    await parts.onStep?.(`database ${database}`)
    await makeDatabase(database, server, address, parts)
  }
  for (const database of databases) await joinDatabase(database, shard.id, lease, parts)
  for (const database of databases) await copyDatabaseSettings(database, server, parts)
  await parts.onStep?.('active')
  await setState(shard, ['joining'], 'active', lease, parts)
}

/** Where a database has it already it stays, and the command that is repeated goes on. */
async function takeBack(shard: ShardRow, lease: Lease, parts: ShardParts): Promise<void> {
  try {
    if (!(await isMemberAnywhere(shard.id, parts))) await giveUp(shard, lease, parts)
  } catch (error) {
    parts.log.warn(`${shard.name} is still joining: add it again, or remove it (${(error as Error).message})`)
  }
}
