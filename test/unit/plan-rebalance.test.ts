import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { planRebalance, type PlannedMove } from '../../src/catalog/plan-rebalance.ts'
import { proposeOwners } from '../../src/catalog/ring.ts'

const name = fc.string({ minLength: 1, maxLength: 10 })
const shards = fc.uniqueArray(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 12 })

/** Any layout, also one that nobody would make. */
const anyLayout = fc
  .record({ name, shards, gone: fc.uniqueArray(fc.integer({ min: 41, max: 45 }), { maxLength: 2 }), count: fc.integer({ min: 1, max: 100 }) })
  .chain(({ count, gone, ...rest }) =>
    fc.record({
      name: fc.constant(rest.name),
      shards: fc.constant(rest.shards),
      owners: fc.array(fc.constantFrom(...rest.shards, ...gone), { minLength: count, maxLength: count }),
      weights: fc.array(fc.integer({ min: 0, max: 1_000_000 }), { minLength: count, maxLength: count }),
    }),
  )

function after(owners: readonly number[], moves: readonly PlannedMove[]): number[] {
  const next = [...owners]
  for (const { bucket, target } of moves) next[bucket] = target
  return next
}

function loads(owners: readonly number[], weights: readonly number[], all: readonly number[]): number[] {
  return all.map((shard) => owners.reduce((sum, owner, bucket) => sum + (owner === shard ? (weights[bucket] ?? 0) : 0), 0))
}

const ones = (count: number) => Array.from({ length: count }, () => 1)

/** As the ring proposes, then rebalanced: the ring alone may leave a shard with too little. */
function balanced(group: string, count: number, all: readonly number[]): number[] {
  const owners = proposeOwners(group, count, all)
  return after(owners, planRebalance({ name: group, owners, weights: ones(count), shards: all }))
}

describe('the plan of a rebalance', () => {
  test('empties shards that are not to carry buckets, and names each bucket once, with its owner', () => {
    fc.assert(
      fc.property(anyLayout, (layout) => {
        const moves = planRebalance(layout)
        expect(new Set(moves.map(({ bucket }) => bucket)).size).toBe(moves.length)
        for (const { bucket, source, target, weight } of moves) {
          expect(source).toBe(layout.owners[bucket])
          expect(target).not.toBe(source)
          expect(weight).toBe(layout.weights[bucket])
        }
        expect(after(layout.owners, moves).every((owner) => layout.shards.includes(owner))).toBe(true)
      }),
    )
  })

  test('needs no second one', () => {
    fc.assert(
      fc.property(anyLayout, (layout) => {
        expect(planRebalance({ ...layout, owners: after(layout.owners, planRebalance(layout)) })).toEqual([])
      }),
    )
  })

  test('does not depend on the order in which the shards are named', () => {
    fc.assert(
      fc.property(anyLayout, (layout) => {
        expect(planRebalance({ ...layout, shards: layout.shards.toReversed() })).toEqual(planRebalance(layout))
      }),
    )
  })

  test('by buckets, no shard is further from the average than 5% or one bucket', () => {
    fc.assert(
      fc.property(anyLayout, (layout) => {
        const weights = ones(layout.owners.length)
        const reached = loads(after(layout.owners, planRebalance({ ...layout, weights })), weights, layout.shards)
        const average = weights.length / layout.shards.length
        for (const load of reached) expect(Math.abs(load - average)).toBeLessThan(Math.max(average * 0.05 + 1e-9, 1))
      }),
    )
  })

  test('no shard ends with more above the average than 5%, half a usual bucket, or what its smallest bucket could mend', () => {
    fc.assert(
      fc.property(anyLayout, (layout) => {
        const owners = after(layout.owners, planRebalance(layout))
        const reached = loads(owners, layout.weights, layout.shards)
        const total = layout.weights.reduce((sum, weight) => sum + weight, 0)
        const average = total / layout.shards.length
        const most = average + Math.max(average * 0.05, total / layout.owners.length / 2)
        const lightest = Math.min(...reached)
        layout.shards.forEach((shard, i) => {
          const load = reached[i] ?? 0
          const smallest = Math.min(...layout.weights.filter((weight, bucket) => weight > 0 && owners[bucket] === shard))
          expect(load <= most + 1e-6 || load - lightest <= smallest).toBe(true)
        })
      }),
    )
  })

  test('a new shard gets its share, and nothing else moves', () => {
    fc.assert(
      fc.property(name, fc.constantFrom(32, 64, 256), fc.integer({ min: 1, max: 12 }), (group, count, before) => {
        const old = Array.from({ length: before }, (_, i) => i + 1)
        const owners = balanced(group, count, old)
        const moves = planRebalance({ name: group, owners, weights: ones(count), shards: [...old, before + 1] })
        expect(moves.every(({ target }) => target === before + 1)).toBe(true)
        const share = count / (before + 1)
        expect(moves.length).toBeGreaterThanOrEqual(Math.floor(share * 0.95))
        expect(moves.length).toBeLessThanOrEqual(Math.ceil(share))
      }),
    )
  })

  test('a shard that is emptied gives its buckets away, and nothing else moves', () => {
    fc.assert(
      fc.property(name, fc.constantFrom(32, 64, 256), fc.integer({ min: 2, max: 12 }), (group, count, before) => {
        const old = Array.from({ length: before }, (_, i) => i + 1)
        const moves = planRebalance({ name: group, owners: balanced(group, count, old), weights: ones(count), shards: old.slice(0, -1) })
        expect(moves.every(({ source }) => source === before)).toBe(true)
      }),
    )
  })

  test('has no moves where no shard could take any', () => {
    expect(planRebalance({ name: 'x', owners: [1, 2], weights: [1, 1], shards: [] })).toEqual([])
  })
})
