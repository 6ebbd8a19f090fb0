/**
 * Which shard a bucket should be on: a consistent-hash ring with bounded load.
 *
 * A shard takes at most ceil(average x 1.05) buckets of a group; past that the next shard on the ring is asked (Mirrokni,
 * Thorup, Zadimoghaddam: "Consistent Hashing with Bounded Loads"). The ring only proposes: the catalog holds what is.
 */
import ConsistentHash from 'consistent-hash'

const range = 1_000_003
const pointsPerShard = 100
const loadFactor = 1.05

/** The shard of each bucket. `name` makes groups differ from each other. */
export function proposeOwners(name: string, buckets: number, shards: readonly number[]): number[] {
  const orderOf = ringOrder(name, shards)
  const most = Math.ceil((buckets / shards.length) * loadFactor)
  const load = new Map<number, number>()
  return Array.from({ length: buckets }, (_, bucket) => {
    const owner = orderOf(bucket).find((shard) => (load.get(shard) ?? 0) < most) ?? (shards[0] as number)
    load.set(owner, (load.get(owner) ?? 0) + 1)
    return owner
  })
}

/** For a bucket all shards, in the order in which the ring asks them. */
export function ringOrder(name: string, shards: readonly number[]): (bucket: number) => number[] {
  const ring = ringOf(shards)
  return (bucket) => ring.get(`${name}:${hash(`${name}/${bucket}`)}`, shards.length).map(Number)
}

/** The shard of a table that is whole on one. */
export function proposeShard(name: string, shards: readonly number[]): number {
  return Number(ringOf(shards).get(`${name}:${hash(name)}`, 1)[0])
}

/** The package's own control points are random; these follow from the shard's number alone. */
function ringOf(shards: readonly number[]): ConsistentHash {
  const ring = new ConsistentHash({ range })
  // In order: of two shards with the same point the later has it.
  for (const shard of [...shards].sort((a, b) => a - b)) {
    const points = Array.from({ length: pointsPerShard }, (_, i) => hash(`shard ${shard} point ${i}`) % range)
    ring.add(String(shard), pointsPerShard, points)
  }
  return ring
}

/** FNV-1a, 32 bits, with a final mix so that neighbours part. */
function hash(text: string): number {
  let h = 0x811c9dc5
  for (const byte of Buffer.from(text)) h = Math.imul(h ^ byte, 0x01000193)
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  return (h ^ (h >>> 13)) >>> 0
}
