/** A bucket on its way to another shard, with real servers: what comes along, and that nothing is left behind. */
import fs from 'node:fs'
import path from 'node:path'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { until } from '../crash/support/until.ts'
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

test('whoever may write a table may change keys in it after a move, too', async () => {
  await client.query('CREATE TABLE shared (id int PRIMARY KEY, v text)')
  await client.query('INSERT INTO shared SELECT g FROM generate_series(1, 100) g')
  await client.query('CREATE ROLE writer LOGIN; GRANT SELECT, INSERT, UPDATE, DELETE ON shared TO writer')
  const { group, owners } = await moving.buckets('shared')
  const [id = 0] = await moving.request({ group, bucket: 5, target: 3 - (owners[5] ?? 0) })
  await moving.mover().turn()
  await moving.untilStage(id, 'done')
  const writer = new pg.Client({ host: '127.0.0.1', port: cluster.port, user: 'writer', database: 'postgres' })
  await writer.connect()
  await writer.query('UPDATE shared SET id = id + 1000')
  expect(await rowsOf('SELECT count(*)::int, min(id) FROM shared')).toEqual([[100, 1001]])
  await writer.end()
})

test('a copy is made again when the target is another server than the one that it was made on', async () => {
  await client.query('CREATE TABLE promoted (id int PRIMARY KEY, v text)')
  await client.query(`INSERT INTO promoted SELECT g, 'v' || g FROM generate_series(1, 1000) g`)
  const before = await rowsOf('SELECT * FROM promoted ORDER BY id')
  const { group, owners } = await moving.buckets('promoted')
  const [target, bucket] = [3 - (owners[0] ?? 0), 0]
  const steps: string[] = []
  let isPromoted = false
  const mover = await moving.only((step) => {
    steps.push(step)
    if (step === 'foreign keys' && !isPromoted) throw new Error('not before the promotion')
  })
  const [id = 0] = await moving.request({ group, bucket, target })
  await mover.turn()
  await until('the copy is there', () => steps.includes('foreign keys'))
  const server = cluster.running.cluster.shards.find(({ primary }) => primary.port === moving.shard(target).port)?.primary
  if (server === undefined) throw new Error('no such shard')
  server.kill('SIGINT')
  await until('the server has stopped', () => server.pid === undefined)
  // What a replica is to its users when it is promoted: the same rows on another timeline.
  fs.writeFileSync(path.join(server.dataDir, 'standby.signal'), '')
  await server.start()
  const promoted = await moving.on(moving.shard(target))
  await promoted.query('SELECT pg_promote()')
  isPromoted = true
  await moving.untilStage(id, 'done')
  expect(steps.filter((step) => step === 'subscription')).toHaveLength(2)
  await until('the router has seen the new timeline', async () => String((await rowsOf('SELECT count(*) FROM promoted'))[0]?.[0]) === '1000')
  expect(await rowsOf('SELECT * FROM promoted ORDER BY id')).toEqual(before)
  expect(await moving.leftovers()).toEqual([])
})
