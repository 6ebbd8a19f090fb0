/** A bucket on its way to another shard, with real servers: what comes along, and that nothing is left behind. */
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { TestCluster } from '../support/cluster.ts'
import { startTestCluster } from '../support/cluster.ts'
import { Moving } from './move/moving.ts'

let cluster: TestCluster
let moving: Moving
let client: pg.Client

beforeAll(async () => {
  cluster = await startTestCluster({ shards: 2, replicas: 0 })
  moving = await Moving.of(cluster)
  client = new pg.Client({ host: '127.0.0.1', port: cluster.port, user: 'postgres', database: 'postgres' })
  await client.connect()
})

afterAll(async () => {
  await client.end()
  await moving.stop()
  await cluster.stop()
})

const rowsOf = async (text: string) => (await client.query<string[]>({ text, rowMode: 'array' })).rows

test('a bucket moves with its rows, and nothing is left behind', async () => {
  await client.query('CREATE TABLE t (id int PRIMARY KEY, v text)')
  await client.query(`INSERT INTO t SELECT g, 'v' || g FROM generate_series(1, 1000) g`)
  const before = await rowsOf('SELECT * FROM t ORDER BY id')
  const { group, owners } = await moving.buckets('t')
  const mover = moving.mover()
  for (const bucket of [0, 1, 2]) {
    const [id = 0] = await moving.request({ group, bucket, target: 3 - (owners[bucket] ?? 0) })
    await mover.turn()
    await moving.untilStage(id, 'done')
    expect(await moving.move(id)).toMatchObject({ error: undefined })
    expect((await moving.buckets('t')).owners[bucket]).toBe(3 - (owners[bucket] ?? 0))
    expect(await rowsOf('SELECT * FROM t ORDER BY id')).toEqual(before)
    for (const [key, value] of before.slice(0, 100)) expect(await rowsOf(`SELECT v FROM t WHERE id = ${key}`)).toEqual([[value]])
    expect(await moving.leftovers()).toEqual([])
  }
})
