/** Shards come and go in the catalog while routers run: all of a router goes by the new list. */
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Router } from '../../src/router/router.ts'
import { startSecondRouter, startTestCluster, type TestCluster } from '../support/cluster.ts'

describe('the list of servers', () => {
  let cluster: TestCluster
  let second: Router
  let clients: pg.Client[]
  let catalog: pg.Client

  const connect = async (port: number, database: string) => {
    const client = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', database })
    client.on('error', () => undefined)
    await client.connect()
    return client
  }
  const shardsSeen = async (client: pg.Client) =>
    (await client.query<{ id: number; state: string }>("SELECT id, state FROM pgherd.shards WHERE role = 'primary' ORDER BY id")).rows.map(({ id, state }) => `${id} ${state}`)
  const setState = (state: string) => catalog.query('UPDATE pgherd.shard SET state = $1 WHERE id = 2', [state])
  const allSee = async (list: readonly string[]) => {
    for (const client of clients) await expect.poll(() => shardsSeen(client), { timeout: 60_000 }).toEqual(list)
  }

  beforeAll(async () => {
    cluster = await startTestCluster({ shards: 2, replicas: 0 })
    second = await startSecondRouter(cluster)
    clients = [await connect(cluster.port, 'postgres'), await connect(second.port, 'postgres')]
    catalog = await connect(cluster.running.cluster.catalog.port, 'pgherd')
  }, 120_000)

  afterAll(async () => {
    await Promise.all([...(clients ?? []), catalog].map((client) => client?.end()))
    await second?.stop()
    await cluster?.stop()
  }, 60_000)

  test('changes in every router, and a shard that comes is written to', async () => {
    await allSee(['1 active', '2 active'])
    await setState('removed')
    await allSee(['1 active'])
    const [one, other] = clients as [pg.Client, pg.Client]
    await setState('active')
    await allSee(['1 active', '2 active'])
    await one.query('CREATE TABLE spread (id int PRIMARY KEY, n int)')
    await other.query('BEGIN; INSERT INTO spread SELECT g, 0 FROM generate_series(1, 100) g; COMMIT')
    const owners = await one.query("SELECT DISTINCT shard FROM pgherd.buckets WHERE table_group = (SELECT table_group FROM pgherd.tables WHERE table_name = 'spread') ORDER BY 1")
    expect(owners.rows).toEqual([{ shard: 1 }, { shard: 2 }])
    for (const client of clients) expect((await client.query('SELECT count(*)::int AS n FROM spread')).rows).toEqual([{ n: 100 }])
  }, 180_000)

  test('is read again at once when a snapshot names a shard that is not there', async () => {
    await setState('removed')
    await allSee(['1 active'])
    await setState('active')
    // Whether or not the list was read again by now, no router may take the buckets on shard 2 for lost.
    for (const client of clients) {
      await client.query('CREATE TABLE IF NOT EXISTS bump (n int)')
      expect((await client.query('SELECT count(*)::int AS n FROM spread')).rows).toEqual([{ n: 100 }])
    }
  }, 180_000)
})
