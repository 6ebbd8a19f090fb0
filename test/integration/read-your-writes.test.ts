/** What a commit was acknowledged for is seen by what comes after, on every shard, by whatever way and connection it is read. */
import pg from 'pg'
import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { createDatabase } from '../support/databases.ts'

const port = inject('clusterPort')
const keys = [1, 2, 3, 4, 5, 6, 7, 8]
const open: pg.Client[] = []
let database: string

async function connect(): Promise<pg.Client> {
  const client = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', database })
  await client.connect()
  open.push(client)
  return client
}

/** Each gives n of the rows of one writer, by a way of its own. */
const ways: Record<string, (client: pg.Client, writer: number) => Promise<unknown[]>> = {
  'point reads, prepared': (client, writer) => each((key) => client.query({ name: 'point', text: 'SELECT n FROM seen WHERE id = $1', values: [writer * 100 + key] })),
  'point reads, unnamed': (client, writer) => each((key) => client.query('SELECT n FROM seen WHERE id = $1', [writer * 100 + key])),
  'point reads, values in the text': (client, writer) => each((key) => client.query(`SELECT n FROM seen WHERE id = ${writer * 100 + key}`)),
  'one read of all shards': async (client, writer) => (await client.query('SELECT n FROM seen WHERE writer = $1 ORDER BY id', [writer])).rows.map(({ n }) => n),
  'a gather': async (client, writer) => (await client.query('SELECT a.n, max(b.n) OVER () FROM seen a JOIN seen b USING (writer, n) WHERE a.writer = $1 AND a.id <= b.id AND b.id <= a.id ORDER BY a.id', [writer])).rows.map(({ n }) => n),
  'a block': async (client, writer) => {
    await client.query('BEGIN')
    const found = await each((key) => client.query('SELECT n FROM seen WHERE id = $1', [writer * 100 + key]))
    await client.query('COMMIT')
    return found
  },
}

const each = async (ask: (key: number) => Promise<pg.QueryResult>) => {
  const found: unknown[] = []
  for (const key of keys) found.push((await ask(key)).rows[0]?.n)
  return found
}

beforeAll(async () => {
  database = await createDatabase(port, 'own_writes')
  await (await connect()).query('CREATE TABLE seen (id int PRIMARY KEY, writer int, n int)')
})
afterAll(() => Promise.all(open.map((client) => client.end())))

test('many sessions find what they, and others before them, have committed', async () => {
  const writers = [1, 2, 3, 4, 5, 6]
  await Promise.all(
    writers.map(async (writer) => {
      const [client, reader] = [await connect(), await connect()]
      await client.query('INSERT INTO seen SELECT $1 * 100 + k, $1, 0 FROM unnest($2::int[]) k', [writer, keys])
      for (const [round, [name, read]] of Object.entries(ways).entries()) {
        for (const inBlock of [false, true]) {
          const n = round * 2 + (inBlock ? 2 : 1)
          if (inBlock) await client.query('BEGIN')
          await client.query('UPDATE seen SET n = $1 WHERE writer = $2', [n, writer])
          if (inBlock) await client.query('COMMIT')
          const wanted = keys.map(() => n)
          expect([name, ...(await read(client, writer))]).toEqual([name, ...wanted])
          expect([name, ...(await read(reader, writer))]).toEqual([name, ...wanted])
        }
      }
    }),
  )
})

test('also when connections of shards break while they finish a commit', async () => {
  const [client, reader, watcher] = [await connect(), await connect(), await connect()]
  await client.query('INSERT INTO seen SELECT 900 + k, 9, 0 FROM unnest($1::int[]) k', [keys])
  const { rows } = await watcher.query('SELECT port FROM pgherd.shards')
  const shards = await Promise.all(
    rows.map(async (shard: { port: number }) => {
      const one = new pg.Client({ host: '127.0.0.1', port: Number(shard.port), user: 'postgres', database: 'postgres' })
      await one.connect()
      open.push(one)
      return one
    }),
  )
  // Those alone that have prepared: before that the commit itself would fail.
  const kill = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND query ~ '^(SELECT pgherd.pass_gate|PREPARE TRANSACTION|COMMIT PREPARED)' AND state IS NOT NULL`
  const state = { over: false }
  let broken = 0
  const killing = shards.map(async (shard) => {
    while (!state.over) broken += (await shard.query(kill, [database])).rowCount ?? 0
  })
  let n = 0
  for (let round = 0; round < 20; round++) {
    const given = await client.query('UPDATE seen SET n = $1 WHERE writer = 9', [round + 1]).then(
      () => true,
      () => false,
    )
    if (given) n = round + 1
    const found = await ways['one read of all shards']?.(reader, 9).catch(() => undefined)
    if (given && found !== undefined) expect(found).toEqual(keys.map(() => n))
  }
  state.over = true
  await Promise.all(killing)
  expect(broken).toBeGreaterThan(0)
  await client.query('UPDATE seen SET n = -1 WHERE writer = 9')
  expect(await ways['point reads, prepared']?.(reader, 9)).toEqual(keys.map(() => -1))
})
