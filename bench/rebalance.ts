/**
 * What going from n to n+1 shards moves beside what it has to, and how even the shards are after it: pure planning, no server.
 *
 *   npm run bench:rebalance -- [--buckets 256]
 */
import { parseArgs } from 'node:util'
import { planRebalance } from '../src/catalog/plan-rebalance.ts'
import { proposeOwners } from '../src/catalog/ring.ts'

const groups = 20
const { values } = parseArgs({ options: { buckets: { type: 'string', default: '256' } } })
const buckets = Number(values.buckets)

/** Bytes that differ as those of real keys do: a few buckets have some times the usual. The same at every run. */
function bytesOf(group: number): number[] {
  let state = group + 1
  const chance = () => (state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0) / 2 ** 32
  return Array.from({ length: buckets }, () => Math.round(1_000_000 * (0.5 + chance() + (chance() < 0.05 ? 3 * chance() : 0))))
}

interface Measured {
  moved: number
  moves: number
  toOld: number
  uneven: number
}

function step(owners: Map<number, number[]>, shards: number, by: 'buckets' | 'bytes'): Measured {
  const all = Array.from({ length: shards }, (_, i) => i + 1)
  const measured: Measured = { moved: 0, moves: 0, toOld: 0, uneven: 0 }
  for (let group = 0; group < groups; group++) {
    const bytes = bytesOf(group)
    const weights = by === 'bytes' ? bytes : bytes.map(() => 1)
    const name = `group ${group}`
    const now = owners.get(group) ?? proposeOwners(name, buckets, all)
    const moves = planRebalance({ name, owners: now, weights, shards: all })
    const next = [...now]
    for (const { bucket, target } of moves) next[bucket] = target
    owners.set(group, next)
    const total = weights.reduce((sum, weight) => sum + weight, 0)
    const loads = all.map((shard) => next.reduce((sum, owner, bucket) => sum + (owner === shard ? (weights[bucket] ?? 0) : 0), 0))
    measured.moved += moves.reduce((sum, { weight }) => sum + weight, 0) / total / groups
    measured.moves += moves.length
    measured.toOld += moves.filter(({ target }) => target !== shards).length
    measured.uneven = Math.max(measured.uneven, (Math.max(...loads) * shards) / total)
  }
  return measured
}

const shown = new Set([1, 2, 3, 4, 6, 8, 12, 16, 24, 31])
console.log(`${groups} groups of ${buckets} buckets, one shard added at a time\n`)
console.log('| from n shards to n+1 | ideal | moved, by buckets | largest/mean | moved, by bytes | largest/mean |\n|--:|--:|--:|--:|--:|--:|')
const [byBuckets, byBytes] = [new Map<number, number[]>(), new Map<number, number[]>()]
step(byBuckets, 1, 'buckets')
step(byBytes, 1, 'bytes')
let [all, toOld] = [0, 0]
for (let n = 1; n < 32; n++) {
  const [counted, bytes] = [step(byBuckets, n + 1, 'buckets'), step(byBytes, n + 1, 'bytes')]
  all += counted.moves + bytes.moves
  toOld += counted.toOld + bytes.toOld
  const percent = (share: number) => `${(share * 100).toFixed(1)} %`
  if (shown.has(n)) console.log(`| ${n} | ${percent(1 / (n + 1))} | ${percent(counted.moved)} | ${counted.uneven.toFixed(2)} | ${percent(bytes.moved)} | ${bytes.uneven.toFixed(2)} |`)
}
console.log(`\nmoves that did not go to the new shard: ${toOld} of ${all}`)
