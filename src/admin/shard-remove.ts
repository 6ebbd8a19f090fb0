/**
 * Takes a shard out of the cluster, as safely as it came in: it leaves one database after the other, each in a transaction over all servers.
 *
 *   looked at -> leaving: each database -> removed
 *
 * Nothing of a user's may be on it but its copies of reference tables, which stay on the server. Whoever repeats the command goes on with it.
 */
import { SqlError } from '../base/errors.ts'
import type { Lease } from '../coordination/locks.ts'
import { giveUp, isMemberAnywhere } from './shard-leave.ts'
import { leaveDatabase, refuseUnlessEmpty } from './shard-leave-database.ts'
import type { ShardParts } from './shard-parts.ts'
import type { ShardRow } from './shard-record.ts'
import { clusterDatabases, setState, shardNamed, withShardsLock } from './shard-record.ts'

export function removeShard(name: string, parts: ShardParts): Promise<void> {
  return withShardsLock(parts, async (lease) => {
    const shard = await shardNamed(name, parts)
    if (shard.state === 'joining' && !(await isMemberAnywhere(shard.id, parts))) return giveUp(shard, lease, parts)
    await leave(shard, lease, parts)
  })
}

async function leave(shard: ShardRow, lease: Lease, parts: ShardParts): Promise<void> {
  await parts.list.refresh()
  const others = parts.list.servers.some(({ shard: id, role, state }) => id !== shard.id && role === 'primary' && state === 'active')
  if (!others) throw new SqlError('55006', `"${shard.name}" is the only active shard`, { hint: 'Add another one first.' })
  const databases = await clusterDatabases(parts)
  for (const database of databases) await refuseUnlessEmpty(shard, database, parts)
  // From here on nothing is moved to it, and no database is made on it.
  await setState(shard, ['active', 'draining', 'joining', 'leaving'], 'leaving', lease, parts)
  for (const database of databases) {
    lease.lost.throwIfAborted()
    await parts.onStep?.(`leave ${database}`)
    await leaveDatabase(database, shard, lease, parts)
  }
  await parts.onStep?.('removed')
  await setState(shard, ['leaving'], 'removed', lease, parts)
  parts.log.info(`${shard.name} was removed`)
}
