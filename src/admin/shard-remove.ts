/** Takes a shard out of the cluster. */
import { refuse } from '../base/errors.ts'
import { giveUp } from './shard-leave.ts'
import type { ShardParts } from './shard-parts.ts'
import { shardNamed, withShardsLock } from './shard-record.ts'

/** Of one that is joining nothing stays. */
export function removeShard(name: string, parts: ShardParts): Promise<void> {
  return withShardsLock(parts, async (lease) => {
    const shard = await shardNamed(name, parts)
    if (shard.state === 'joining') return giveUp(shard, lease, parts)
    throw refuse(`"${shard.name}" has joined: shards that have cannot be removed yet`)
  })
}
