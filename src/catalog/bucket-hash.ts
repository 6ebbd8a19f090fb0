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

/** hashbpcharextended: without the spaces that pad it. */
function bucketOfPadded(text: string, buckets: number): number {
  let end = text.length
  while (end > 0 && text[end - 1] === ' ') end--
  return bucketOfBytes(Buffer.from(text.slice(0, end)), buckets)
}

/** hash_numeric_extended: its digits to base 10,000 without zeros around them, and their weight; not the sign. */
function bucketOfNumeric(text: string, buckets: number): number | undefined {
  if (/^\s*(nan|[+-]?inf(inity)?)\s*$/i.test(text)) return bucketOfSpecial(buckets)
  const parts = /^\s*[+-]?(?:(\d+)\.?(\d*)|\.(\d+))\s*$/.exec(text)
  if (parts === null) return undefined
  const whole = parts[1] ?? ''
  const fraction = parts[2] ?? parts[3] ?? ''
  const aligned = whole.padStart(Math.ceil(whole.length / 4) * 4, '0') + fraction.padEnd(Math.ceil(fraction.length / 4) * 4, '0')
  const digits = Array.from({ length: aligned.length / 4 }, (_, i) => Number(aligned.slice(4 * i, 4 * i + 4)))
  return bucketOfDigits(digits, Math.ceil(whole.length / 4) - 1, buckets)
}

/** NaN and the infinities. */
function bucketOfSpecial(buckets: number): number {
  b = seedHigh
  c = seedLow
  return remainder(buckets)
}

function bucketOfDigits(digits: readonly number[], weight: number, buckets: number): number {
  const first = digits.findIndex((digit) => digit !== 0)
  if (first < 0) {
    b = seedHigh
    c = seedLow - 1
    return remainder(buckets)
  }
  const kept = digits.slice(first, digits.findLastIndex((digit) => digit !== 0) + 1)
  const bytes = Buffer.alloc(2 * kept.length)
  for (const [i, digit] of kept.entries()) bytes.writeInt16LE(digit, 2 * i)
  hashBytes(bytes)
  const power = weight - first
  c ^= power
  b ^= power >> 31
  return remainder(buckets)
}

/** numeric_send: how many digits, their weight, a sign (0 or 0x4000; else NaN or an infinity), a scale, the digits. */
function bucketOfNumericBinary(value: Buffer, buckets: number): number | undefined {
  if (value.length < 8 || value.length !== 8 + 2 * value.readUInt16BE(0)) return undefined
  if ((value.readUInt16BE(4) & 0xbfff) !== 0) return bucketOfSpecial(buckets)
  const digits = Array.from({ length: value.readUInt16BE(0) }, (_, i) => value.readInt16BE(8 + 2 * i))
  return bucketOfDigits(digits, value.readInt16BE(2), buckets)
}

/** byteain: hexadecimal behind \x, else bytes as characters, backslashes and octal numbers behind a backslash. */
function bucketOfByteaText(text: string, buckets: number): number | undefined {
  const hex = /^\\x((?:[0-9a-fA-F]{2})*)$/.exec(text)?.[1]
  if (hex !== undefined) return bucketOfBytes(Buffer.from(hex, 'hex'), buckets)
  if (!/^(?:[\x20-\x5b\x5d-\x7e]|\\\\|\\[0-3][0-7]{2})*$/.test(text)) return undefined
  const bytes = text.replace(/\\(\\|[0-3][0-7]{2})/g, (_, escaped: string) => (escaped === '\\' ? '\\' : String.fromCharCode(Number.parseInt(escaped, 8))))
  return bucketOfBytes(Buffer.from(bytes, 'latin1'), buckets)
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
    case 'bpchar':
      return bucketOfPadded(text, buckets)
    case 'numeric':
      return bucketOfNumeric(text, buckets)
    case 'bytea':
      return bucketOfByteaText(text, buckets)
    case 'uuid': {
      const hex = /^[0-9a-fA-F]{8}(-?[0-9a-fA-F]{4}){4}[0-9a-fA-F]{8}$/.test(text) ? text.replaceAll('-', '') : undefined
      return hex === undefined ? undefined : bucketOfBytes(Buffer.from(hex, 'hex'), buckets)
    }
  }
}

const numericOid = 1700
const byteaOid = 17
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
    case 'bpchar':
      return bucketOfPadded(value.toString(), buckets)
    case 'numeric':
      return typeOid === numericOid ? bucketOfNumericBinary(value, buckets) : undefined
    case 'bytea':
      return typeOid === byteaOid ? bucketOfBytes(value, buckets) : undefined
    case 'uuid':
      return value.length === 16 ? bucketOfBytes(value, buckets) : undefined
  }
}

/** Rows whose key is NULL: PostgreSQL's hash of NULL adds nothing, so they are in bucket 0. */
export const bucketOfNull = 0
