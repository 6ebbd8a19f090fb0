/** Writes that go over copies of their rows: values in both formats, connections that break in the middle, and two at once. */
import pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, inject, test } from 'vitest'
import { createDatabase } from '../support/databases.ts'

describe('rows that move', () => {
  const port = inject('clusterPort')
  let database: string
  let client: pg.Client
  const others: pg.Client[] = []

  const connect = async (to = port) => {
    const one = new pg.Client({ host: '127.0.0.1', port: to, user: 'postgres', database })
    one.on('error', () => undefined)
    await one.connect()
    others.push(one)
    return one
  }
  const ask = async (sql: string, values: unknown[] = []) => (await client.query({ text: sql, values, rowMode: 'array' })).rows as unknown[][]
  const sums = async () => (await ask('SELECT count(*)::int, sum(id)::int, sum(n)::int FROM item'))[0]

  beforeAll(async () => {
    database = await createDatabase(port, 'moving_rows')
    client = await connect()
    await client.query('CREATE TABLE item (id int PRIMARY KEY, n int, data bytea, at timestamptz, tags text[])')
  })
  beforeEach(async () => {
    await client.query('DELETE FROM item')
    await client.query(`INSERT INTO item SELECT g, g * 10, decode(lpad(to_hex(g), 4, '0'), 'hex'), '2024-01-01'::timestamptz + g * interval '1.000001 s', ARRAY['a', NULL, 'b"\\' || g] FROM generate_series(1, 100) g`)
  })
  afterAll(() => Promise.all(others.map((one) => one.end().catch(() => undefined))))

  test('every type of value arrives as it was', async () => {
    const before = await ask('SELECT n, data, at, at::text, tags FROM item ORDER BY n')
    expect((await client.query('UPDATE item SET id = id + 1000 WHERE n > $1', [0])).rowCount).toBe(100)
    expect(await ask('SELECT n, data, at, at::text, tags FROM item ORDER BY n')).toEqual(before)
    expect(await sums()).toEqual([100, 105050, 50500])
  })

  test('RETURNING of a moved row in binary, with parameters', async () => {
    const { rows } = await client.query({ text: 'UPDATE item SET id = id + $1, n = $2 WHERE id = ANY ($3) RETURNING id, n', values: [100, 7, [3, 4]], binary: true } as pg.QueryConfig)
    expect(rows.toSorted((a, b) => a.id - b.id)).toEqual([{ id: 103, n: 7 }, { id: 104, n: 7 }])
  })

  test('a connection to one shard that breaks in the transaction leaves all rows as they were', async () => {
    const before = await sums()
    const shards = await ask('SELECT port FROM pgherd.shards ORDER BY id')
    for (const [shardPort] of shards) {
      const mover = await connect()
      await mover.query('BEGIN')
      await mover.query('UPDATE item SET id = id + 1000')
      const shard = await connect(Number(shardPort))
      const killed = await shard.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction' AND pid <> pg_backend_pid()`)
      expect(killed.rowCount).toBeGreaterThan(0)
      await expect(mover.query('COMMIT')).rejects.toThrow()
      expect(await sums()).toEqual(before)
      const { rows } = await shard.query('SELECT gid FROM pg_prepared_xacts WHERE database = current_database()')
      expect(rows).toEqual([])
    }
  })

  test('a duplicate on one shard undoes what was done on the others', async () => {
    const before = await sums()
    await expect(client.query('UPDATE item SET id = CASE WHEN id = 50 THEN 2001 ELSE id + 1950 END WHERE id >= 50')).rejects.toMatchObject({ code: '23505', constraint: 'item_pkey', table: 'item' })
    await expect(client.query('UPDATE item SET id = 1 WHERE id = 77')).rejects.toMatchObject({ code: '23505', constraint: 'item_pkey', table: 'item', schema: 'public' })
    expect(await sums()).toEqual(before)
  })

  test('two that move the same row: the second waits, and finds it gone', async () => {
    const one = await connect()
    const two = await connect()
    await one.query('BEGIN')
    await one.query('UPDATE item SET id = 901 WHERE id = 1')
    const second = two.query('UPDATE item SET id = 902 WHERE id = 1')
    const waits = async () => {
      const waiting = await Promise.all((await ask('SELECT port FROM pgherd.shards')).map(async ([shardPort]) => {
        const shard = others.find((other) => other.port === Number(shardPort)) ?? (await connect(Number(shardPort)))
        return (await shard.query('SELECT FROM pg_locks WHERE NOT granted')).rowCount ?? 0
      }))
      return waiting.some((count) => count > 0)
    }
    await expect.poll(waits, { timeout: 20_000 }).toBe(true)
    await one.query('COMMIT')
    expect((await second).rowCount).toBe(0)
    expect(await ask('SELECT id FROM item WHERE id > 900 OR id = 1')).toEqual([[901]])
  })

  test('nothing is left behind on the servers', async () => {
    await client.query('WITH d AS (DELETE FROM item WHERE id < 10 RETURNING *) UPDATE item SET n = 0 WHERE id = 50')
    const left = await ask(`SELECT relname FROM pg_class WHERE relname ~ '^pgherd_[wslc][0-9]' UNION ALL SELECT proname FROM pg_proc WHERE proname ~ '^pgherd_note'`)
    expect(left).toEqual([])
  })
})
