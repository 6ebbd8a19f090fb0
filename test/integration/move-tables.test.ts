/** What comes along with a bucket, and what operators and schema changes do to a move that is under way. */
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Move } from '../../src/rebalance/move.ts'
import { wishOfMoves } from '../../src/rebalance/move-requests.ts'
import { until } from '../crash/support/until.ts'
import type { TestCluster } from '../support/cluster.ts'
import { startTestCluster } from '../support/cluster.ts'
import { Moving } from './move/moving.ts'

let cluster: TestCluster
let moving: Moving
let client: pg.Client
const open: pg.Client[] = []

async function connect(): Promise<pg.Client> {
  const made = new pg.Client({ host: '127.0.0.1', port: cluster.port, user: 'postgres', database: 'postgres' })
  await made.connect()
  open.push(made)
  return made
}

beforeAll(async () => {
  cluster = await startTestCluster({ shards: 2, replicas: 0 })
  moving = await Moving.of(cluster)
  client = await connect()
})

afterAll(async () => {
  await Promise.all(open.map((one) => one.end()))
  await moving.stop()
  await cluster.stop()
})

const rowsOf = async (text: string) => (await client.query<string[]>({ text, rowMode: 'array' })).rows
const ask = (text: string): Promise<unknown> => client.query(text).then(({ rows }) => rows, (error: { code?: string; message: string }) => `${error.code} ${error.message}`)

/** Asks for a move of the bucket with the most rows of a table. */
async function request(table: string): Promise<{ id: number; bucket: number; from: number; to: number }> {
  await moving.stopMovers() // the test's own is to have it
  const { group, owners } = await moving.buckets(table)
  const shard = await moving.on(moving.shard(1))
  const { rows } = await shard.query<{ bucket: number }>(`SELECT substring(tableoid::regclass::text from '_b(\\d+)$')::int AS bucket FROM ${table} GROUP BY 1 ORDER BY count(*) DESC LIMIT 1`)
  const bucket = rows[0]?.bucket ?? 0
  const from = owners[bucket] ?? 0
  const [id = 0] = await moving.request({ group, bucket, target: 3 - from })
  return { id, bucket, from, to: 3 - from }
}

test('tables of all kinds come along, with everything that is on them', async () => {
  await client.query(`CREATE TYPE mood AS ENUM ('sad', 'ok')`)
  await client.query('CREATE ROLE keeper')
  await client.query('CREATE ROLE reader')
  await client.query('CREATE TABLE country (code text PRIMARY KEY)')
  await client.query(`SELECT create_reference_table('country')`)
  await client.query(`INSERT INTO country VALUES ('CH'), ('AT'), ('DE')`)
  await client.query(`CREATE TABLE customer (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL CHECK (name <> ''), mood mood DEFAULT 'ok',
    long text, twice bigint GENERATED ALWAYS AS (id * 2) STORED, country text REFERENCES country, tags text[], at timestamptz DEFAULT now(), price numeric(10, 2))`)
  await client.query('CREATE INDEX customer_name ON customer (lower(name)) WHERE mood IS NOT NULL')
  await client.query('COMMENT ON TABLE customer IS $$ of a shop $$')
  await client.query(`CREATE TABLE purchase (customer_id bigint REFERENCES customer (id) ON DELETE CASCADE, n int, PRIMARY KEY (customer_id, n)) WITH (pgherd.shard_key = 'customer_id')`)
  await client.query(`CREATE TABLE visit (customer_id bigint NOT NULL, page text, hits int DEFAULT 0) WITH (pgherd.shard_key = 'customer_id')`)
  await client.query('CREATE TABLE empty_one (customer_id bigint PRIMARY KEY)')
  await client.query(`CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.page := upper(NEW.page); RETURN NEW; END $$`)
  await client.query('CREATE TRIGGER shout BEFORE INSERT OR UPDATE ON visit FOR EACH ROW EXECUTE FUNCTION shout()')
  await client.query('GRANT SELECT, UPDATE (name) ON customer TO reader')
  await client.query('ALTER TABLE purchase OWNER TO keeper')
  await client.query(`INSERT INTO customer (name, long, country, tags) SELECT 'n' || g, repeat(md5(g::text), 200), CASE WHEN g % 2 = 0 THEN 'CH' END, ARRAY['a', 'b'] FROM generate_series(1, 300) g`)
  await client.query('INSERT INTO purchase SELECT id, 1 FROM customer')
  await client.query(`INSERT INTO visit SELECT id, 'page', 1 FROM customer`)
  await client.query(`INSERT INTO visit SELECT id, 'page', 1 FROM customer WHERE id % 3 = 0`)
  const texts = ['SELECT * FROM customer ORDER BY id', 'SELECT * FROM purchase ORDER BY 1, 2', 'SELECT * FROM visit ORDER BY 1, 2, 3']
  const before = await Promise.all(texts.map(rowsOf))
  const { id, bucket, to } = await request('customer')
  await (await moving.only()).turn()
  await moving.untilStage(id, 'done')
  expect(await Promise.all(texts.map(rowsOf))).toEqual(before)
  expect(await moving.leftovers()).toEqual([])
  const moved = await moving.on(moving.shard(to))
  const { rows: ids } = await moved.query<{ id: string }>(`SELECT id FROM customer WHERE tableoid::regclass::text LIKE '%\\_b${bucket}' ORDER BY 1`)
  const [one, two, three] = ids.map((row) => row.id)
  expect(one).toBeDefined()
  // The rules of all of it hold where the rows are now, under the users' names.
  expect(await ask(`INSERT INTO purchase VALUES (${one}, 1)`)).toBe('23505 duplicate key value violates unique constraint "purchase_pkey"')
  expect(await ask(`INSERT INTO customer (id, name) OVERRIDING SYSTEM VALUE VALUES (${one}, 'again')`)).toBe('23505 duplicate key value violates unique constraint "customer_pkey"')
  expect(await ask(`UPDATE customer SET name = '' WHERE id = ${one}`)).toBe('23514 new row for relation "customer" violates check constraint "customer_name_check"')
  expect(await ask(`UPDATE customer SET country = 'XX' WHERE id = ${one}`)).toBe('23503 insert or update on table "customer" violates foreign key constraint "customer_country_fkey"')
  expect(await ask(`DELETE FROM country WHERE code = 'CH'`)).toMatch(/^23503 update or delete on table "country" violates (RESTRICT setting of )?foreign key constraint/)
  expect(await ask(`UPDATE customer SET country = 'AT' WHERE country = 'CH'`)).toEqual([])
  expect(await ask(`DELETE FROM country WHERE code = 'CH'`)).toEqual([])
  expect(await ask(`INSERT INTO visit VALUES (${one}, 'loud') RETURNING page`)).toEqual([{ page: 'LOUD' }])
  expect(await ask(`UPDATE visit SET hits = hits + 1 WHERE customer_id = ${two} AND page = 'PAGE'`)).toEqual([])
  expect(await ask(`DELETE FROM customer WHERE id = ${three ?? two}`)).toEqual([])
  expect(await ask(`SELECT count(*)::int FROM purchase WHERE customer_id = ${three ?? two}`)).toEqual([{ count: 0 }])
  // Later schema changes find everything where it belongs.
  for (const text of [
    'ALTER TABLE customer ADD COLUMN extra int DEFAULT 3',
    'ALTER TABLE customer DROP CONSTRAINT customer_name_check',
    'ALTER TABLE purchase DROP CONSTRAINT purchase_customer_id_fkey',
    'ALTER TABLE customer ALTER COLUMN name DROP NOT NULL',
    'DROP INDEX customer_name',
    'DROP TRIGGER shout ON visit',
  ])
    expect(await ask(text), text).toEqual([])
  expect(await ask(`UPDATE customer SET name = '' WHERE id = ${one}`)).toEqual([])
  expect(await ask(`UPDATE customer SET name = NULL WHERE id = ${one}`)).toEqual([])
  expect(await ask(`INSERT INTO visit VALUES (${one}, 'low') RETURNING page`)).toEqual([{ page: 'low' }])
  expect(await ask('SET ROLE reader')).toEqual([])
  expect(await ask(`SELECT count(*)::int AS n FROM customer WHERE id = ${one}`)).toEqual([{ n: 1 }])
  expect(await ask(`UPDATE customer SET price = 1 WHERE id = ${one}`)).toMatch(/^42501/)
  expect(await ask('RESET ROLE')).toEqual([])
  expect(await ask('SET ROLE keeper')).toEqual([])
  expect(await ask('DROP TABLE purchase')).toEqual([])
  expect(await ask('RESET ROLE')).toEqual([])
  // And back again, over what is there by now.
  await moving.only()
  const back = await moving.request({ group: (await moving.buckets('customer')).group, bucket, target: 3 - to })
  await moving.untilStage(back[0] ?? 0, 'done')
  expect(await ask(`SELECT count(*)::int AS n FROM customer WHERE id = ${one}`)).toEqual([{ n: 1 }])
  expect(await ask('DROP TABLE visit, customer, empty_one')).toEqual([])
  expect(await moving.leftovers()).toEqual([])
})

const stages: readonly string[] = ['waiting', 'copying', 'leaves', 'identity', 'publication', 'slot', 'subscription', 'catching-up', 'foreign keys', 'compare', 'locks', 'applied', 'commit']

test.each(stages)('undone at %s: the source keeps the bucket, and nothing is left', async (stage) => {
  const table = `u_${stage.replaceAll(/\W/g, '_')}`
  await client.query(`CREATE TABLE ${table} (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), v int)`)
  await client.query(`CREATE TABLE ${table}_b (id uuid, v int) WITH (pgherd.shard_key = 'id')`)
  await client.query(`INSERT INTO ${table} (v) SELECT g FROM generate_series(1, 100) g`)
  const { id, bucket, from } = await request(table)
  let wished: Promise<number[]> | undefined
  const onStep = (step: string, move: Move) => {
    if (move.id !== id || step !== stage || wished !== undefined) return
    wished = moving.on(moving.catalog).then((catalog) => wishOfMoves(catalog, [id], 'undone'))
    throw new Error('stopped here')
  }
  await (await moving.only(onStep)).turn()
  await until(`move ${id} comes to ${stage}`, () => wished !== undefined)
  expect(await wished).toEqual([id])
  await moving.untilStage(id, 'undone')
  expect((await moving.buckets(table)).owners[bucket]).toBe(from)
  expect(await moving.leftovers()).toEqual([])
  expect(await rowsOf(`SELECT count(*)::int, sum(v)::int FROM ${table}`)).toEqual([[100, 5050]])
  await client.query(`INSERT INTO ${table}_b VALUES (gen_random_uuid(), 1)`)
  await client.query(`UPDATE ${table}_b SET v = 2`)
  await client.query(`DROP TABLE ${table}, ${table}_b`)
})

test('schema changes during a move are never lost', async () => {
  await client.query('CREATE TABLE d (id int PRIMARY KEY, v int)')
  await client.query('INSERT INTO d SELECT g, g FROM generate_series(1, 300) g')
  const changes = ['ALTER TABLE d ADD COLUMN w int DEFAULT 7', 'CREATE INDEX d_v ON d (v)', 'CREATE TABLE d_more (id int PRIMARY KEY)', 'ALTER TABLE d ALTER COLUMN v TYPE bigint USING v * 2', 'TRUNCATE d_more']
  const { id } = await request('d')
  let held: Promise<unknown> = Promise.resolve()
  const steps: string[] = []
  const onStep = (step: string, move: Move) => {
    if (move.id !== id) return
    steps.push(step)
    // Each time that a copy is complete, the schema changes.
    if (step === 'compare') {
      const change = changes.shift()
      if (change !== undefined) held = held.then(() => client.query(change))
    }
  }
  await (await moving.only(onStep)).turn()
  await moving.untilStage(id, 'done')
  await held
  // The move may be quicker than the schema changes: what is left of them comes after it.
  for (const change of changes) await client.query(change)
  expect(steps.filter((step) => step === 'leaves').length).toBeGreaterThan(1)
  expect(await rowsOf('SELECT count(*)::int, sum(v)::int, sum(w)::int FROM d')).toEqual([[300, 90300, 2100]])
  for (const shard of moving.shards) {
    const on = await moving.on(shard)
    const { rows } = await on.query(`SELECT i.inhrelid::regclass AS leaf FROM pg_inherits i JOIN pg_index x ON x.indrelid = i.inhrelid WHERE i.inhparent = 'd'::regclass GROUP BY 1 HAVING count(*) <> 2`)
    expect(rows).toEqual([])
  }
  expect(await moving.leftovers()).toEqual([])
  await client.query('DROP TABLE d, d_more')
})

test('a table that is dropped during the move takes its copy with it', async () => {
  await client.query('CREATE TABLE x1 (id int PRIMARY KEY)')
  await client.query('CREATE TABLE x2 (id int PRIMARY KEY)')
  await client.query('INSERT INTO x1 SELECT g FROM generate_series(1, 100) g')
  const { id } = await request('x1')
  let dropped: Promise<unknown> | undefined
  const drop = (step: string, move: Move) => void (move.id === id && step === 'compare' && (dropped ??= client.query('DROP TABLE x2')))
  await (await moving.only(drop)).turn()
  await moving.untilStage(id, 'done')
  await dropped
  expect(await moving.leftovers()).toEqual([])
  expect(await rowsOf('SELECT count(*)::int FROM x1')).toEqual([[100]])
  await client.query('DROP TABLE x1')
})

test('a cut-over that gets no lock holds nobody up, and comes again', async () => {
  await client.query('CREATE TABLE h (id int PRIMARY KEY, v int)')
  await client.query('INSERT INTO h SELECT g, g FROM generate_series(1, 300) g')
  const { id, bucket, from } = await request('h')
  const source = await moving.on(moving.shard(from))
  const { rows } = await source.query<{ id: number }>(`SELECT id FROM h WHERE tableoid::regclass::text LIKE '%\\_b${bucket}' ORDER BY id LIMIT 2`)
  const [mine = 0, other = 0] = rows.map((row) => row.id)
  const holder = await connect()
  await holder.query('BEGIN')
  // It only reads: for one that has written, the copy itself would wait.
  await holder.query(`SELECT v FROM h WHERE id = ${mine}`)
  let attempts = 0
  await (await moving.only((step, move) => void (move.id === id && step === 'locks' && attempts++))).turn()
  await until('it was tried three times', () => attempts >= 3)
  // While somebody has the rows, others go on.
  await client.query(`UPDATE h SET v = 1 WHERE id = ${other}`)
  expect((await moving.move(id)).stage).toMatch(/catching-up|cutting-over/)
  await holder.query(`UPDATE h SET v = 0 WHERE id = ${mine}`)
  await holder.query('COMMIT')
  await moving.untilStage(id, 'done')
  expect(await rowsOf(`SELECT v FROM h WHERE id IN (${mine}, ${other}) ORDER BY id`)).toEqual([[0], [1]])
  await client.query('DROP TABLE h')
})

test('a move that cannot be is undone with the reason', async () => {
  await client.query(`CREATE TABLE j (id text, v json) WITH (pgherd.shard_key = 'id')`)
  await client.query(`INSERT INTO j SELECT 'k' || g, '{}' FROM generate_series(1, 100) g`)
  const { id } = await request('j')
  await (await moving.only()).turn()
  await moving.untilStage(id, 'undone')
  expect((await moving.move(id)).error).toMatch(/no primary key.* json/)
  expect(await moving.leftovers()).toEqual([])
  await client.query(`UPDATE j SET v = '[]'`)
  await client.query('DROP TABLE j')
})

test('a paused move waits, and goes on', async () => {
  await client.query('CREATE TABLE p (id int PRIMARY KEY)')
  await client.query('INSERT INTO p SELECT g FROM generate_series(1, 100) g')
  const catalog = await moving.on(moving.catalog)
  await catalog.query('BEGIN')
  const { group, owners } = await moving.buckets('p')
  const { rows } = await catalog.query<{ id: number }>('INSERT INTO pgherd.move (group_id, bucket, source, target, wanted) VALUES ($1, 0, $2, $3, $4) RETURNING id::int AS id', [group, owners[0], 3 - (owners[0] ?? 0), 'paused'])
  await catalog.query('COMMIT')
  const id = rows[0]?.id ?? 0
  await (await moving.only()).turn()
  expect((await moving.move(id)).stage).toBe('waiting')
  expect(await wishOfMoves(catalog, [id], 'done')).toEqual([id])
  await moving.untilStage(id, 'done')
  await client.query('DROP TABLE p')
})
