/** Numbers that only look random: the same seed gives the same ones. */
export interface Random {
  /** A whole number of at least 0 and less than `limit`. */
  below(limit: number): number
  pick<T>(from: readonly T[]): T
  bytes(count: number): Buffer
  /** True in so many of a hundred cases. */
  chance(percent: number): boolean
  /** From `least` to `most` of the list, none twice, in the list's order. */
  some<T>(from: readonly T[], least: number, most: number): T[]
}

/** mulberry32: one multiplication a number, and good enough to spread mutations. */
export function seeded(seed: number): Random {
  let state = seed | 0
  const next = () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  const below = (limit: number) => Math.floor(next() * limit)
  return {
    below,
    pick: <T>(from: readonly T[]) => from[below(from.length)] as T,
    bytes: (count) => Buffer.from(Array.from({ length: count }, () => below(256))),
    chance: (percent) => below(100) < percent,
    some: <T>(from: readonly T[], least: number, most: number) => {
      let wanted = Math.min(from.length, least + below(most - least + 1))
      let left = from.length
      return from.filter(() => below(left--) < wanted && wanted-- > 0)
    },
  }
}
