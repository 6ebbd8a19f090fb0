/** A shard that is to be emptied gets no new tables or buckets; what it has is moved away by a rebalance. */
import { SqlError } from '../base/errors.ts'
import type { ShardParts } from './shard-parts.ts'
import { setState, shardNamed, withShardsLock } from './shard-record.ts'

/** May be repeated. */
export function drainShard(name: string, parts: ShardParts): Promise<void> {
  return withShardsLock(parts, async (lease) => {
    const shard = await shardNamed(name, parts)
    const others = parts.list.servers.some(({ shard: id, role, state }) => id !== shard.id && role === 'primary' && state === 'active')
    if (!others) throw new SqlError('55006', `"${shard.name}" is the only active shard`, { hint: 'Add another one first.' })
    await setState(shard, ['active', 'draining'], 'draining', lease, parts)
  })
}

/** It takes buckets again. */
export function undrainShard(name: string, parts: ShardParts): Promise<void> {
  return withShardsLock(parts, async (lease) => setState(await shardNamed(name, parts), ['draining', 'active'], 'active', lease, parts))
}
