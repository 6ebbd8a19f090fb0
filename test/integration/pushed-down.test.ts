/** Queries over all shards in binary format, and whether the rules that should apply to them do. */
import pg from 'pg'
import { afterAll, beforeAll, expect, inject, it } from 'vitest'
import { createDatabase } from '../support/databases.ts'

const clients: pg.Client[] = []

async function connect(port: number): Promise<pg.Client> {
  const database = await createDatabase(port, 'pushed')
  const client = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', database, binary: true } as pg.ClientConfig)
  await client.connect()
  clients.push(client)
  await client.query(`CREATE TABLE t (id int PRIMARY KEY, small smallint, big bigint, n numeric, r real, f float8, ok boolean, d date, ts timestamp,
    tz timestamptz, ti time(3), u uuid, b bytea, txt text, v varchar(20), c char(4), region text)`)
  await client.query(`INSERT INTO t SELECT g, g % 100, g::bigint << 33, g / 7.0, g / 3.0, -g / 9.0, g % 3 = 0, date '2024-01-01' + g, timestamp '2024-01-01' - g * interval '1 hour',
    timestamptz '2024-01-01 00:00Z' + g * interval '1 minute', time '01:00' + g * interval '1 second', md5(g::text)::uuid, decode(md5(g::text), 'hex'),
    md5(g::text), md5(g::text)::varchar(20), 'c' || g % 9, 'r' || g % 5 FROM generate_series(1, 500) g`)
  return client
}

let cluster: pg.Client
let plain: pg.Client

beforeAll(async () => {
  cluster = await connect(inject('clusterPort'))
  plain = await connect(inject('plainPort'))
})

afterAll(() => Promise.all(clients.map((client) => client.end())))

async function planOf(sql: string): Promise<string> {
  const { rows } = await cluster.query<{ 'QUERY PLAN': string }>(`EXPLAIN ${sql}`)
  return rows.map((row) => row['QUERY PLAN'].toString()).join('\n')
}

it.each(['small', 'big', 'n', 'r', 'f', 'ok', 'd', 'ts', 'tz', 'ti', 'u', 'b', 'txt', 'v'])('rows in the order of %s are merged', async (column) => {
  expect(await planOf(`SELECT * FROM t ORDER BY ${column}, id LIMIT 3`)).toMatch(/^Merge/)
  for (const direction of ['', 'DESC']) {
    const sql = `SELECT id, ${column}, $1::int AS given FROM t ORDER BY ${column} ${direction}, id LIMIT $2 OFFSET $3`
    const [mine, theirs] = await Promise.all([cluster.query(sql, [7, 40, 5]), plain.query(sql, [7, 40, 5])])
    expect(mine.rows).toEqual(theirs.rows)
    expect(mine.rows).toHaveLength(40)
  }
})

it('an order that is no order of bytes is made on the catalog', async () => {
  expect(await planOf('SELECT id FROM t ORDER BY c, id LIMIT 3')).toMatch(/^Gather/)
  const sql = 'SELECT id, c FROM t ORDER BY c DESC, id LIMIT 20'
  expect((await cluster.query(sql)).rows).toEqual((await plain.query(sql)).rows)
})

it.each<[string, unknown[]]>([
  ['SELECT region, count(*), sum(small), sum(n), avg(small), avg(n), max(d), min(txt) FROM t WHERE id > $1 GROUP BY region ORDER BY region', [10]],
  ['SELECT region, count(DISTINCT small), sum(big) FROM t WHERE region <> $1 GROUP BY region HAVING count(*) > $2 ORDER BY region', ['r2', 3]],
  ['SELECT count(*), sum(small), min(n), max(big), bool_and(ok) FROM t WHERE txt > $1', ['8']],
  ['SELECT DISTINCT region, $1::text AS x FROM t ORDER BY region', ['it\'s \\ \t "']],
  ['SELECT lower(txt) AS l, $2::bytea AS b FROM t ORDER BY l LIMIT $1', [3, Buffer.from([0, 92, 10])]],
])('%s', async (sql, values) => {
  const [mine, theirs] = await Promise.all([cluster.query(sql, values), plain.query(sql, values)])
  expect(mine.rows.length).toBeGreaterThan(0)
  expect(mine.rows).toEqual(theirs.rows)
  expect(mine.fields.map((field) => [field.name, field.dataTypeID, field.columnID])).toEqual(theirs.fields.map((field) => [field.name, field.dataTypeID, field.columnID]))
})

it('EXPLAIN ANALYZE says what each part brought', async () => {
  const text = await planOf('(ANALYZE) SELECT region, count(*) FROM t GROUP BY region')
  expect(text).toMatch(/pgherd_gq1: rows=15 time=\d+ ms/)
})
