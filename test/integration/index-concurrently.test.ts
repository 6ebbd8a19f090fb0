/** CREATE and DROP INDEX CONCURRENTLY: who writes goes on writing, and what fails leaves nothing. */
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { until } from '../crash/support/until.ts'
import { startTestCluster } from '../support/cluster.ts'
import type { TestCluster } from '../support/cluster.ts'

describe('indexes concurrently', () => {
  let cluster: TestCluster
  const open: pg.Client[] = []

  const connect = async (port = cluster.port) => {
    const client = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', database: 'postgres', query_timeout: 30_000 })
    await client.connect()
    open.push(client)
    return client
  }
  const run = async (sql: string, port = cluster.port) => {
    const client = await connect(port)
    try {
      return (await client.query(sql)).rows as Record<string, unknown>[]
    } finally {
      await client.end()
    }
  }
  const ports = () => {
    const { catalog, shards } = cluster.running.cluster
    return [catalog.port, ...shards.map((shard) => shard.primary.port)]
  }
  /** How often an index of this name is on a server, and whether it may be used; parts of no index count as indexes. */
  const everywhere = async (name: string) => {
    const found = await Promise.all(ports().map((port) => run(`SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('${name}')`, port)))
    return found.map((rows) => rows.map((row) => row.indisvalid))
  }
  const parts = async () => {
    const text = `SELECT relname FROM pg_class c WHERE relkind = 'i' AND starts_with(relname, 'pgherd_c') AND NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = c.oid)`
    return (await Promise.all(ports().map((port) => run(text, port)))).flat()
  }
  const isBuilding = async () => {
    const found = await Promise.all(ports().map((port) => run(`SELECT FROM pg_stat_activity WHERE state = 'active' AND query ~ '^CREATE (UNIQUE )?INDEX CONCURRENTLY'`, port)))
    return found.some((rows) => rows.length > 0)
  }
  const kinds = [
    ['distributed', ''],
    ['single', `WITH (pgherd.kind = 'single')`],
  ] as const

  beforeAll(async () => {
    cluster = await startTestCluster({ shards: 2, replicas: 0 })
    const catalog = cluster.running.cluster.catalog.port
    noted.ask = async () => {
      const client = new pg.Client({ host: '127.0.0.1', port: catalog, user: 'postgres', database: 'pgherd' })
      await client.connect()
      const { rowCount } = await client.query('SELECT FROM pgherd.index_change')
      await client.end()
      return rowCount ?? 0
    }
  })
  const noted = { ask: async () => 0 }

  afterAll(async () => {
    await Promise.all(open.map((client) => client.end()))
    await cluster.stop()
  })

  test.each(kinds)('a %s table is written while its index waits for an open transaction', async (kind, how) => {
    const table = `busy_${kind}`
    await run(`CREATE TABLE ${table} (id int PRIMARY KEY, v int) ${how}`)
    await run(`INSERT INTO ${table} SELECT g, g FROM generate_series(1, 100) g`)
    const [holder, builder] = await Promise.all([connect(), connect()])
    await holder.query('BEGIN')
    await holder.query(`UPDATE ${table} SET v = v + 1000`)
    let done = false
    const building = builder.query(`CREATE UNIQUE INDEX CONCURRENTLY ${table}_v ON ${table} (v, id)`).then(({ command }) => {
      done = true
      return command
    })
    await until('the build has begun', isBuilding)
    for (let i = 101; i <= 140; i++) await run(`INSERT INTO ${table} VALUES (${i}, ${i})`)
    expect(done).toBe(false)
    await holder.query('COMMIT')
    expect(await building).toBe('CREATE')
    const holds = kind === 'single' ? (rows: unknown[]) => rows.length <= 1 : (rows: unknown[]) => rows.length === 1
    const found = await everywhere(`${table}_v`)
    expect(found.every(holds)).toBe(true)
    expect(found.flat().every((valid) => valid === true)).toBe(true)
    expect(found.flat()).toHaveLength(kind === 'single' ? 2 : 3)
    await until('nothing is noted', async () => (await noted.ask()) === 0)
    expect(await parts()).toEqual([])
    expect(await run(`SELECT count(*)::int AS n, sum(v)::int AS sum FROM ${table} WHERE v > 0`)).toEqual([{ n: 140, sum: 5050 + 100_000 + 4820 }])
    await expect(run(`CREATE INDEX CONCURRENTLY ${table}_v ON ${table} (v)`)).rejects.toMatchObject({ code: '42P07' })
    await run(`CREATE INDEX CONCURRENTLY IF NOT EXISTS ${table}_v ON ${table} (v)`)
    await run(`DROP INDEX CONCURRENTLY ${table}_v`)
    expect((await everywhere(`${table}_v`)).flat()).toEqual([])
  })

  test.each(kinds)('a duplicate in a %s table: the user hears what PostgreSQL says, and nothing is left', async (kind, how) => {
    const table = `twice_${kind}`
    await run(`CREATE TABLE ${table} (id int, v int) ${kind === 'distributed' ? `WITH (pgherd.shard_key = 'id')` : how}`)
    await run(`INSERT INTO ${table} SELECT g, g FROM generate_series(1, 60) g`)
    await run(`INSERT INTO ${table} VALUES (7, 7)`)
    const create = `CREATE UNIQUE INDEX CONCURRENTLY ${table}_v ON ${table} (v, id)`
    await expect(run(create)).rejects.toMatchObject({
      code: '23505',
      message: `could not create unique index "${table}_v"`,
      detail: 'Key (v, id)=(7, 7) is duplicated.',
      table,
      constraint: `${table}_v`,
    })
    expect((await everywhere(`${table}_v`)).flat()).toEqual([])
    await run(`DROP INDEX IF EXISTS ${table}_v`)
    await run(`DELETE FROM ${table} WHERE id = 7`)
    await run(create)
    expect((await everywhere(`${table}_v`)).flat()).toHaveLength(kind === 'single' ? 2 : 3)
    await until('nothing is noted', async () => (await noted.ask()) === 0)
    expect(await parts()).toEqual([])
    await expect(run(`INSERT INTO ${table} VALUES (8, 8)`)).rejects.toMatchObject({ code: '23505', constraint: `${table}_v` })
    await run(`ALTER TABLE ${table} ADD COLUMN w int`)
    await run(`DROP TABLE ${table}`)
  })

  test('where one shard fails, the others give up waiting, and it is the failure that the user hears of', async () => {
    await run(`CREATE TABLE one_fails (id int, v int) WITH (pgherd.shard_key = 'id')`)
    await run('INSERT INTO one_fails SELECT g, g FROM generate_series(1, 60) g')
    const [, first = 0, last = 0] = ports()
    const [{ id } = {}] = await run('SELECT id FROM one_fails LIMIT 1', last)
    await run(`INSERT INTO one_fails VALUES (${id}, ${id})`)
    const holder = await connect(first)
    await holder.query('BEGIN')
    await holder.query('UPDATE one_fails SET v = v')
    await expect(run('CREATE UNIQUE INDEX CONCURRENTLY one_fails_v ON one_fails (v, id)')).rejects.toMatchObject({ code: '23505' })
    await holder.query('COMMIT')
    await until('nothing is noted', async () => (await noted.ask()) === 0)
    expect(await parts()).toEqual([])
  })

  test('a cancelled build leaves nothing, and other changes of the table go on', async () => {
    await run('CREATE TABLE given_up (id int PRIMARY KEY, v int)')
    await run('INSERT INTO given_up SELECT g, g FROM generate_series(1, 100) g')
    const [holder, builder] = await Promise.all([connect(), connect()])
    await holder.query('BEGIN')
    await holder.query('UPDATE given_up SET v = 0')
    const [{ pid } = { pid: 0 }] = (await builder.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')).rows
    const building = builder.query('CREATE INDEX CONCURRENTLY given_up_v ON given_up (v)').then(() => 'done', (error: { code: string }) => error.code)
    await until('the build has begun', isBuilding)
    await run(`SELECT pg_cancel_backend(${pid})`)
    expect(await building).toBe('57014')
    await holder.query('COMMIT')
    await until('nothing is noted', async () => (await noted.ask()) === 0)
    expect(await parts()).toEqual([])
    await run('CREATE INDEX given_up_v ON given_up (v)')
    expect((await everywhere('given_up_v')).flat()).toEqual([true, true, true])
  })

  test('DROP INDEX CONCURRENTLY waits for an open transaction without keeping writers waiting', async () => {
    await run('CREATE TABLE dropping (id int PRIMARY KEY, v int)')
    await run('CREATE INDEX dropping_v ON dropping (v)')
    const [holder, dropper] = await Promise.all([connect(), connect()])
    await holder.query('BEGIN')
    await holder.query('INSERT INTO dropping SELECT g, g FROM generate_series(1, 50) g')
    let done = false
    const drop = dropper.query('DROP INDEX CONCURRENTLY dropping_v').then(() => (done = true))
    for (let i = 100; i < 130; i++) await run(`INSERT INTO dropping VALUES (${i}, ${i})`)
    expect(done).toBe(false)
    await holder.query('COMMIT')
    await drop
    expect((await everywhere('dropping_v')).flat()).toEqual([])
  })

  test('of a reference table, whose writers come one by one, it is made and dropped as ever', async () => {
    await run(`CREATE TABLE copied (id int PRIMARY KEY, v int) WITH (pgherd.kind = 'reference')`)
    await run('INSERT INTO copied SELECT g, g FROM generate_series(1, 20) g')
    await run('CREATE INDEX CONCURRENTLY copied_v ON copied (v)')
    expect((await everywhere('copied_v')).flat()).toEqual([true, true, true])
    await run('DROP INDEX CONCURRENTLY copied_v')
    expect((await everywhere('copied_v')).flat()).toEqual([])
  })

  test('an index that the table has to be moved for is made as ever', async () => {
    await run('CREATE TABLE to_one (id int PRIMARY KEY, v int)')
    await run('INSERT INTO to_one SELECT g, g FROM generate_series(1, 20) g')
    await run('CREATE UNIQUE INDEX CONCURRENTLY to_one_v ON to_one (v)')
    await expect(run('INSERT INTO to_one VALUES (21, 20)')).rejects.toMatchObject({ code: '23505' })
  })
})
