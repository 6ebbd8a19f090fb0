import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { proposeOwners, proposeShard } from '../../src/catalog/ring.ts'

const name = fc.string({ minLength: 1, maxLength: 10 })
const buckets = fc.constantFrom(1, 2, 16, 32, 64, 100, 256)
const shards = fc.uniqueArray(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 12 })

function loads(owners: readonly number[]): Map<number, number> {
  const counts = new Map<number, number>()
  for (const owner of owners) counts.set(owner, (counts.get(owner) ?? 0) + 1)
  return counts
}

describe('the ring', () => {
  test('gives every bucket an owner, and no shard more than ceil(average x 1.05)', () => {
    fc.assert(
      fc.property(name, buckets, shards, (group, count, all) => {
        const owners = proposeOwners(group, count, all)
        expect(owners).toHaveLength(count)
        expect(owners.every((owner) => all.includes(owner))).toBe(true)
        expect(Math.max(...loads(owners).values())).toBeLessThanOrEqual(Math.ceil((count / all.length) * 1.05))
      }),
    )
  })

  test('is deterministic', () => {
    fc.assert(
      fc.property(name, buckets, shards, (group, count, all) => {
        expect(proposeOwners(group, count, [...all])).toEqual(proposeOwners(group, count, all))
      }),
    )
  })

  test('does not depend on the order in which the shards are named', () => {
    fc.assert(
      fc.property(name, buckets, shards, (group, count, all) => {
        expect(proposeOwners(group, count, all.toReversed())).toEqual(proposeOwners(group, count, all))
      }),
    )
  })

  test('adding the n-th shard moves about 1/n of the buckets, most of them to it', () => {
    for (const [before, count] of [[2, 256], [3, 256], [5, 512], [9, 1024]] as const) {
      const all = Array.from({ length: before }, (_, i) => i + 1)
      const added = before + 1
      let moved = 0
      let toNew = 0
      for (let group = 0; group < 20; group++) {
        const old = proposeOwners(`group${group}`, count, all)
        const next = proposeOwners(`group${group}`, count, [...all, added])
        const changed = next.filter((owner, bucket) => owner !== old[bucket])
        moved += changed.length
        toNew += changed.filter((owner) => owner === added).length
      }
      const share = moved / (20 * count)
      // The bounded load lets a few buckets move between old shards, whose limit has fallen.
      expect(share, `${added} shards`).toBeLessThan(2 / added)
      expect(share, `${added} shards`).toBeGreaterThan(0.5 / added)
      expect(toNew / moved, `${added} shards`).toBeGreaterThan(0.5)
    }
  })

  test('spreads whole tables over all shards, always the same way', () => {
    const all = [1, 2, 3, 4]
    const names = Array.from({ length: 400 }, (_, i) => `public.table${i}`)
    const placed = names.map((table) => proposeShard(table, all))
    expect(placed).toEqual(names.map((table) => proposeShard(table, all)))
    for (const shard of all) expect(loads(placed).get(shard) ?? 0).toBeGreaterThan(40)
  })
})
