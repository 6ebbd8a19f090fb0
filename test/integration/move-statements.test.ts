/**
 * Statements of every kind while buckets move back and forth. Where the router can begin anew the client sees nothing of it; where it cannot, since rows have
 * gone out or come in, it gets 40001 and may try again (docs/sql-support.md). Never anything else, and never a wrong answer.
 */
import { once } from 'node:events'
import pg from 'pg'
import postgres from 'postgres'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { TestCluster } from '../support/cluster.ts'
import { startTestCluster } from '../support/cluster.ts'
import { Moving } from './move/moving.ts'

const rows = 300
const filled = ['merged', 'several', 'blocks', 'locked', 'explained', 'returned', 'reps']
let cluster: TestCluster
let moving: Moving

type Work = (client: pg.Client, n: number, sql: postgres.Sql) => Promise<void>

const must = (what: string, got: unknown, wanted: unknown) => {
  if (JSON.stringify(got) !== JSON.stringify(wanted)) throw new Error(`${what}: ${JSON.stringify(got)}, not ${JSON.stringify(wanted)}`)
}
const inBlock = (begin: string, work: (client: pg.Client, n: number) => Promise<void>): Work => async (client, n) => {
  await client.query(begin)
  await work(client, n)
  await client.query('COMMIT')
}
const count = async (client: pg.Client, text: string, wanted = rows) => must(text, (await client.query(text)).rows.length, wanted)
const some = (n: number) => Array.from({ length: 20 }, (_, i) => 1 + ((n * 13 + i * 7) % rows))

/** Those of `unseen` meet cut-overs without the client seeing any of it. */
const unseen: Readonly<Record<string, Work>> = {
  'COPY TO': async (_client, _n, sql) => must('COPY TO', await lines(sql, 'COPY item TO STDOUT'), rows),
  'COPY (SELECT) TO': async (_client, _n, sql) => must('COPY (SELECT) TO', await lines(sql, 'COPY (SELECT id FROM item ORDER BY id) TO STDOUT'), rows),
  'INSERT of rows': async (client, n) => {
    const ids = some(n).map((id) => `(${id}, 0)`).join(', ')
    await client.query(`INSERT INTO added VALUES ${ids} ON CONFLICT (id) DO UPDATE SET v = added.v + 1`)
  },
  'INSERT of a SELECT': async (client) => void (await client.query('INSERT INTO selected SELECT id, v FROM item ON CONFLICT DO NOTHING')),
  'an UPDATE of all': async (client) => must('UPDATE', (await client.query('UPDATE item SET w = w + 1')).rowCount, rows),
  'a MERGE': async (client) => void (await client.query('MERGE INTO merged t USING (SELECT id FROM item) s ON t.id = s.id + 1 WHEN MATCHED THEN UPDATE SET v = t.v + 1')),
  'a join that is gathered': async (client) => count(client, 'SELECT a.id FROM item a JOIN item b ON a.id = b.other'),
  'rows in order': async (client) => count(client, 'SELECT * FROM item ORDER BY id'),
  'EXPLAIN ANALYZE of a read': async (client) => void (await client.query('EXPLAIN ANALYZE SELECT count(*) FROM item')),
  'EXPLAIN of all': async (client) => void (await client.query('EXPLAIN SELECT * FROM item')),
  'a named statement': async (client, n) => must('by name', (await client.query({ name: 'one', text: 'SELECT id FROM item WHERE id = $1', values: [1 + (n % rows)] })).rows.length, 1),
  'several statements in one message': async (client) => void (await client.query('UPDATE several SET v = v + 1 WHERE id = 1; SELECT count(*) FROM item; UPDATE several SET v = v + 1 WHERE id = 2')),
  'a block of all kinds': inBlock('BEGIN', async (client, n) => {
    await client.query('UPDATE blocks SET v = v + 1 WHERE id = $1', [1 + (n % 10)])
    await count(client, 'SELECT id FROM item')
    await client.query('SAVEPOINT a')
    await count(client, 'SELECT id FROM item ORDER BY id')
    await client.query('UPDATE blocks SET v = v + 1 WHERE id % 50 = 3')
    await client.query('ROLLBACK TO a')
    await count(client, 'SELECT a.id FROM item a JOIN item b ON a.id = b.other')
  }),
  'rows locked in a block': inBlock('BEGIN', async (client) => {
    await count(client, 'SELECT id FROM locked WHERE id <= 10 ORDER BY id FOR UPDATE', 10)
    await client.query('UPDATE locked SET v = v + 1 WHERE id <= 10')
  }),
  'a cursor': inBlock('BEGIN', async (client) => {
    await client.query('DECLARE c CURSOR FOR SELECT id FROM item ORDER BY id')
    const first = await client.query('FETCH 100 FROM c')
    const rest = await client.query('FETCH ALL FROM c')
    must('a cursor', first.rows.length + rest.rows.length, rows)
  }),
  'EXPLAIN ANALYZE of a write': async (client) => void (await client.query('EXPLAIN ANALYZE UPDATE explained SET v = v + 1')),
  'a temporary table of all rows': inBlock('BEGIN', async (client) => {
    await client.query('CREATE TEMP TABLE t ON COMMIT DROP AS SELECT * FROM item')
    await count(client, 'SELECT * FROM t')
  }),
}

/** What these have sent or taken cannot be taken back. */
const mayFail: Readonly<Record<string, Work>> = {
  'COPY FROM': async (_client, n, sql) => {
    const stream = await sql.unsafe('COPY copied FROM STDIN').writable()
    const done = once(stream, 'finish')
    stream.on('error', () => undefined)
    for (const i of some(n)) stream.write(`${n * 1000 + i}\t${i}\n`)
    stream.end()
    await done
  },
  'an UPDATE of all with RETURNING': async (client) => must('RETURNING', (await client.query('UPDATE returned SET v = v + 1 RETURNING id')).rows.length, rows),
  'INSERT with RETURNING': async (client, n) => must('RETURNING', (await client.query(`INSERT INTO returning_rows VALUES ${some(n).map((id) => `(${id}, 0)`).join(', ')} ON CONFLICT (id) DO UPDATE SET v = returning_rows.v + 1 RETURNING id`)).rows.length, 20),
  'rows in parts': async (_client, _n, sql) => {
    let found = 0
    for await (const part of sql.unsafe('SELECT id FROM item').cursor(50)) found += part.length
    must('rows in parts', found, rows)
  },
  'a REPEATABLE READ block': inBlock('BEGIN ISOLATION LEVEL REPEATABLE READ', async (client) => {
    await count(client, 'SELECT id FROM item')
    await count(client, 'SELECT id FROM item ORDER BY id')
    await client.query('UPDATE reps SET v = v + 1 WHERE id % 10 = 3')
  }),
}

async function lines(sql: postgres.Sql, text: string): Promise<number> {
  const stream = await sql.unsafe(text).readable()
  let found = 0
  for await (const chunk of stream as AsyncIterable<Buffer>) found += chunk.toString().split('\n').length - 1
  return found
}

beforeAll(async () => {
  cluster = await startTestCluster({ shards: 2, replicas: 0 })
  moving = await Moving.of(cluster)
  const client = new pg.Client({ host: '127.0.0.1', port: cluster.port, user: 'postgres', database: 'postgres' })
  await client.connect()
  await client.query('CREATE TABLE item (id int PRIMARY KEY, v int NOT NULL, w int NOT NULL, other int NOT NULL)')
  // Each writer has a table of its own, so that no two of them deadlock over rows, as they would in one PostgreSQL. All are in one group.
  for (const name of ['added', 'selected', 'returning_rows', 'copied', ...filled]) await client.query(`CREATE TABLE ${name} (id int PRIMARY KEY, v int NOT NULL)`)
  await client.query(`INSERT INTO item SELECT g, g, 0, g FROM generate_series(1, ${rows}) g`)
  for (const name of filled) await client.query(`INSERT INTO ${name} SELECT g, g FROM generate_series(1, ${rows}) g`)
  await client.end()
})

afterAll(async () => {
  await moving.stop()
  await cluster.stop()
})

/** What failed of each, by SQLSTATE, while so many moves were made. */
async function whileMoving(works: Readonly<Record<string, Work>>, moves: number): Promise<{ failures: Map<string, number>; done: Map<string, number> }> {
  const stopping = new AbortController()
  const failures = new Map<string, number>()
  const done = new Map<string, number>()
  const more = (map: Map<string, number>, key: string) => map.set(key, (map.get(key) ?? 0) + 1)
  const running = Object.entries(works).map(async ([name, work]) => {
    const client = new pg.Client({ host: '127.0.0.1', port: cluster.port, user: 'postgres', database: 'postgres' })
    await client.connect()
    const sql = postgres({ host: '127.0.0.1', port: cluster.port, user: 'postgres', database: 'postgres', max: 1, onnotice: () => undefined })
    for (let n = 1; !stopping.signal.aborted; n++) {
      try {
        await work(client, n, sql)
        more(done, name)
      } catch (error) {
        const { code, message } = error as Error & { code?: string }
        more(failures, `${name}: ${code ?? message}${code === '40001' ? '' : ` ${message}`}`)
        await client.query('ROLLBACK')
      }
    }
    await client.end()
    await sql.end()
  })
  try {
    const { group } = await moving.buckets('item')
    for (let n = 0; n < moves; n++) {
      const bucket = n % 4
      const { owners } = await moving.buckets('item')
      const [id = 0] = await moving.request({ group, bucket, target: 3 - (owners[bucket] ?? 0) })
      await moving.untilStage(id, 'done')
    }
  } finally {
    stopping.abort()
    await Promise.all(running)
  }
  return { failures, done }
}

/** A few at a time: of many that write the same rows some would always be under way, and the cut-over would wait for a better moment. */
const inParts = (works: Readonly<Record<string, Work>>) => {
  const all = Object.entries(works)
  return Array.from({ length: Math.ceil(all.length / 4) }, (_, i) => Object.fromEntries(all.slice(4 * i, 4 * i + 4))).map((part): [string, typeof works] => [Object.keys(part).join(', '), part])
}

test.each(inParts(unseen))('begun anew without the client seeing it: %s', async (_names, works) => {
  const { failures, done } = await whileMoving(works, 4)
  expect([...failures]).toEqual([])
  for (const name of Object.keys(works)) expect(done.get(name), name).toBeGreaterThan(0)
}, 300_000)

test.each(inParts(mayFail))('they may get 40001, and nothing else: %s', async (_names, works) => {
  const { failures, done } = await whileMoving(works, 4)
  expect([...failures.keys()].filter((what) => !what.endsWith(': 40001'))).toEqual([])
  for (const name of Object.keys(works)) expect(done.get(name), name).toBeGreaterThan(0)
}, 300_000)
