/** Single tables on their way to another shard, with those that have to be where they are. */
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { until } from '../crash/support/until.ts'
import type { TestCluster } from '../support/cluster.ts'
import { startTestCluster } from '../support/cluster.ts'
import { Moving } from './move/moving.ts'

let cluster: TestCluster
let moving: Moving
let client: pg.Client

beforeAll(async () => {
  cluster = await startTestCluster({ shards: 2, replicas: 0 })
  moving = await Moving.of(cluster)
  client = await connect()
})

afterAll(async () => {
  await client.end()
  await moving.stop()
  await cluster.stop()
})

async function connect(user = 'postgres'): Promise<pg.Client> {
  const one = new pg.Client({ host: '127.0.0.1', port: cluster.port, user, database: 'postgres' })
  one.on('error', () => undefined)
  await one.connect()
  return one
}

const rowsOf = async (text: string) => (await client.query<unknown[]>({ text, rowMode: 'array' })).rows

async function moveTable(table: string): Promise<void> {
  const before = await moving.single(table)
  const id = await moving.requestTable(table)
  await moving.mover().turn()
  await moving.untilStage(id, 'done')
  expect(await moving.move(id)).toMatchObject({ error: undefined })
  expect((await moving.single(table)).shard).toBe(3 - before.shard)
  // Clients that met the cut-over in a block may just be committing on both shards.
  await until('nothing is left behind', async () => (await moving.leftovers()).length === 0)
}

test('a table without any key moves there and back while clients write it', async () => {
  await client.query('CREATE TABLE history (tid int, delta int, mtime timestamp, filler char(22))')
  await client.query('INSERT INTO history SELECT g, g, now(), NULL FROM generate_series(1, 1000) g')
  const writers = await Promise.all([connect(), connect(), connect()])
  const stopping = new AbortController()
  let written = 0
  const load = Promise.all(
    writers.map(async (writer, i) => {
      for (let n = 0; !stopping.signal.aborted; n++) {
        await writer.query('BEGIN')
        await writer.query('INSERT INTO history VALUES ($1, 1, now())', [10_000 + i])
        await writer.query('UPDATE history SET delta = delta + 1 WHERE tid = $1', [1 + ((n * 3 + i) % 1000)])
        await writer.query('COMMIT')
        written++
      }
    }),
  )
  for (let time = 0; time < 2; time++) {
    const from = written
    await until('clients write', () => written > from + 20)
    await moveTable('history')
  }
  stopping.abort()
  await load
  await Promise.all(writers.map((writer) => writer.end()))
  expect(await rowsOf('SELECT count(*)::int, sum(delta)::int FROM history')).toEqual([[1000 + written, 500_500 + 2 * written]])
})

test('tables tied by foreign keys move together, with all that is theirs', async () => {
  await client.query(`CREATE TABLE country (code text PRIMARY KEY, name text) WITH (pgherd.kind = 'reference')`)
  await client.query(`INSERT INTO country VALUES ('se', 'Sweden'), ('pt', 'Portugal')`)
  await client.query('CREATE SCHEMA "of Users"; CREATE ROLE reader LOGIN; GRANT USAGE ON SCHEMA "of Users" TO reader')
  await client.query(`CREATE TYPE mood AS ENUM ('good', 'bad')`)
  await client.query(`CREATE TABLE "of Users".account (id serial PRIMARY KEY, email text UNIQUE, country text REFERENCES country, feels mood DEFAULT 'good',
    low text GENERATED ALWAYS AS (lower(email)) STORED, seen timestamptz, CHECK (email LIKE '%@%'))`)
  await client.query('CREATE TABLE post (id int GENERATED ALWAYS AS IDENTITY, account int REFERENCES "of Users".account ON DELETE CASCADE, reply int, body text, UNIQUE (id), FOREIGN KEY (reply) REFERENCES post (id))')
  await client.query('CREATE INDEX post_body ON post (lower(body))')
  await client.query(`CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.body := NEW.body || '!'; RETURN NEW; END $$`)
  await client.query('CREATE TRIGGER touched BEFORE INSERT ON post FOR EACH ROW EXECUTE FUNCTION touch()')
  await client.query('GRANT SELECT ON "of Users".account TO reader')
  await client.query(`INSERT INTO "of Users".account (email, country) SELECT 'A' || g || '@b', 'se' FROM generate_series(1, 100) g`)
  await client.query(`INSERT INTO post (account, body) SELECT g, 'hello' FROM generate_series(1, 100) g`)
  await client.query('UPDATE post SET reply = 1 WHERE id > 1')
  const before = [await rowsOf('SELECT * FROM "of Users".account ORDER BY id'), await rowsOf('SELECT * FROM post ORDER BY id')]
  await moveTable('post')
  expect((await moving.single('"of Users".account')).shard).toBe((await moving.single('post')).shard)
  expect([await rowsOf('SELECT * FROM "of Users".account ORDER BY id'), await rowsOf('SELECT * FROM post ORDER BY id')]).toEqual(before)
  expect(await rowsOf(`INSERT INTO post (account, body) VALUES (1, 'new') RETURNING id, body`)).toEqual([[101, 'new!']])
  await expect(client.query(`INSERT INTO post (account, body) VALUES (1000, 'x')`)).rejects.toMatchObject({ code: '23503', constraint: 'post_account_fkey' })
  await expect(client.query(`INSERT INTO "of Users".account (email) VALUES ('A1@b')`)).rejects.toMatchObject({ code: '23505', constraint: 'account_email_key' })
  await expect(client.query(`INSERT INTO "of Users".account (email) VALUES ('none')`)).rejects.toMatchObject({ code: '23514' })
  await expect(client.query(`INSERT INTO "of Users".account (email, country) VALUES ('x@y', 'xx')`)).rejects.toMatchObject({ code: '23503' })
  await expect(client.query(`DELETE FROM country WHERE code = 'se'`)).rejects.toMatchObject({ code: '23503' })
  await client.query(`DELETE FROM country WHERE code = 'pt'`)
  await client.query('DELETE FROM "of Users".account WHERE id = 2')
  expect(await rowsOf('SELECT count(*)::int FROM post WHERE account = 2')).toEqual([[0]])
  const reader = await connect('reader')
  expect((await reader.query('SELECT count(*)::int AS n FROM "of Users".account')).rows).toEqual([{ n: 99 }])
  await expect(reader.query('SELECT FROM post')).rejects.toMatchObject({ code: '42501' })
  await reader.end()
  await moveTable('"of Users".account')
  await client.query('ALTER TABLE post ADD COLUMN more int DEFAULT 5')
  expect(await rowsOf('SELECT count(*)::int, sum(more)::int FROM post')).toEqual([[100, 500]])
})

test('a partitioned table moves with its partitions', async () => {
  await client.query('CREATE TABLE event (at int NOT NULL, what text, UNIQUE (at, what)) PARTITION BY RANGE (at)')
  await client.query('CREATE TABLE event_1 PARTITION OF event FOR VALUES FROM (0) TO (100); CREATE TABLE event_2 PARTITION OF event FOR VALUES FROM (100) TO (200)')
  await client.query(`INSERT INTO event SELECT g, 'e' || g FROM generate_series(0, 199) g`)
  const before = await rowsOf('SELECT * FROM event ORDER BY at')
  await moveTable('event_2')
  expect(await rowsOf('SELECT * FROM event ORDER BY at')).toEqual(before)
  expect(await rowsOf('SELECT count(*)::int FROM event_2')).toEqual([[100]])
  await expect(client.query(`INSERT INTO event VALUES (5, 'e5')`)).rejects.toMatchObject({ code: '23505' })
})

test('a move that is not wanted any more, of a table that is dropped or renamed meanwhile, leaves nothing behind', async () => {
  await client.query('CREATE TABLE kept (a int, b text); INSERT INTO kept VALUES (1, $$x$$)')
  let hold = true
  const mover = await moving.only((step) => {
    if (step === 'foreign keys' && hold) throw new Error('not yet')
  })
  const undone = await moving.requestTable('kept')
  await mover.turn()
  await moving.untilStage(undone, 'catching-up')
  await moving.wish([undone], 'undone')
  await moving.untilStage(undone, 'undone')
  expect(await moving.leftovers()).toEqual([])
  const renamed = await moving.requestTable('kept')
  await mover.turn()
  await moving.untilStage(renamed, 'catching-up')
  await client.query('ALTER TABLE kept RENAME TO kept_2')
  hold = false
  await moving.untilStage(renamed, 'done')
  expect(await moving.leftovers()).toEqual([])
  expect(await rowsOf('SELECT * FROM kept_2')).toEqual([[1, 'x']])
  hold = true
  const dropped = await moving.requestTable('kept_2')
  await mover.turn()
  await moving.untilStage(dropped, 'catching-up')
  await client.query('DROP TABLE kept_2')
  hold = false
  await moving.untilStage(dropped, 'undone')
  expect(await moving.leftovers()).toEqual([])
  await client.query('CREATE TABLE kept_2 (a int)')
})

test('a table that gets another kind, or is made anew, while it moves', async () => {
  await client.query('CREATE TABLE turned (a int, b text); INSERT INTO turned SELECT g, g FROM generate_series(1, 50) g')
  let hold = true
  const mover = await moving.only((step) => {
    if (step === 'foreign keys' && hold) throw new Error('not yet')
  })
  const id = await moving.requestTable('turned')
  await mover.turn()
  await moving.untilStage(id, 'catching-up')
  await client.query(`SELECT create_distributed_table('turned', 'a')`)
  expect(await rowsOf('SELECT count(*)::int, sum(a)::int FROM turned')).toEqual([[50, 1275]])
  hold = false
  await moving.untilStage(id, 'undone')
  expect(await moving.leftovers()).toEqual([])
  expect(await rowsOf('SELECT count(*)::int, sum(a)::int FROM turned')).toEqual([[50, 1275]])
})

test('what replication does not take along is not moved, and why is told', async () => {
  await client.query('CREATE UNLOGGED TABLE quick (a int)')
  await moving.only()
  const id = await moving.requestTable('quick')
  await moving.mover().turn()
  await moving.untilStage(id, 'undone')
  expect((await moving.move(id)).error).toContain('it is unlogged')
  expect(await moving.leftovers()).toEqual([])
})

test('operators move tables by name, and empty a shard with all that is on it', async () => {
  await client.query('CREATE TABLE here (a int); INSERT INTO here SELECT generate_series(1, 10)')
  await client.query('CREATE TABLE spread (id int PRIMARY KEY); INSERT INTO spread SELECT generate_series(1, 100)')
  const { shard } = await moving.single('here')
  await moving.only().then((mover) => mover.turn())
  const ask = (text: string) => client.query<{ v: string }>(text)
  await expect(ask(`SELECT pgherd.move_table('spread', 1)`)).rejects.toMatchObject({ code: '42809' })
  await expect(ask(`SELECT pgherd.move_table('here', ${shard})`)).rejects.toMatchObject({ code: '22023' })
  await expect(ask(`SELECT pgherd.move_table('nowhere', 1)`)).rejects.toMatchObject({ code: '42P01' })
  const id = Number((await ask(`SELECT pgherd.move_table('here', ${3 - shard}) AS v`)).rows[0]?.v)
  await expect(ask(`SELECT pgherd.move_table('here', ${3 - shard})`)).rejects.toMatchObject({ code: '55006' })
  const mover = moving.mover()
  await mover.turn()
  await moving.untilStage(id, 'done')
  const cluster_ = await moving.on(moving.catalog, 'pgherd')
  await cluster_.query(`UPDATE pgherd.shard SET state = 'draining' WHERE id = 1`)
  const counts = () => rowsOf(`SELECT (SELECT count(*) FROM pgherd.buckets WHERE shard = 1)::int, (SELECT count(*) FROM pgherd.placement WHERE kind = 'single' AND shard_id = 1)::int`)
  // A table that replication does not take along keeps it from being empty.
  await client.query('DROP TABLE IF EXISTS quick')
  await client.query('SELECT pgherd.rebalance()')
  await mover.turn()
  await until('all moves are over', async () => (await rowsOf(`SELECT count(*)::int FROM pgherd.moves WHERE stage NOT IN ('done', 'undone')`))[0]?.[0] === 0, 50_000)
  expect(await counts()).toEqual([[0, 0]])
  expect(await rowsOf('SELECT (SELECT count(*)::int FROM here), (SELECT count(*)::int FROM spread), (SELECT count(*)::int FROM event)')).toEqual([[10, 100, 200]])
  expect(await moving.leftovers()).toEqual([])
})
