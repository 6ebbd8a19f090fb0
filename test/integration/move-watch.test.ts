/** Movers find moves on connections that they keep, and now and then those of databases that no router serves. */
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { realClock } from '../../src/base/clock.ts'
import { limits } from '../../src/base/limits.ts'
import { MoveWatch } from '../../src/rebalance/move-watch.ts'
import { wishOfMoves } from '../../src/rebalance/move-requests.ts'
import { until } from '../crash/support/until.ts'
import type { TestCluster } from '../support/cluster.ts'
import { startTestCluster } from '../support/cluster.ts'
import { Moving } from './move/moving.ts'

let cluster: TestCluster
let moving: Moving

beforeAll(async () => {
  cluster = await startTestCluster({ shards: 2, replicas: 0 })
  moving = await Moving.of(cluster)
  await moving.stopMovers()
})

afterAll(async () => {
  await moving.stop()
  await cluster.stop()
})

test('a served database is asked on one connection; another is found when all are looked at', async () => {
  const client = new pg.Client({ host: '127.0.0.1', port: cluster.port, user: 'postgres', database: 'postgres' })
  await client.connect()
  await client.query('CREATE DATABASE elsewhere')
  await client.query('CREATE TABLE t (id int PRIMARY KEY)')
  await client.end()
  let ticks = realClock.ticks()
  const clock = { ...realClock, ticks: () => ticks }
  const watch = new MoveWatch({ catalog: moving.catalog, credentials: { user: 'postgres' }, clock, databases: () => ['postgres'] })
  const catalog = await moving.on(moving.catalog)
  const elsewhere = await moving.on(moving.catalog, 'elsewhere')
  const sessions = async () => Number((await catalog.query<{ n: string }>(`SELECT sessions AS n FROM pg_stat_database WHERE datname = 'postgres'`)).rows[0]?.n)
  try {
    expect([...(await watch.unfinished()).keys()]).toEqual([])
    const { group, owners } = await moving.buckets('t')
    const [id = 0] = await moving.request({ group, bucket: 0, target: 3 - (owners[0] ?? 0) })
    await elsewhere.query('INSERT INTO pgherd.move (group_id, bucket, source, target) VALUES (1, 0, 1, 2)')
    // The router beside it connects now and then for other reasons.
    await until('20 looks need no new connection', async () => {
      const before = await sessions()
      for (let i = 0; i < 20; i++) expect([...(await watch.unfinished())].map(([database, moves]) => [database, ...moves.map((move) => move.id)])).toEqual([['postgres', id]])
      return (await sessions()) === before
    })

    ticks += limits.moverLookEverywhereMs
    expect([...(await watch.unfinished()).keys()]).toEqual(['postgres', 'elsewhere'])
    expect([...(await watch.unfinished()).keys()]).toEqual(['postgres', 'elsewhere'])
    await elsewhere.query('DELETE FROM pgherd.move')
    await wishOfMoves(catalog, [id], 'undone')
    expect([...(await watch.unfinished()).keys()]).toEqual(['postgres'])
  } finally {
    watch.close()
  }
})
