/** Schema changes beside each other and beside running statements, through two routers: what one PostgreSQL gives. */
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Router } from '../../src/router/router.ts'
import { startSecondRouter, startTestCluster } from '../support/cluster.ts'
import type { TestCluster } from '../support/cluster.ts'

describe('schema changes at once', () => {
  let cluster: TestCluster
  let second: Router
  const open: pg.Client[] = []

  const connect = async (router: number): Promise<pg.Client> => {
    const client = new pg.Client({ host: '127.0.0.1', port: router === 0 ? cluster.port : second.port, user: 'postgres', database: 'postgres' })
    await client.connect()
    open.push(client)
    return client
  }
  const run = async (sql: string) => {
    const client = await connect(0)
    try {
      return (await client.query(sql)).rows as Record<string, unknown>[]
    } finally {
      await client.end()
    }
  }
  /** On each server, straight: the shell and the shards must agree. */
  const columnsEverywhere = async (table: string) => {
    const { catalog, shards } = cluster.running.cluster
    const ports = [catalog.port, ...shards.map((shard) => shard.primary.port)]
    return Promise.all(
      ports.map(async (port) => {
        const client = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', database: 'postgres' })
        await client.connect()
        const { rows } = await client.query<{ name: string }>(
          `SELECT attname AS name FROM pg_attribute WHERE attrelid = '${table}'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attname`,
        )
        await client.end()
        return rows.map((row) => row.name)
      }),
    )
  }

  beforeAll(async () => {
    cluster = await startTestCluster({ shards: 2, replicas: 0 })
    second = await startSecondRouter(cluster)
  })

  afterAll(async () => {
    await Promise.all(open.map((client) => client.end()))
    await second.stop()
    await cluster.stop()
  })

  test('twelve sessions of two routers add a column each: none is lost, on no server', async () => {
    await run('CREATE TABLE many (id int PRIMARY KEY)')
    await run('INSERT INTO many SELECT generate_series(1, 20)')
    const clients = await Promise.all(Array.from({ length: 12 }, (_, i) => connect(i % 2)))
    await Promise.all(clients.map((client, i) => client.query(`ALTER TABLE many ADD COLUMN c${i} int DEFAULT ${i}`)))
    const expected = ['id', ...Array.from({ length: 12 }, (_, i) => `c${i}`)].sort()
    expect(await columnsEverywhere('many')).toEqual([expected, expected, expected])
    const [row] = await run('SELECT sum(c0 + c5 + c11) AS sum FROM many')
    expect(row).toEqual({ sum: '320' })
  })

  test('the same name twice: one makes it, the other is told so', async () => {
    const clients = await Promise.all([0, 1, 0, 1].map(connect))
    const results = await Promise.allSettled(clients.map((client) => client.query('CREATE TABLE once (id int PRIMARY KEY)')))
    expect(results.filter((result) => result.status === 'fulfilled')).toHaveLength(1)
    for (const result of results) if (result.status === 'rejected') expect((result.reason as { code: string }).code).toBe('42P07')
  })

  test('a change in a transaction keeps others waiting, and is seen once it is committed', async () => {
    await run('CREATE TABLE waited (id int PRIMARY KEY)')
    const [first, other] = await Promise.all([connect(0), connect(1)])
    await first.query('BEGIN')
    await first.query('ALTER TABLE waited ADD COLUMN a int')
    let done = false
    const waiting = other.query('ALTER TABLE waited ADD COLUMN b int').then(() => (done = true))
    expect(await first.query('SELECT a FROM waited').then(() => done)).toBe(false)
    await first.query('COMMIT')
    await waiting
    expect((await columnsEverywhere('waited'))[1]).toEqual(['a', 'b', 'id'])
    await other.query('INSERT INTO waited (id, a, b) VALUES (1, 2, 3)')
    expect((await first.query('SELECT * FROM waited')).rows).toEqual([{ id: 1, a: 2, b: 3 }])
  })

  test('inserts and reads of both routers go on beside changes of their table', async () => {
    await run('CREATE TABLE busy (id int PRIMARY KEY, v text)')
    const load = { isStopping: false }
    const acknowledged: number[] = []
    const unexpected: string[] = []
    const work = async (worker: number) => {
      const client = await connect(worker % 2)
      for (let i = worker; !load.isStopping; i += 4) {
        try {
          await client.query({ name: 'insert', text: 'INSERT INTO busy (id, v) VALUES ($1, $2)', values: [i, `v${i}`] })
          acknowledged.push(i)
          const { rows } = await client.query<{ v: string }>({ name: 'read', text: 'SELECT id, v FROM busy WHERE id = $1', values: [i] })
          if (rows[0]?.v !== `v${i}`) unexpected.push(`row ${i} is not there`)
        } catch (error) {
          unexpected.push((error as Error).message)
        }
      }
    }
    const workers = Array.from({ length: 4 }, (_, i) => work(i))
    const changer = await connect(1)
    const changes = ['ADD COLUMN w int DEFAULT 3', 'ALTER COLUMN w SET DEFAULT 4', 'ADD CONSTRAINT positive CHECK (id >= 0)', 'DROP COLUMN w', 'DROP CONSTRAINT positive']
    for (let round = 0; round < 3; round++) {
      for (const change of changes) await changer.query(`ALTER TABLE busy ${change}`)
      await changer.query('CREATE INDEX busy_v ON busy (v)')
      await changer.query('DROP INDEX busy_v')
    }
    load.isStopping = true
    await Promise.all(workers)
    expect(unexpected).toEqual([])
    expect(acknowledged.length).toBeGreaterThan(0)
    expect(await run('SELECT count(*)::int AS count FROM busy')).toEqual([{ count: acknowledged.length }])
  })

  test('a statement prepared before goes on, or is told that its result has other columns now', async () => {
    await run('CREATE TABLE prep (id int PRIMARY KEY, v text)')
    await run("INSERT INTO prep VALUES (1, 'one'), (2, 'two')")
    for (const router of [0, 1]) {
      const client = await connect(router)
      const named = { name: 'named', text: 'SELECT id, v FROM prep WHERE id = $1', values: [2] }
      const star = { name: 'star', text: 'SELECT * FROM prep WHERE id = $1', values: [2] }
      await client.query(named)
      await client.query(star)
      await run(`ALTER TABLE prep ADD COLUMN c${router} int DEFAULT 5`)
      expect((await client.query(named)).rows).toEqual([{ id: 2, v: 'two' }])
      const again = await client.query(star).then((result) => result.rows.length, (error: { code: string }) => error.code)
      expect([1, '0A000']).toContain(again)
    }
  })

  test('a transaction that has written a table goes on while a change of it waits', async () => {
    await run('CREATE TABLE held (id int PRIMARY KEY, v int)')
    const [writer, changer] = await Promise.all([connect(0), connect(0)])
    await writer.query('BEGIN')
    await writer.query('INSERT INTO held VALUES (1, 1)')
    const changing = changer.query('ALTER TABLE held ADD COLUMN w int DEFAULT 9')
    // The change holds the shell's table by now, or soon; a new statement has to be described there.
    for (let i = 2; i < 12; i++) await writer.query({ text: `INSERT INTO held (id, v) VALUES ($1, $2) /* ${i} */`, values: [i, i] })
    await writer.query('COMMIT')
    await changing
    expect(await run('SELECT count(*)::int AS count, sum(w)::int AS sum FROM held')).toEqual([{ count: 11, sum: 99 }])
  })

  test('two changes that take two tables in either order: one waits, or one is told of the deadlock', async () => {
    await run('CREATE TABLE one (id int PRIMARY KEY); CREATE TABLE two (id int PRIMARY KEY)')
    const [a, b] = await Promise.all([connect(0), connect(0)])
    await a.query('BEGIN')
    await b.query('BEGIN')
    await a.query('INSERT INTO one VALUES (1)')
    await b.query('INSERT INTO two VALUES (1)')
    const ends = await Promise.allSettled([a.query('ALTER TABLE two ADD COLUMN x int').then(() => a.query('COMMIT')), b.query('ALTER TABLE one ADD COLUMN x int').then(() => b.query('COMMIT'))])
    const failures = ends.filter((end) => end.status === 'rejected').map((end) => (end.reason as { code: string }).code)
    expect(failures).toEqual(['40P01'])
    await Promise.all([a.query('ROLLBACK'), b.query('ROLLBACK')])
  })
})
