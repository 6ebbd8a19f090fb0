/** Whoever lets a shard join may die, or be asleep, at every step: it is given up or finished by somebody else, and nothing is left behind. */
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { addShard } from '../../src/admin/shard-add.ts'
import type { Router } from '../../src/router/router.ts'
import type { TestCluster, TestServer } from '../support/cluster.ts'
import { startPlainPostgres, startSecondRouter, startTestCluster } from '../support/cluster.ts'

const connect = async (port: number, database = 'postgres') => {
  const client = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', database })
  client.on('error', () => undefined)
  await client.connect()
  return client
}

describe('a join that is broken off', () => {
  let cluster: TestCluster
  let sleeper: Router
  let fresh: TestServer
  let client: pg.Client
  let catalog: pg.Client

  beforeAll(async () => {
    ;[cluster, fresh] = await Promise.all([startTestCluster({ shards: 1, replicas: 0 }), startPlainPostgres()])
    sleeper = await startSecondRouter(cluster)
    client = await connect(cluster.port)
    catalog = await connect(cluster.running.cluster.catalog.port)
    await client.query(`CREATE ROLE somebody; CREATE TABLE people (id int PRIMARY KEY); INSERT INTO people SELECT generate_series(1, 100);
      CREATE TABLE countries (code text PRIMARY KEY) WITH (pgherd.kind = 'reference'); INSERT INTO countries VALUES ('ch')`)
    await client.query('CREATE DATABASE shop')
  }, 120_000)

  afterAll(async () => {
    await Promise.all([client, catalog].map((one) => one?.end()))
    await sleeper?.stop()
    await cluster?.stop()
    await fresh?.stop()
  }, 60_000)

  /** The other router begins, and stops at a step. It wakes by `wake`, and ends with `result`. */
  const begin = async (step: string) => {
    let wake = () => undefined as void
    const sleep = new Promise<void>((resolve) => (wake = resolve))
    let stopped = () => undefined as void
    const isThere = new Promise<void>((resolve) => (stopped = resolve))
    const onStep = (name: string) => {
      if (name !== step) return undefined
      stopped()
      return sleep
    }
    const result = addShard([{ host: '127.0.0.1', port: fresh.port }], { ...sleeper['services'].shards, onStep }).then(
      (shard) => ({ shard }),
      (error: Error) => ({ error: error.message }),
    )
    await Promise.race([isThere, result.then((end) => { throw new Error(`${step}: ${JSON.stringify(end)}`) })])
    return { wake, result }
  }

  /** Its connections that are in a transaction are ended, as when it dies, or PostgreSQL ends what idles. */
  const endTransactions = async () => {
    for (const port of [cluster.running.cluster.catalog.port, cluster.running.cluster.shards[0]?.primary.port ?? 0, fresh.port]) {
      const server = await connect(port)
      await server.query(`SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%' AND pid <> pg_backend_pid()`)
      await server.end()
    }
  }

  const isEmpty = async () => {
    const server = await connect(fresh.port)
    const { rows } = await server.query(`SELECT (SELECT array_agg(datname::text ORDER BY datname) FROM pg_database) AS databases, (SELECT count(*) FROM pg_roles WHERE oid >= 16384)::int AS roles,
      (SELECT count(*) FROM pg_prepared_xacts)::int AS prepared, to_regnamespace('pgherd') AS schema, to_regclass('people') AS people`)
    await server.end()
    expect(rows).toEqual([{ databases: ['postgres', 'template0', 'template1'], roles: 0, prepared: 0, schema: null, people: null }])
  }
  const shards = async () => (await client.query<{ name: string; state: string }>('SELECT name, state FROM pgherd.shards ORDER BY id')).rows.map(({ name, state }) => `${name} ${state}`)

  test.each(['roles', 'database postgres', 'database shop', 'objects of postgres', 'tables of postgres', 'markers of postgres', 'commit of postgres'])(
    'at "%s" it is given up by another router, and the first does nothing more when it wakes',
    async (step) => {
      const { wake, result } = await begin(step)
      await endTransactions()
      await expect(client.query('CREATE ROLE nobody')).rejects.toMatchObject({ code: '55006', hint: expect.stringContaining('remove_shard') as string })
      await expect(client.query('CREATE DATABASE nothing')).rejects.toMatchObject({ code: '55006' })
      const { rows } = await catalogOfCluster(`SELECT name FROM pgherd.shard WHERE state = 'joining'`)
      await client.query(`SELECT pgherd.remove_shard($1)`, [rows[0]?.name])
      await isEmpty()
      wake()
      expect(await result).toHaveProperty('error')
      await isEmpty()
      expect(await shards()).toEqual(['shard1 active'])
      await client.query(`CREATE ROLE after; DROP ROLE after; CREATE TABLE other (id int PRIMARY KEY); DROP TABLE other; UPDATE countries SET code = 'ch'`)
      expect((await client.query('SELECT count(*)::int AS n FROM people')).rows).toEqual([{ n: 100 }])
    },
    60_000,
  )

  const catalogOfCluster = async (text: string) => {
    const one = await connect(cluster.running.cluster.catalog.port, 'pgherd')
    try {
      return await one.query<{ name: string }>(text)
    } finally {
      await one.end()
    }
  }

  test('what cannot be made keeps it out, by name, and nothing is left', async () => {
    await client.query(`CREATE AGGREGATE sum_of (int) (SFUNC = int4pl, STYPE = int)`)
    await expect(client.query(`SELECT pgherd.add_shard('127.0.0.1', ${fresh.port})`)).rejects.toMatchObject({ code: '0A000', message: expect.stringContaining('sum_of') as string })
    await isEmpty()
    expect(await shards()).toEqual(['shard1 active'])
    await client.query('DROP AGGREGATE sum_of (int)')
  }, 60_000)

  test('after a database has joined it is finished by whoever repeats it', async () => {
    const { wake, result } = await begin('commit of shop')
    await endTransactions()
    const { rows } = await client.query<{ add_shard: string }>(`SELECT pgherd.add_shard('127.0.0.1', ${fresh.port})`)
    wake()
    expect(await result).toHaveProperty('error')
    expect(await shards()).toEqual(['shard1 active', `${rows[0]?.add_shard} active`])
    await client.query(`INSERT INTO countries VALUES ('fr'); CREATE ROLE more`)
    const server = await connect(fresh.port)
    expect((await server.query('SELECT count(*)::int AS n FROM countries')).rows).toEqual([{ n: 2 }])
    expect((await server.query(`SELECT count(*)::int AS n FROM pg_roles WHERE rolname IN ('more', 'somebody')`)).rows).toEqual([{ n: 2 }])
    await server.end()
  }, 60_000)
})
