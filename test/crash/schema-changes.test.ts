/** kill -9 of the router between any two steps of a schema change: it has happened on all servers or on none. */
import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { PostgresServer } from '../../src/embedded/postgres-server.ts'
import { killAtOnce, processesIn } from './support/processes.ts'
import type { When } from './support/holding-proxy.ts'
import { ProxiedCluster } from './support/proxied-cluster.ts'
import type { Server } from './support/servers.ts'
import { ask, connect, preparedNames, startAgain } from './support/servers.ts'
import { until } from './support/until.ts'

/** A prepared transaction must be 5 s old before another router takes it for abandoned. */
const recoveredMsMax = 30_000

interface Step {
  readonly name: string
  readonly server: number
  readonly text: string
  readonly when: When
}

/** The catalog decides every schema change. */
const steps: readonly Step[] = [
  { name: 'a shard is to prepare', server: 1, text: 'PREPARE TRANSACTION', when: 'before' },
  { name: 'a shard has prepared', server: 2, text: 'PREPARE TRANSACTION', when: 'after' },
  { name: 'it is to be decided', server: 0, text: 'pgherd.decide', when: 'before' },
  { name: 'it was decided', server: 0, text: 'pgherd.decide', when: 'after' },
  { name: 'a shard is to commit', server: 1, text: 'COMMIT PREPARED', when: 'before' },
  { name: 'a shard has committed', server: 2, text: 'COMMIT PREPARED', when: 'after' },
]

describe('schema changes', () => {
  let cluster: ProxiedCluster
  let port = 0
  const restarted: PostgresServer[] = []

  beforeAll(async () => {
    cluster = await ProxiedCluster.start()
    port = await cluster.startRouter()
  })

  afterAll(async () => {
    await cluster.stop(() => Promise.all(restarted.map((postgres) => postgres.stop())))
  })

  /** Kills the router at the step of what `sql` begins, and starts another. */
  const crashAt = async (step: Step, sql: string) => {
    const reached = cluster.proxies[step.server]?.hold(step.text, step.when)
    const client: pg.Client = await connect(port)
    const answer = client.query(sql).then(() => 'done', (error: Error) => error.message)
    const first = await Promise.race([reached, answer])
    expect(first, 'the statement ended before the step was reached').toBeUndefined()
    await cluster.killRouter()
    expect(await answer).not.toBe('done')
    await client.end().catch(() => undefined)
    port = await cluster.startRouter()
    await until('no prepared transaction is left', async () => (await preparedNames(cluster.servers)).length === 0, recoveredMsMax)
  }

  const columnsOn = async (server: number, table: string) => {
    const rows = await ask<{ attname: string }>(
      cluster.servers[server]?.port ?? 0,
      `SELECT attname FROM pg_attribute WHERE attrelid = '${table}'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum`,
    )
    return rows.map((row) => row.attname)
  }

  test.each(steps.map((step, i) => [step.name, step, i] as const))('ALTER TABLE, when %s', async (_name, step, i) => {
    const table = `altered_${i}`
    await ask(port, `CREATE TABLE ${table} (id int PRIMARY KEY, v text)`)
    await ask(port, `INSERT INTO ${table} SELECT g, 'v' || g FROM generate_series(1, 40) g`)
    await crashAt(step, `ALTER TABLE ${table} ADD COLUMN w int DEFAULT 7`)
    const [shell, ...shards] = await Promise.all([0, 1, 2].map((server) => columnsOn(server, table)))
    for (const columns of shards) expect(columns).toEqual(shell)
    const decided = step.text === 'COMMIT PREPARED' || (step.text === 'pgherd.decide' && step.when === 'after')
    expect(shell).toEqual(decided ? ['id', 'v', 'w'] : ['id', 'v'])
    await ask(port, `INSERT INTO ${table} (id, v) VALUES (41, 'new')`)
    const [row] = await ask<{ count: string }>(port, `SELECT count(*) FROM ${table}`)
    expect(row?.count).toBe('41')
    await ask(port, `ALTER TABLE ${table} ADD COLUMN x int`)
    await ask(port, `DROP TABLE ${table}`)
  })

  test.each(steps.map((step, i) => [step.name, step, i] as const))('create_distributed_table with rows, when %s', async (_name, step, i) => {
    const table = `spread_${i}`
    await ask(port, `CREATE TABLE ${table} (id int, v text)`)
    await ask(port, `INSERT INTO ${table} SELECT g, 'v' || g FROM generate_series(1, 200) g`)
    await crashAt(step, `SELECT create_distributed_table('${table}', 'id')`)
    const rows = await ask<{ count: string; sum: string }>(port, `SELECT count(*), sum(id) FROM ${table}`)
    expect(rows).toEqual([{ count: '200', sum: '20100' }])
    expect(await ask<{ v: string }>(port, `SELECT v FROM ${table} WHERE id = 77`)).toEqual([{ v: 'v77' }])
    const [kind] = await ask<{ kind: string }>(port, `SELECT kind FROM pgherd.tables WHERE table_name = '${table}'`)
    const decided = step.text === 'COMMIT PREPARED' || (step.text === 'pgherd.decide' && step.when === 'after')
    expect(kind?.kind).toBe(decided ? 'distributed' : 'single')
    await ask(port, `SELECT ${decided ? `undistribute_table('${table}')` : `create_distributed_table('${table}', 'id')`}`)
    await ask(port, `INSERT INTO ${table} VALUES (500, 'x')`)
    expect(await ask<{ count: string }>(port, `SELECT count(*) FROM ${table}`)).toEqual([{ count: '201' }])
  })

  test.each(steps.filter((step) => step.server !== 0).map((step, i) => [step.name, step, i] as const))('a shard is killed, when %s; the router goes on', async (_name, step, i) => {
    const table = `shard_killed_${i}`
    const server = cluster.servers[step.server] as Server
    await ask(port, `CREATE TABLE ${table} (id int PRIMARY KEY, v text)`)
    await ask(port, `INSERT INTO ${table} SELECT g, 'v' || g FROM generate_series(1, 40) g`)
    const reached = cluster.proxies[step.server]?.hold(step.text, step.when)
    const answer = ask(port, `ALTER TABLE ${table} ADD COLUMN w int DEFAULT 7`).then(() => 'done', (error: Error) => error.message)
    await reached
    killAtOnce(processesIn(server.dataDir))
    const done = (await answer) === 'done'
    const postgres = await startAgain(server)
    restarted.push(postgres)
    await until('no prepared transaction is left', async () => (await preparedNames(cluster.servers)).length === 0, recoveredMsMax)
    const [shell, ...shards] = await Promise.all([0, 1, 2].map((id) => columnsOn(id, table)))
    for (const columns of shards) expect(columns).toEqual(shell)
    expect(shell).toEqual(done ? ['id', 'v', 'w'] : ['id', 'v'])
    expect(done).toBe(step.text === 'COMMIT PREPARED')
    expect(await ask<{ count: string }>(port, `SELECT count(*) FROM ${table}`)).toEqual([{ count: '40' }])
  })

  const databaseSteps: readonly Step[] = [
    { name: 'the catalog is to make it', server: 0, text: 'CREATE DATABASE', when: 'before' },
    { name: 'the catalog has made it', server: 0, text: 'CREATE DATABASE', when: 'after' },
    { name: 'the first shard has made it', server: 1, text: 'CREATE DATABASE', when: 'after' },
    { name: 'the last shard is to make it', server: 2, text: 'CREATE DATABASE', when: 'before' },
    { name: "a shard is to get pgherd's tables", server: 2, text: 'CREATE TABLE pgherd.decision', when: 'before' },
    { name: "the catalog is to get pgherd's tables", server: 0, text: 'CREATE TABLE pgherd.placement', when: 'before' },
    { name: 'it is to be forgotten that it was under way', server: 0, text: 'DELETE FROM pgherd.database_change', when: 'before' },
  ]

  const holders = async (name: string) => {
    const found = await Promise.all(cluster.servers.map((server) => ask(server.port, `SELECT FROM pg_database WHERE datname = '${name}'`)))
    return found.map((rows) => rows.length === 1)
  }
  const noneUnderWay = () =>
    until('no change of a database is under way', async () => (await ask(cluster.servers[0]?.port ?? 0, 'SELECT FROM pgherd.database_change', 'pgherd')).length === 0, recoveredMsMax)
  const works = async (name: string) => {
    await ask(port, 'CREATE TABLE t (id int PRIMARY KEY)', name)
    await ask(port, 'INSERT INTO t SELECT generate_series(1, 40)', name)
    expect(await ask<{ count: string }>(port, 'SELECT count(*) FROM t', name)).toEqual([{ count: '40' }])
  }

  test.each(databaseSteps.map((step, i) => [step.name, step, i] as const))('CREATE DATABASE, when %s', async (_name, step, i) => {
    const name = `made_${i}`
    await crashAt(step, `CREATE DATABASE ${name}`)
    await noneUnderWay()
    const isThere = step.text.startsWith('DELETE')
    expect(await holders(name)).toEqual([isThere, isThere, isThere])
    if (!isThere) await ask(port, `CREATE DATABASE ${name}`)
    await works(name)
  })

  const dropSteps: readonly Step[] = [
    { name: 'the catalog is to drop it', server: 0, text: 'DROP DATABASE', when: 'before' },
    { name: 'the catalog has dropped it', server: 0, text: 'DROP DATABASE', when: 'after' },
    { name: 'the first shard has dropped it', server: 1, text: 'DROP DATABASE', when: 'after' },
    { name: 'the last shard is to drop it', server: 2, text: 'DROP DATABASE', when: 'before' },
  ]

  test.each(dropSteps.map((step, i) => [step.name, step, i] as const))('DROP DATABASE, when %s', async (_name, step, i) => {
    const name = `dropped_${i}`
    await ask(port, `CREATE DATABASE ${name}`)
    await works(name)
    await crashAt(step, `DROP DATABASE ${name}`)
    await noneUnderWay()
    const isThere = i === 0
    expect(await holders(name)).toEqual([isThere, isThere, isThere])
    if (isThere) await ask(port, 'INSERT INTO t VALUES (41)', name)
    else await ask(port, `CREATE DATABASE ${name}`)
    if (!isThere) await works(name)
  })

  const indexSteps: readonly Step[] = [
    { name: 'nothing is built yet', server: 1, text: 'INDEX CONCURRENTLY pgherd_c', when: 'before' },
    { name: 'a part is built', server: 2, text: 'INDEX CONCURRENTLY pgherd_c', when: 'after' },
    { name: 'all is built, and a shard is to prepare', server: 1, text: 'PREPARE TRANSACTION', when: 'before' },
    { name: 'it was decided', server: 0, text: 'pgherd.decide', when: 'after' },
    { name: 'a shard is to commit', server: 1, text: 'COMMIT PREPARED', when: 'before' },
    { name: 'it is to be forgotten that it was under way', server: 0, text: 'DELETE FROM pgherd.index_change', when: 'before' },
  ]
  const indexesOn = (server: number, table: string) =>
    ask<{ name: string; valid: boolean }>(
      cluster.servers[server]?.port ?? 0,
      `SELECT c.relname AS name, x.indisvalid AS valid FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid
       WHERE x.indrelid IN (SELECT relid FROM pg_partition_tree('${table}') UNION SELECT '${table}'::regclass) AND NOT x.indisprimary
         AND NOT EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = c.oid) ORDER BY 1`,
    )
  const noBuildNoted = () =>
    until('no build of an index is noted', async () => (await ask(cluster.servers[0]?.port ?? 0, 'SELECT FROM pgherd.index_change', 'pgherd')).length === 0, recoveredMsMax)

  test.each(indexSteps.map((step, i) => [step.name, step, i] as const))('CREATE INDEX CONCURRENTLY, when %s', async (_name, step, i) => {
    const table = `indexed_${i}`
    await ask(port, `CREATE TABLE ${table} (id int PRIMARY KEY, v int)`)
    await ask(port, `INSERT INTO ${table} SELECT g, g FROM generate_series(1, 80) g`)
    await crashAt(step, `CREATE UNIQUE INDEX CONCURRENTLY ${table}_v ON ${table} (v, id)`)
    await noBuildNoted()
    const isThere = i >= 3
    for (const server of [0, 1, 2]) expect(await indexesOn(server, table)).toEqual(isThere ? [{ name: `${table}_v`, valid: true }] : [])
    if (!isThere) await ask(port, `CREATE UNIQUE INDEX CONCURRENTLY ${table}_v ON ${table} (v, id)`)
    for (const server of [0, 1, 2]) expect(await indexesOn(server, table)).toEqual([{ name: `${table}_v`, valid: true }])
    await ask(port, `DROP INDEX CONCURRENTLY ${table}_v`)
    for (const server of [0, 1, 2]) expect(await indexesOn(server, table)).toEqual([])
  })

  test('CREATE INDEX CONCURRENTLY that waits for a transaction: the server gives up building for a router that is gone', async () => {
    await ask(port, 'CREATE TABLE left_alone (id int PRIMARY KEY, v int)')
    await ask(port, 'INSERT INTO left_alone SELECT g, g FROM generate_series(1, 80) g')
    const shard = cluster.servers[1]?.port ?? 0
    const holder = await connect(shard)
    await holder.query('BEGIN')
    await holder.query('UPDATE left_alone SET v = v')
    const client = await connect(port)
    const answer = client.query('CREATE INDEX CONCURRENTLY left_alone_v ON left_alone (v)').then(() => 'done', () => 'lost')
    const building = () => ask(shard, `SELECT FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX CONCURRENTLY pgherd%' AND state = 'active'`)
    await until('the shard builds', async () => (await building()).length === 1)
    await cluster.killRouter()
    expect(await answer).toBe('lost')
    port = await cluster.startRouter()
    await until('the shard builds no more', async () => (await building()).length === 0)
    await holder.query('COMMIT')
    await holder.end()
    await noBuildNoted()
    for (const server of [0, 1, 2]) expect(await indexesOn(server, 'left_alone')).toEqual([])
    await ask(port, 'CREATE INDEX left_alone_v ON left_alone (v)')
    for (const server of [0, 1, 2]) expect(await indexesOn(server, 'left_alone')).toEqual([{ name: 'left_alone_v', valid: true }])
  })

  test('CREATE DATABASE leaves alone what is on a shard already', async () => {
    await ask(cluster.servers[2]?.port ?? 0, 'CREATE DATABASE somebodys')
    await expect(ask(port, 'CREATE DATABASE somebodys')).rejects.toMatchObject({ code: '42P04' })
    expect(await holders('somebodys')).toEqual([false, false, true])
    await noneUnderWay()
  })
})
