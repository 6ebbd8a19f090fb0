/** Statements over whole tables let a cut-over go first that has been announced: for a bounded time, and only those that hold nothing yet. */
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { limits } from '../../src/base/limits.ts'
import { holdText } from '../../src/coordination/group-holds.ts'
import { until } from '../crash/support/until.ts'
import type { TestCluster } from '../support/cluster.ts'
import { startTestCluster } from '../support/cluster.ts'
import { Moving } from './move/moving.ts'

let cluster: TestCluster
let moving: Moving
let catalog: pg.Client
let group: number
const clients: pg.Client[] = []

beforeAll(async () => {
  cluster = await startTestCluster({ shards: 2, replicas: 0 })
  moving = await Moving.of(cluster)
  for (let i = 0; i < 4; i++) {
    const client = new pg.Client({ host: '127.0.0.1', port: cluster.port, user: 'postgres', database: 'postgres' })
    await client.connect()
    clients.push(client)
  }
  await clients[0]?.query('CREATE TABLE t (id int PRIMARY KEY, v int)')
  await clients[0]?.query(`CREATE TABLE other (id text PRIMARY KEY)`)
  await clients[0]?.query('INSERT INTO t SELECT g, 0 FROM generate_series(1, 100) g')
  catalog = await moving.on(moving.catalog)
  group = (await moving.buckets('t')).group
})

afterAll(async () => {
  await Promise.all(clients.map((client) => client.end()))
  await moving.stop()
  await cluster.stop()
})

const say = (kind: 'hold' | 'hold-all' | 'free') => catalog.query(`SELECT pg_notify('pgherd_schema', $1)`, [holdText({ kind, group })])

/** How long each takes from when a hold was told. */
async function whileHeld(texts: readonly string[], freeAfterMs = Number.POSITIVE_INFINITY, kind: 'hold' | 'hold-all' = 'hold'): Promise<number[]> {
  await say(kind)
  await new Promise((resolve) => setTimeout(resolve, 30)) // so that the router is likely to have heard; else it is tried again
  const began = performance.now()
  const running = Promise.all(texts.map((text, i) => clients[i]?.query(text).then(() => performance.now() - began) ?? 0))
  if (freeAfterMs < Number.POSITIVE_INFINITY) {
    await new Promise((resolve) => setTimeout(resolve, freeAfterMs))
    await say('free')
  }
  return running
}

const longMs = limits.cutoverMsMax / 2

test('reads, writes and gathers over the group wait, and go on by themselves', async () => {
  for (const text of ['SELECT count(*) FROM t', 'UPDATE t SET v = v + 1', 'SELECT * FROM t ORDER BY id', 'SELECT a.v, b.v FROM t a JOIN t b ON a.id = b.id + 1', 'INSERT INTO t SELECT id + 1000, v FROM t ON CONFLICT DO NOTHING']) {
    await until(`${text} is held`, async () => {
      const [ms = 0] = await whileHeld([text])
      expect(ms).toBeLessThan(20_000)
      return ms > longMs
    })
  }
})

test('statements for one key, of other groups, and of transactions that hold something do not wait', async () => {
  const [, , , inBlock] = clients
  await until('only the count is held', async () => {
    await inBlock?.query('BEGIN')
    await inBlock?.query('UPDATE t SET v = v + 1 WHERE id = 3')
    const [count = 0, ...others] = await whileHeld(['SELECT count(*) FROM t', 'UPDATE t SET v = v + 1 WHERE id = 1', 'SELECT count(*) FROM other', 'SELECT count(*) FROM t'])
    await inBlock?.query('COMMIT')
    return count > longMs && others.every((ms) => ms < longMs)
  })
})

test('a second announcement holds writes of one key, too, and whatever comes first in a block; reads of one key go on', async () => {
  const [, , first, inBlock] = clients
  await until('all that would lock a parent until it commits is held', async () => {
    await first?.query('BEGIN')
    await inBlock?.query('BEGIN')
    await inBlock?.query('UPDATE t SET v = v + 1 WHERE id = 3')
    const texts = ['INSERT INTO t VALUES (5000, 1) ON CONFLICT DO NOTHING', 'UPDATE t SET v = v + 1 WHERE id = 1', 'SELECT v FROM t WHERE id = 2', 'UPDATE t SET v = v + 1 WHERE id = 4']
    const [insert = 0, update = 0, firstOfBlock = 0, later = 0] = await whileHeld(texts, Number.POSITIVE_INFINITY, 'hold-all')
    await first?.query('COMMIT')
    await inBlock?.query('COMMIT')
    const [read = 0, other = 0] = await whileHeld(['SELECT v FROM t WHERE id = 2', `INSERT INTO other VALUES ('a') ON CONFLICT DO NOTHING`], Number.POSITIVE_INFINITY, 'hold-all')
    return [insert, update, firstOfBlock].every((ms) => ms > longMs) && [later, read, other].every((ms) => ms < longMs)
  })
})

test('they go on when the cut-over is over', async () => {
  await until('the count is held for as long as the cut-over takes', async () => {
    const [ms = 0] = await whileHeld(['SELECT count(*) FROM t'], 100)
    return ms > 90 && ms < longMs
  })
})
