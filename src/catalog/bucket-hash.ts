/**
 * The bucket of a key: PostgreSQL's own hash partitioning, computed here.
 *
 * hash_any_extended and hash_uint32_extended follow Bob Jenkins' lookup3 as in src/common/hashfn.c; the seed and the
 * combination are those of compute_partition_hash_value (partbounds.c). PostgreSQL checks every row that it stores
 * against the partition's bound, so a difference would be an error, not a misplaced row.
 */
import type { KeyType } from './snapshot.ts'

const seedHigh = 0x7a5b2236
const seedLow = 0x7996dcfd
const mask64 = (1n << 64n) - 1n

function rot(x: number, k: number): number {
  return (x << k) | (x >>> (32 - k))
}

let a = 0
let b = 0
let c = 0

function mix(): void {
  a = (a - c) | 0
  a ^= rot(c, 4)
  c = (c + b) | 0
  b = (b - a) | 0
  b ^= rot(a, 6)
  a = (a + c) | 0
  c = (c - b) | 0
  c ^= rot(b, 8)
  b = (b + a) | 0
  a = (a - c) | 0
  a ^= rot(c, 16)
  c = (c + b) | 0
  b = (b - a) | 0
  b ^= rot(a, 19)
  a = (a + c) | 0
  c = (c - b) | 0
  c ^= rot(b, 4)
  b = (b + a) | 0
}

function final(): void {
  c ^= b
  c = (c - rot(b, 14)) | 0
  a ^= c
  a = (a - rot(c, 11)) | 0
  b ^= a
  b = (b - rot(a, 25)) | 0
  c ^= b
  c = (c - rot(b, 16)) | 0
  a ^= c
  a = (a - rot(c, 4)) | 0
  b ^= a
  b = (b - rot(a, 14)) | 0
  c ^= b
  c = (c - rot(b, 24)) | 0
}

function start(length: number): void {
  a = b = c = (0x9e3779b9 + length + 3923095) | 0
  a = (a + seedHigh) | 0
  b = (b + seedLow) | 0
  mix()
}

/** The 64 bits are left in b (high) and c (low). */
function hashUint32(value: number): void {
  start(4)
  a = (a + value) | 0
  final()
}

function hashBytes(key: Buffer): void {
  let length = key.length
  let at = 0
  start(length)
  while (length >= 12) {
    a = (a + key.readInt32LE(at)) | 0
    b = (b + key.readInt32LE(at + 4)) | 0
    c = (c + key.readInt32LE(at + 8)) | 0
    mix()
    at += 12
    length -= 12
  }
  // The last bytes; the lowest byte of c is reserved for the length.
  for (let i = 0; i < length; i++) {
    const byte = key[at + i] as number
    if (i < 4) a = (a + (byte << (8 * i))) | 0
    else if (i < 8) b = (b + (byte << (8 * (i - 4)))) | 0
    else c = (c + (byte << (8 * (i - 7)))) | 0
  }
  final()
}

/** hash_combine64 with a running hash of zero, as for a table partitioned by one column. */
function combined(): bigint {
  const hash = (BigInt(b >>> 0) << 32n) | BigInt(c >>> 0)
  return (hash + 0x49a0f4dd15e5a8e3n) & mask64
}

/** The remainder by a power of two needs the low bits alone. */
function remainder(buckets: number): number {
  if ((buckets & (buckets - 1)) === 0) return ((c + 0x15e5a8e3) >>> 0) & (buckets - 1)
  return Number(combined() % BigInt(buckets))
}

const int8Least = -(1n << 63n)
const int8Most = (1n << 63n) - 1n

/** hashint8extended: equal to hashint4extended for what fits there. */
export function bucketOfInteger(value: bigint | number, buckets: number): number {
  if (typeof value === 'number' && value >= -0x80000000 && value <= 0x7fffffff) {
    hashUint32(value)
    return remainder(buckets)
  }
  const big = BigInt(value)
  const low = Number(BigInt.asIntN(32, big))
  const high = Number(BigInt.asIntN(32, big >> 32n))
  hashUint32(low ^ (big >= 0n ? high : ~high))
  return remainder(buckets)
}

export function bucketOfBytes(value: Buffer, buckets: number): number {
  hashBytes(value)
  return remainder(buckets)
}

/**
 * The bucket of a value in its text form, as PostgreSQL's input function would read it; undefined when this form is one
 * that only PostgreSQL should judge (out of range, unusual spelling).
 */
export function bucketOfText(type: KeyType, text: string, buckets: number): number | undefined {
  switch (type) {
    case 'int2':
    case 'int4':
    case 'int8': {
      // A value too large for the column's own type is hashed all the same: no row has it, or storing it is an error.
      if (!/^\s*[+-]?\d{1,19}\s*$/.test(text)) return undefined
      const number = Number(text)
      if (Number.isSafeInteger(number)) return bucketOfInteger(number, buckets)
      const big = BigInt(text.trim().replace(/^\+/, ''))
      return big < int8Least || big > int8Most ? undefined : bucketOfInteger(big, buckets)
    }
    case 'text':
    case 'varchar':
      return bucketOfBytes(Buffer.from(text), buckets)
    case 'uuid': {
      const hex = /^[0-9a-fA-F]{8}(-?[0-9a-fA-F]{4}){4}[0-9a-fA-F]{8}$/.test(text) ? text.replaceAll('-', '') : undefined
      return hex === undefined ? undefined : bucketOfBytes(Buffer.from(hex, 'hex'), buckets)
    }
  }
}

const textOids = new Set([25, 1043, 705])
const integerOids: Readonly<Record<number, number>> = { 21: 2, 23: 4, 20: 8 }

/** The bucket of a value in binary format, of the type that the client declared. */
export function bucketOfBinary(type: KeyType, typeOid: number, value: Buffer, buckets: number): number | undefined {
  if (textOids.has(typeOid)) return bucketOfText(type, value.toString(), buckets)
  switch (type) {
    case 'int2':
    case 'int4':
    case 'int8':
      if (integerOids[typeOid] !== value.length) return undefined
      return bucketOfInteger(value.length === 8 ? value.readBigInt64BE() : value.readIntBE(0, value.length), buckets)
    case 'text':
    case 'varchar':
      return bucketOfBytes(value, buckets)
    case 'uuid':
      return value.length === 16 ? bucketOfBytes(value, buckets) : undefined
  }
}

/** Rows whose key is NULL: PostgreSQL's hash of NULL adds nothing, so they are in bucket 0. */
export const bucketOfNull = 0
