/**
 * Which buckets of a table group should move, so that the shards carry about the same.
 *
 * A bucket stays where it is unless its shard is to be emptied, or carries too much beside one that carries too little. Which
 * of a shard's buckets leave, and where those of an emptied shard go, the ring says: so a shard that comes back gets
 * about what it had. Shards are balanced when none is further from the average than 5% of it or half of a usual bucket, or no
 * single bucket would bring them closer. Every move brings two loads closer, so planning ends, and what it has planned needs no more moves.
 */
import { ringOrder } from './ring.ts'

const slack = { ofAverage: 0.05, ofBucket: 0.5 } as const

export interface RebalanceInput {
  /** As it was given to proposeOwners: it makes groups differ from each other. */
  readonly name: string
  /** The shard of each bucket. */
  readonly owners: readonly number[]
  /** What each bucket weighs: 1, or its bytes. */
  readonly weights: readonly number[]
  /** The shards that shall carry buckets. All others are emptied. */
  readonly shards: readonly number[]
}

export interface PlannedMove {
  readonly bucket: number
  readonly source: number
  readonly target: number
  readonly weight: number
}

/** The moves, by bucket; none when there is no shard that could take any. */
export function planRebalance(input: RebalanceInput): PlannedMove[] {
  if (input.shards.length === 0 || input.owners.length === 0) return []
  const layout = new Layout(input)
  layout.houseTheHomeless()
  while (layout.moveOne());
  return input.owners.flatMap((source, bucket) => {
    const target = layout.owners[bucket] ?? source
    return target === source ? [] : [{ bucket, source, target, weight: input.weights[bucket] ?? 0 }]
  })
}

class Layout {
  readonly owners: number[]
  private readonly weights: readonly number[]
  private readonly loads: Map<number, number>
  private readonly average: number
  private readonly slack: number
  private readonly orders: readonly (readonly number[])[]

  constructor({ name, owners, weights, shards }: RebalanceInput) {
    this.owners = [...owners]
    this.weights = weights
    this.loads = new Map(shards.toSorted((a, b) => a - b).map((shard) => [shard, 0]))
    owners.forEach((owner, bucket) => this.add(owner, this.weight(bucket)))
    const total = weights.reduce((sum, weight) => sum + weight, 0)
    this.average = total / shards.length
    this.slack = Math.max(this.average * slack.ofAverage, (total / owners.length) * slack.ofBucket)
    const orderOf = ringOrder(name, shards)
    this.orders = owners.map((_, bucket) => orderOf(bucket))
  }

  /** Buckets of shards that are to be emptied go to the first on the ring that stays within the average, the heavy ones first. */
  houseTheHomeless(): void {
    const homeless = this.owners.flatMap((owner, bucket) => (this.loads.has(owner) ? [] : [bucket]))
    for (const bucket of homeless.toSorted((a, b) => this.weight(b) - this.weight(a) || a - b)) {
      const weight = this.weight(bucket)
      const withRoom = this.orders[bucket]?.find((shard) => this.load(shard) + weight <= this.average)
      this.put(bucket, withRoom ?? this.lightest())
    }
  }

  /** One bucket goes to the lightest shard. False when all is well or nothing would make it better. */
  moveOne(): boolean {
    const target = this.lightest()
    const sources = [...this.loads.keys()].filter((shard) => this.load(shard) > this.average).toSorted((a, b) => this.load(b) - this.load(a) || a - b)
    const [heaviest] = sources
    if (heaviest === undefined) return false
    if (this.load(heaviest) <= this.average + this.slack && this.load(target) >= this.average - this.slack) return false
    for (const source of sources) {
      const bucket = this.bestToMove(source, target)
      if (bucket === undefined) continue
      this.put(bucket, target)
      return true
    }
    return false
  }

  /** Of those that leave both sides of the average where they are the ring's choice, else the smallest that still helps. */
  private bestToMove(source: number, target: number): number | undefined {
    const gap = this.load(source) - this.load(target)
    const wanted = Math.min(this.load(source) - this.average, this.average - this.load(target))
    const helping = this.owners.flatMap((owner, bucket) => (owner === source && this.weight(bucket) > 0 && this.weight(bucket) < gap ? [bucket] : []))
    const rank = (bucket: number) => this.orders[bucket]?.indexOf(target) ?? 0
    const fitting = helping.filter((bucket) => this.weight(bucket) <= wanted)
    if (fitting.length > 0) return fitting.toSorted((a, b) => rank(a) - rank(b) || this.weight(b) - this.weight(a) || a - b)[0]
    return helping.toSorted((a, b) => this.weight(a) - this.weight(b) || rank(a) - rank(b) || a - b)[0]
  }

  private put(bucket: number, target: number): void {
    this.add(this.owners[bucket] ?? target, -this.weight(bucket))
    this.add(target, this.weight(bucket))
    this.owners[bucket] = target
  }

  private add(shard: number, weight: number): void {
    const load = this.loads.get(shard)
    if (load !== undefined) this.loads.set(shard, load + weight)
  }

  private lightest(): number {
    return [...this.loads.keys()].reduce((best, shard) => (this.load(shard) < this.load(best) ? shard : best))
  }

  private load(shard: number): number {
    return this.loads.get(shard) ?? 0
  }

  private weight(bucket: number): number {
    return this.weights[bucket] ?? 0
  }
}
