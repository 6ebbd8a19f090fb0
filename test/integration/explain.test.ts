/** EXPLAIN of every kind of plan: ANALYZE does what the statement does, and says what each part took; JSON is what tools can read. */
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { createDatabase } from '../support/databases.ts'

let client: pg.Client

beforeAll(async () => {
  const port = inject('clusterPort')
  client = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', database: await createDatabase(port, 'explain') })
  await client.connect()
  await client.query('CREATE TABLE e (id int PRIMARY KEY, v text)')
  await client.query('CREATE TABLE whole (a int)')
  await client.query('CREATE TABLE ref (a int PRIMARY KEY)')
  await client.query("SELECT create_reference_table('ref')")
  await client.query("INSERT INTO e SELECT g, 'x' FROM generate_series(1, 100) g")
  await client.query('INSERT INTO whole VALUES (1), (2), (3)')
})

afterAll(() => client?.end())

async function lines(sql: string): Promise<string> {
  const { rows } = await client.query<{ 'QUERY PLAN': string }>(sql)
  return rows.map((row) => row['QUERY PLAN']).join('\n')
}

const count = async (what: string) => (await client.query<{ n: number }>(`SELECT count(*)::int AS n FROM ${what}`)).rows[0]?.n

describe('ANALYZE of a write does it', () => {
  test.each([
    { sql: "INSERT INTO e VALUES (1001, 'a'), (1002, 'b'), (1003, 'c'), (1004, 'd')", after: 'e WHERE id > 1000', n: 4 },
    { sql: "INSERT INTO e SELECT g, 'y' FROM generate_series(2001, 2020) g", after: 'e WHERE id > 2000', n: 20 },
    { sql: 'INSERT INTO ref VALUES (1), (2)', after: 'ref', n: 2 },
    { sql: "UPDATE e SET v = 'z' WHERE id IN (SELECT a FROM whole)", after: "e WHERE v = 'z'", n: 3 },
    { sql: 'DELETE FROM e WHERE id > 2010', after: 'e WHERE id > 2000', n: 10 },
    { sql: 'DELETE FROM e WHERE id = 2010', after: 'e WHERE id > 2000', n: 9 },
    { sql: 'INSERT INTO whole VALUES (4)', after: 'whole', n: 4 },
  ])('$sql', async ({ sql, after, n }) => {
    const plan = await lines(`EXPLAIN (ANALYZE) ${sql}`)
    expect(await count(after)).toBe(n)
    expect(plan).toMatch(/shard\d: rows=\d+ time=\d+ ms|actual/)
  })

  test('a rolled back one is undone', async () => {
    await client.query('BEGIN')
    await client.query("EXPLAIN ANALYZE INSERT INTO e SELECT g, 'n' FROM generate_series(5001, 5010) g")
    await client.query('ROLLBACK')
    expect(await count('e WHERE id > 5000')).toBe(0)
  })

  test('not in a read-only transaction', async () => {
    await client.query('BEGIN READ ONLY')
    await expect(client.query("EXPLAIN ANALYZE INSERT INTO e VALUES (6001, 'n')")).rejects.toMatchObject({ code: '25006' })
    await client.query('ROLLBACK')
  })

  test('ANALYZE off does nothing', async () => {
    await client.query("EXPLAIN (ANALYZE off) INSERT INTO e VALUES (7001, 'n')")
    await client.query("EXPLAIN (ANALYZE false, VERBOSE, COSTS off) DELETE FROM e")
    expect(await count('e WHERE id = 7001')).toBe(0)
    expect(await count('e')).toBeGreaterThan(100)
  })
})

describe('FORMAT JSON', () => {
  const queries = ['SELECT * FROM e WHERE id = 5', 'SELECT count(*) FROM e', 'SELECT v, count(*) FROM e GROUP BY v', 'SELECT * FROM e ORDER BY v LIMIT 3', 'SELECT * FROM e, whole WHERE v = a::text', "INSERT INTO e VALUES (8001, 'j'), (8002, 'j')"]
  test.each(queries.flatMap((sql) => [`EXPLAIN (FORMAT JSON) ${sql}`, `EXPLAIN (ANALYZE, BUFFERS, VERBOSE, FORMAT JSON) ${sql.replace('8001', '8003').replace('8002', '8004')}`]))('%s', async (sql) => {
    const { rows, fields } = await client.query<{ 'QUERY PLAN': { Plan: { 'Node Type': string; Plans?: { 'Node Type': string }[] } }[] }>(sql)
    expect(fields.map((field) => field.dataTypeID)).toEqual([114])
    expect(rows).toHaveLength(1)
    const plan = rows[0]?.['QUERY PLAN'][0]?.Plan
    expect(plan?.['Node Type']).toMatch(/^[A-Z]/)
    for (const part of plan?.Plans ?? []) expect(part['Node Type']).toMatch(/^[A-Z]/)
  })

  test('others are refused', async () => {
    await expect(client.query('EXPLAIN (FORMAT YAML) SELECT * FROM e')).rejects.toMatchObject({ code: '0A000' })
  })
})
