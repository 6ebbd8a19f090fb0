/** Our hash of a key is PostgreSQL's own: satisfies_hash_partition must agree for every value. */
import { randomBytes, randomUUID } from 'node:crypto'
import fc from 'fast-check'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { bucketOfBinary, bucketOfText } from '../../src/catalog/bucket-hash.ts'
import type { KeyType } from '../../src/catalog/snapshot.ts'
import { createDatabase } from '../support/databases.ts'

const integer = (bits: bigint) => {
  const most = (1n << (bits - 1n)) - 1n
  const edges = [0n, 1n, -1n, most, -most - 1n].map(String)
  return fc.oneof(fc.constantFrom(...edges), fc.bigInt({ min: -most - 1n, max: most }).map(String), fc.integer({ min: -20000, max: 20000 }).map(String))
}
// A NUL cannot be stored, and a lone surrogate is no text.
const text = fc.string({ unit: 'binary', maxLength: 60 }).map((value) => value.replaceAll('\0', ''))
const uuid = fc.oneof(
  fc.constant(0).map(() => randomUUID()),
  fc.uuid(),
  fc.uuid().map((value) => value.toUpperCase()),
  fc.constant(0).map(() => randomBytes(16).toString('hex')),
)
const digits = fc.oneof(
  fc.array(fc.integer({ min: 0, max: 9 }), { minLength: 1, maxLength: 40 }).map((list) => list.join('')),
  fc.constantFrom('0', '00', '1', '10000', '9999', '100000000', '0001', '00000000'),
)
const numeric = fc.oneof({ weight: 20, arbitrary: fc.tuple(fc.constantFrom('', '-', '+'), digits, fc.option(digits)).map(([sign, whole, fraction]) => `${sign}${whole}${fraction === null ? '' : `.${fraction}`}`) }, fc.constantFrom('NaN', 'Infinity', '-Infinity', ' inf '))
const values: Readonly<Record<KeyType, fc.Arbitrary<string>>> = {
  int2: integer(16n).map((value) => (Math.abs(Number(value)) > 32767 ? '-32768' : value)),
  int4: integer(32n),
  int8: fc.oneof(integer(64n), integer(32n)),
  text,
  varchar: text,
  bpchar: fc.tuple(text, fc.constantFrom('', ' ', '   ')).map((parts) => parts.join('')),
  uuid,
  numeric,
  bytea: fc.oneof(
    fc.uint8Array({ maxLength: 40 }).map((bytes) => `\\x${Buffer.from(bytes).toString('hex')}`),
    fc.array(fc.constantFrom('a', ' ', '~', '\\\\', '\\000', '\\377', '\\001'), { maxLength: 20 }).map((parts) => parts.join('')),
  ),
}
const valuesPerType = 4000

let client: pg.Client

beforeAll(async () => {
  const port = inject('plainPort')
  client = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', database: await createDatabase(port, 'hash') })
  await client.connect()
})

afterAll(async () => {
  await client.end()
})

async function disagreements(type: KeyType, modulus: number, sample: readonly string[]): Promise<string[]> {
  const buckets = sample.map((value) => bucketOfText(type, value, modulus))
  expect(buckets).not.toContain(undefined)
  const result = await client.query<{ value: string }>(
    `SELECT value FROM unnest($1::text[], $2::int[]) AS t(value, bucket)
     WHERE NOT satisfies_hash_partition('by_${type}'::regclass, ${modulus}, bucket, value::${type})`,
    [sample, buckets],
  )
  return result.rows.map((row) => row.value)
}

describe('bucketOfText agrees with PostgreSQL', () => {
  for (const type of Object.keys(values) as KeyType[]) {
    test(type, async () => {
      await client.query(`CREATE TABLE by_${type} (k ${type}) PARTITION BY HASH (k)`)
      const sample = fc.sample(values[type], valuesPerType)
      for (const modulus of [32, 1, 64, 7, 100, 32767]) expect(await disagreements(type, modulus, sample), `modulus ${modulus}`).toEqual([])
    })
  }

  test('values in binary are in the bucket of their text', async () => {
    for (const [type, oid, send] of [['numeric', 1700, 'numeric_send'], ['bytea', 17, 'byteasend'], ['bpchar', 1042, 'bpcharsend']] as const) {
      const sample = fc.sample(values[type], 500)
      const { rows } = await client.query<{ binary: Buffer }>(`SELECT ${send}(v::${type}) AS binary FROM unnest($1::text[]) WITH ORDINALITY u (v, n) ORDER BY n`, [sample])
      expect(rows.map((row) => bucketOfBinary(type, oid, row.binary, 32))).toEqual(sample.map((value) => bucketOfText(type, value, 32)))
    }
  })

  test('leaves to PostgreSQL what it does not read itself', () => {
    for (const value of ['', 'x', '1.5', '0x10', '1_000', '99999999999999999999']) expect(bucketOfText('int8', value, 32)).toBeUndefined()
    for (const value of ['', 'x', '1e3', '1_0.5', '.']) expect(bucketOfText('numeric', value, 32)).toBeUndefined()
    for (const value of ['\\x0', '\\', '\\1', 'é']) expect(bucketOfText('bytea', value, 32)).toBeUndefined()
    for (const value of ['', '{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}', 'a0ee-bc99-9c0b-4ef8-bb6d-6bb9-bd38-0a11']) {
      expect(bucketOfText('uuid', value, 32)).toBeUndefined()
    }
  })
})
