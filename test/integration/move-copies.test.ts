/** A copy that was found equal and then met a change whose row it did not have is made anew: that both are equal again proves nothing. */
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

test('a change that finds no row makes the copy begin again', async () => {
  await client.query('CREATE TABLE t (id int PRIMARY KEY, v int)')
  await client.query('INSERT INTO t SELECT g, 0 FROM generate_series(1, 200) g')
  const { group, owners } = await moving.buckets('t')
  const source = owners[0] ?? 0
  const target = await moving.on(moving.shard(3 - source))
  const [id = 0] = await moving.request({ group, bucket: 0, target: 3 - source })
  let stopped = false
  const stop = (step: string) => {
    if (step !== 'compare') return
    stopped = true
    throw new Error('stopped here')
  }
  await (await moving.only(stop)).turn()
  await until('it is stopped', () => stopped)
  await moving.stopMovers()
  const leaf = (await target.query<{ leaf: string }>(`SELECT conrelid::regclass::text AS leaf FROM pg_constraint WHERE conname = 'pgherd_move_${id}'`)).rows[0]?.leaf ?? ''
  const { rows } = await target.query<{ id: number }>(`DELETE FROM ${leaf} WHERE id = (SELECT min(id) FROM ${leaf}) RETURNING id`)
  await client.query('DELETE FROM t WHERE id = $1', [rows[0]?.id])
  await until('it is counted', async () => (await target.query('SELECT FROM pg_stat_subscription_stats WHERE confl_delete_missing > 0')).rowCount === 1)
  const steps: string[] = []
  await (await moving.only((step) => void steps.push(step))).turn()
  await moving.untilStage(id, 'done')
  expect(steps).toContain('leaves')
  expect((await client.query('SELECT count(*)::int AS n FROM t')).rows).toEqual([{ n: 199 }])
  expect(await moving.leftovers()).toEqual([])
})
