/** The order of values in binary format, as PostgreSQL's own types have it. */
import type { MergeKey, OrderType } from '../planner/plan.ts'

/** A value as it is compared: strings are bytes, one a character; a numeric stays as it came. */
export type SortValue = number | bigint | string | Buffer | undefined

/** The value at [start, end) of a row, in binary format. */
export function readSortValue(type: OrderType, row: Buffer, start: number, end: number): SortValue {
  switch (type) {
    case 'integer':
      return end - start === 8 ? row.readBigInt64BE(start) : row.readIntBE(start, end - start)
    case 'float':
      return end - start === 4 ? row.readFloatBE(start) : row.readDoubleBE(start)
    case 'bool':
      return row[start]
    case 'bytes':
      return row.toString('latin1', start, end)
    case 'numeric':
      return row.subarray(start, end)
  }
}

/** Negative when `a` comes first. */
export function compareKeys(order: readonly MergeKey[], a: readonly SortValue[], b: readonly SortValue[]): number {
  for (let i = 0; i < order.length; i++) {
    const key = order[i] as MergeKey
    const [one, other] = [a[i], b[i]]
    if (one === undefined || other === undefined) {
      if (one !== other) return (one === undefined) === key.nullsFirst ? -1 : 1
      continue
    }
    const result = compareValues(one, other)
    if (result !== 0) return key.descending ? -result : result
  }
  return 0
}

/** NaN is equal to itself and larger than all else; -0 is 0. */
function compareValues(a: NonNullable<SortValue>, b: NonNullable<SortValue>): number {
  if (typeof a === 'object' && typeof b === 'object') return compareNumerics(a, b)
  if (a < b) return -1
  if (a > b) return 1
  return a === b ? 0 : Number(Number.isNaN(a)) - Number(Number.isNaN(b))
}

const negative = 0x4000
/** The rank of a sign: -infinity, negative, zero, positive, infinity, NaN. */
const ranks: Readonly<Record<number, number>> = { 0xf000: -2, [negative]: -1, 0x0000: 1, 0xd000: 2, 0xc000: 3 }

/** numeric_send: the number of digits to base 10000, the weight of the first, the sign, the display scale, the digits. */
function compareNumerics(a: Buffer, b: Buffer): number {
  const rank = (value: Buffer) => (value.readUInt16BE(4) < 0x8000 && value.readUInt16BE(0) === 0 ? 0 : (ranks[value.readUInt16BE(4)] ?? 0))
  const [one, other] = [rank(a), rank(b)]
  if (one !== other) return one - other
  if (one === 0 || one > 1 || one < -1) return 0
  return one * compareMagnitudes(a, b)
}

function compareMagnitudes(a: Buffer, b: Buffer): number {
  const weight = a.readInt16BE(2) - b.readInt16BE(2)
  if (weight !== 0) return weight
  const [left, right] = [a.readUInt16BE(0), b.readUInt16BE(0)]
  for (let i = 0; i < Math.max(left, right); i++) {
    const difference = (i < left ? a.readUInt16BE(8 + 2 * i) : 0) - (i < right ? b.readUInt16BE(8 + 2 * i) : 0)
    if (difference !== 0) return difference
  }
  return 0
}
