/** The order of values in binary format, as PostgreSQL's own types have it. */
import type { MergeKey, OrderType } from '../planner/plan.ts'

/** Negative when `a` comes first, in ascending order; neither is NULL. */
export function compareValues(type: OrderType, a: Buffer, b: Buffer): number {
  switch (type) {
    case 'integer':
      return compareIntegers(a, b)
    case 'float':
      return compareFloats(readFloat(a), readFloat(b))
    case 'numeric':
      return compareNumerics(a, b)
    case 'bool':
    case 'bytes':
      return Buffer.compare(a, b)
  }
}

export function compareKeys(order: readonly MergeKey[], a: readonly (Buffer | undefined)[], b: readonly (Buffer | undefined)[]): number {
  for (const [i, key] of order.entries()) {
    const [one, other] = [a[i], b[i]]
    if (one === undefined || other === undefined) {
      if (one !== other) return (one === undefined) === key.nullsFirst ? -1 : 1
      continue
    }
    const result = compareValues(key.type, one, other)
    if (result !== 0) return key.descending ? -result : result
  }
  return 0
}

/** int2, int4, int8, date, time and timestamps: the first bytes decide, signed. */
function compareIntegers(a: Buffer, b: Buffer): number {
  const high = a.readInt8(0) - b.readInt8(0)
  return high !== 0 ? high : Buffer.compare(a, b)
}

const readFloat = (value: Buffer) => (value.length === 4 ? value.readFloatBE(0) : value.readDoubleBE(0))

/** NaN is equal to itself and larger than all else; -0 is 0. */
function compareFloats(a: number, b: number): number {
  if (Number.isNaN(a) || Number.isNaN(b)) return Number(Number.isNaN(a)) - Number(Number.isNaN(b))
  return a < b ? -1 : a > b ? 1 : 0
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
