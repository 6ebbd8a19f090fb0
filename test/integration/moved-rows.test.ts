/** Notes of rows that moved: who writes many rows waits for a commit of a move that is half done; and notes go when nobody needs them. */
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import type { ServerAddress } from '../../src/catalog/server-address.ts'
import { consoleLogger } from '../../src/observability/logger.ts'
import { ForgetMoves } from '../../src/transaction/forget-moves.ts'
import { createDatabase } from '../support/databases.ts'

describe('notes of moved rows', () => {
  const port = inject('clusterPort')
  const open: pg.Client[] = []
  let database: string
  let client: pg.Client
  let servers: ServerAddress[]
  let shards: pg.Client[]
  let marker: string

  const connect = async (to: number) => {
    const one = new pg.Client({ host: '127.0.0.1', port: to, user: 'postgres', database })
    one.on('error', () => undefined)
    await one.connect()
    open.push(one)
    return one
  }
  const notes = async () => {
    const counts = await Promise.all(shards.map(async (shard) => (await shard.query<{ n: number }>(`SELECT count(*)::int AS n FROM ${marker}`)).rows[0]?.n ?? 0))
    return counts.reduce((sum, n) => sum + n, 0)
  }

  beforeAll(async () => {
    database = await createDatabase(port, 'moved_rows')
    client = await connect(port)
    await client.query('CREATE TABLE item (id int PRIMARY KEY, n int)')
    await client.query('INSERT INTO item SELECT g, 0 FROM generate_series(1, 50) g')
    const { rows } = await client.query<{ id: number; name: string; host: string; port: number }>("SELECT id, name, host, port FROM pgherd.shards WHERE role = 'primary' ORDER BY id")
    servers = rows
    shards = await Promise.all(rows.map((shard) => connect(shard.port)))
    const found = await shards[0]?.query<{ name: string }>("SELECT oid::regclass::text AS name FROM pg_class WHERE relkind = 'r' AND relname ~ '^m[0-9]+_v[0-9]+$'")
    marker = found?.rows[0]?.name ?? ''
  })
  afterAll(() => Promise.all(open.map((one) => one.end().catch(() => undefined))))

  test('a write of many rows waits for a move that is committed on one shard and prepared on another', async () => {
    const [first, second] = shards as [pg.Client, pg.Client]
    await first.query(`INSERT INTO ${marker} DEFAULT VALUES`)
    await second.query(`BEGIN; INSERT INTO ${marker} DEFAULT VALUES; PREPARE TRANSACTION 'half a move'`)
    let isDone = false
    const write = client.query('UPDATE item SET n = n + 1').then(({ rowCount }) => {
      isDone = true
      return rowCount
    })
    const asks = async () => (await first.query("SELECT FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%pg_locks%' AND query NOT LIKE '%pg_stat_activity%'")).rowCount
    await expect.poll(asks, { timeout: 20_000 }).toBeGreaterThan(0)
    expect(isDone).toBe(false)
    await second.query("COMMIT PREPARED 'half a move'")
    expect(await write).toBe(50)
  })

  test('notes stay as long as a transaction is open that began before them', async () => {
    const forget = new ForgetMoves(() => servers, { user: 'postgres' }, consoleLogger('quiet'))
    const old = await Promise.all(servers.map((server) => connect(server.port)))
    for (const one of old) await one.query('BEGIN; SELECT 1')
    await client.query('UPDATE item SET id = id + 100 WHERE n > 0')
    const left = await notes()
    expect(left).toBeGreaterThan(0)
    await forget.run()
    await forget.run()
    expect(await notes()).toBe(left)
    for (const one of old) await one.query('COMMIT')
    const none = async () => {
      await forget.run()
      return notes()
    }
    await expect.poll(none, { timeout: 20_000 }).toBe(0)
    expect((await client.query('UPDATE item SET n = 5 WHERE n > 0')).rowCount).toBe(50)
  })

  const waited: readonly [string, string, readonly object[] | number][] = [
    ['UPDATE', 'UPDATE back SET n = n + 1 WHERE id = 1', 1],
    ['DELETE', 'DELETE FROM back WHERE id = 1', 1],
    ['UPDATE ... RETURNING', 'UPDATE back SET n = n + 1 WHERE id = 1 RETURNING id', [{ id: 1 }]],
    ['SELECT ... FOR UPDATE', 'SELECT id FROM back WHERE id = 1 FOR UPDATE', [{ id: 1 }]],
    ['UPDATE of a row that has gone for good', 'UPDATE back SET n = n + 1 WHERE id = 2', 0],
  ]

  test.each(waited)('a row that moves away and back in one transaction is found by who waited for it by its key: %s', async (_name, text, expected) => {
    await client.query('CREATE TABLE back (id int PRIMARY KEY, n int)')
    await client.query('INSERT INTO back VALUES (1, 0), (2, 0)')
    const [mover, waiter] = [await connect(port), await connect(port)]
    try {
      await mover.query('BEGIN')
      await mover.query('UPDATE back SET id = id + 1000')
      await waiter.query('BEGIN')
      const found = waiter.query(text)
      const waits = async () => (await Promise.all(shards.map(async (shard) => (await shard.query("SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%pgherd_data%' AND pid <> pg_backend_pid()")).rowCount ?? 0))).some((n) => n > 0)
      await expect.poll(waits, { timeout: 20_000 }).toBe(true)
      await mover.query('UPDATE back SET id = 1 WHERE id = 1001')
      await mover.query('COMMIT')
      const { rows, rowCount } = await found
      expect(typeof expected === 'number' ? rowCount : rows).toEqual(expected)
      await waiter.query('COMMIT')
    } finally {
      // Before the table goes: they may have it locked.
      await Promise.all([mover.end(), waiter.end()])
      await client.query('DROP TABLE back')
    }
  })

  test('a role that may update a table may move its rows', async () => {
    await client.query('CREATE ROLE moved_rows_mover LOGIN; GRANT SELECT, INSERT, UPDATE, DELETE ON item TO moved_rows_mover')
    try {
      await client.query('SET SESSION AUTHORIZATION moved_rows_mover')
      expect((await client.query('UPDATE item SET id = id + 1000')).rowCount).toBe(50)
    } finally {
      await client.query('RESET SESSION AUTHORIZATION')
      await client.query('DROP OWNED BY moved_rows_mover')
      await client.query('DROP ROLE moved_rows_mover')
    }
  })
})
