/** A shard is emptied and leaves, while a router hears nothing of it. */
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Router } from '../../src/router/router.ts'
import type { TestCluster } from '../support/cluster.ts'
import { startSecondRouter, startTestCluster } from '../support/cluster.ts'

const connect = async (port: number, database = 'postgres') => {
  const client = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', database })
  client.on('error', () => undefined)
  await client.connect()
  return client
}

describe('a shard leaves', () => {
  let cluster: TestCluster
  let client: pg.Client
  let catalog: pg.Client
  let third: pg.Client
  const others: { router: Router; client: pg.Client; hear: () => void }[] = []
  const count = async (one: pg.Client, text: string) => (await one.query<{ n: number }>(`SELECT count(*)::int AS n FROM ${text}`)).rows[0]?.n
  const wake = async (i: number) => {
    const { client: one, hear } = others[i] as (typeof others)[number]
    expect(await count(one, `pgherd.shards WHERE role = 'primary'`)).toBe(3)
    hear()
    return one
  }

  beforeAll(async () => {
    cluster = await startTestCluster({ shards: 3, replicas: 0 })
    client = await connect(cluster.port)
    catalog = await connect(cluster.running.cluster.catalog.port)
    third = await connect(cluster.running.cluster.shards[2]?.primary.port ?? 0)
    await client.query(`CREATE TABLE people (id int PRIMARY KEY, n int); INSERT INTO people SELECT g, 1 FROM generate_series(1, 500) g;
      CREATE TABLE countries (code text PRIMARY KEY, n int) WITH (pgherd.kind = 'reference'); INSERT INTO countries VALUES ('ch', 0)`)
    for (let i = 0; i < 8; i++) await client.query(`CREATE TABLE single${i} (a int)`)
    await client.query('CREATE DATABASE shop')
  }, 120_000)

  afterAll(async () => {
    await Promise.all([client, catalog, third, ...others.map((one) => one.client)].map((one) => one?.end()))
    await Promise.all(others.map(({ router }) => router.stop()))
    await cluster?.stop()
  }, 60_000)

  test('not while it has buckets or tables', async () => {
    await expect(client.query(`SELECT pgherd.remove_shard('shard3')`)).rejects.toMatchObject({ code: '55006', message: expect.stringContaining('buckets of table group') as string, hint: expect.stringContaining('drain_shard') as string })
    await expect(client.query(`SELECT pgherd.remove_shard('nobody')`)).rejects.toMatchObject({ code: '42704' })
    expect((await client.query(`SELECT DISTINCT state FROM pgherd.shards`)).rows).toEqual([{ state: 'active' }])
  }, 60_000)

  test('while it is drained it gets nothing new, and a rebalance takes away what it has', async () => {
    await client.query(`SELECT pgherd.drain_shard('shard3')`)
    expect((await client.query(`SELECT state FROM pgherd.shards WHERE id = 3`)).rows).toEqual([{ state: 'draining' }])
    const before = (await catalog.query('SELECT count(*)::int AS n FROM pgherd.placement WHERE shard_id = 3')).rows
    await client.query('CREATE TABLE texts (id text PRIMARY KEY); INSERT INTO texts SELECT g FROM generate_series(1, 100) g')
    for (let i = 0; i < 8; i++) await client.query(`CREATE TABLE later${i} (a int)`)
    expect((await catalog.query('SELECT count(*)::int AS n FROM pgherd.placement WHERE shard_id = 3')).rows).toEqual(before)
    expect(await count(client, `pgherd.buckets WHERE shard = 3 AND table_group = (SELECT table_group FROM pgherd.tables WHERE table_name = 'texts')`)).toBe(0)
    await client.query('SELECT pgherd.rebalance()')
    await client.query('SELECT pgherd.wait_for_moves()')
    expect((await catalog.query('SELECT (SELECT count(*) FROM pgherd.bucket WHERE shard_id = 3)::int AS buckets, (SELECT count(*) FROM pgherd.placement WHERE shard_id = 3)::int AS tables')).rows).toEqual([{ buckets: 0, tables: 0 }])
    expect(await count(client, 'people')).toBe(500)
  }, 120_000)

  test('in all databases, and what it had decided is known afterwards', async () => {
    for (let i = 0; i < 4; i++) {
      const router = await startSecondRouter(cluster)
      const one = await connect(router.port)
      await one.query('SELECT count(*) FROM people, countries')
      const { list } = router['services'].shards
      const read = list.refresh.bind(list)
      list.refresh = () => Promise.resolve()
      others.push({ router, client: one, hear: () => (list.refresh = read) })
    }
    await catalog.query(`SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = 'pgherd' AND pid <> pg_backend_pid()`)
    await client.query('BEGIN')
    const id = (await client.query<{ id: string }>('SELECT pgherd.transaction_id() AS id')).rows[0]?.id
    await client.query('ROLLBACK')
    await third.query('SELECT pgherd.decide($1)', [id])
    expect((await client.query(`SELECT pgherd.remove_shard('3')`)).rows).toEqual([{ remove_shard: '3' }])
    expect(await count(client, 'pgherd.shards')).toBe(2)
    expect((await client.query(`SELECT pgherd.transaction_status('${id}') AS status`)).rows).toEqual([{ status: 'committed' }])
    await expect(client.query(`SELECT pgherd.add_shard('127.0.0.1', ${cluster.running.cluster.shards[2]?.primary.port})`)).rejects.toMatchObject({ code: '55000' })
  }, 60_000)

  test('a router that has heard of nothing writes reference tables without it', async () => {
    const stale = await wake(0)
    await stale.query(`UPDATE countries SET n = 1`)
    expect((await client.query('SELECT n FROM countries')).rows).toEqual([{ n: 1 }])
    expect((await third.query('SELECT n FROM countries')).rows).toEqual([{ n: 0 }])
  }, 60_000)

  test('changes the schema without it', async () => {
    const stale = await wake(1)
    await stale.query('CREATE TABLE after (id int PRIMARY KEY); CREATE ROLE afterwards')
    expect((await third.query(`SELECT to_regclass('after') AS there`)).rows).toEqual([{ there: null }])
    expect((await third.query(`SELECT FROM pg_roles WHERE rolname = 'afterwards'`)).rowCount).toBe(0)
  }, 60_000)

  test('makes databases without it', async () => {
    const stale = await wake(2)
    await stale.query('CREATE DATABASE store')
    await expect(connect(cluster.running.cluster.shards[2]?.primary.port ?? 0, 'store')).rejects.toMatchObject({ code: '3D000' })
    await stale.query('DROP DATABASE store')
  }, 60_000)

  test('and reads at one moment when its server is gone', async () => {
    const stale = await wake(3)
    await third.end()
    await cluster.running.cluster.shards[2]?.primary.stop()
    await stale.query(`SET pgherd.read_consistency = 'atomic'`)
    expect(await count(stale, 'people')).toBe(500)
    expect(await count(client, 'people')).toBe(500)
    await client.query(`INSERT INTO countries VALUES ('fr', 1)`)
  }, 60_000)
})
