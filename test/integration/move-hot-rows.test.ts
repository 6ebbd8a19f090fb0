/**
 * Transactions that queue for a few rows, and use the tables of a group in another order than a cut-over locks them: a write to a leaf locks its parent
 * until it commits, so the source is never free of them. Buckets move all the same, and soon.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Router } from '../../src/router/router.ts'
import type { TestCluster } from '../support/cluster.ts'
import { startSecondRouter, startTestCluster } from '../support/cluster.ts'
import { OpenClients } from '../support/open-clients.ts'
import { Moving } from './move/moving.ts'

let cluster: TestCluster
let second: Router
let moving: Moving
const clients = new OpenClients()
const connect = (port: number) => clients.connect(port)

beforeAll(async () => {
  cluster = await startTestCluster({ shards: 2, replicas: 0 })
  second = await startSecondRouter(cluster)
  moving = await Moving.of(cluster)
})

afterAll(async () => {
  await clients.end()
  await moving.stop()
  await second.stop()
  await cluster.stop()
})

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

test('buckets move beside them, within a few attempts and without an error', async () => {
  const setup = await connect(cluster.port)
  // In this order a cut-over locks them; the transactions use the last first.
  for (const table of ['branch', 'teller', 'account']) {
    await setup.query(`CREATE TABLE ${table} (id int PRIMARY KEY, v int NOT NULL)`)
    await setup.query(`INSERT INTO ${table} SELECT g, 0 FROM generate_series(1, 200) g`)
  }
  const stopping = new AbortController()
  const errors: string[] = []
  let done = 0
  const running = Array.from({ length: 8 }, async (_, i) => {
    const client = await connect(i % 2 === 0 ? cluster.port : second.port)
    for (let n = i; !stopping.signal.aborted; n += 8) {
      try {
        await client.query('BEGIN')
        for (const [table, rows] of [['account', 200], ['teller', 40], ['branch', 4]] as const) {
          await client.query(`UPDATE ${table} SET v = v + 1 WHERE id = ${1 + ((n * 7919) % rows)}`)
          await pause(10)
        }
        await client.query('COMMIT')
        done++
      } catch (error) {
        errors.push((error as Error).message)
        await client.query('ROLLBACK')
      }
    }
  })
  try {
    await moving.only()
    const { group, owners } = await moving.buckets('account')
    const ids = await moving.request(...[0, 1, 2, 3].map((bucket) => ({ group, bucket, target: 3 - (owners[bucket] ?? 0) })))
    for (const id of ids) await moving.untilStage(id, 'done')
    const client = await moving.on(moving.catalog)
    const { rows } = await client.query<{ cutovers: number; held: number }>('SELECT cutovers, held_ms AS held FROM pgherd.move WHERE id = ANY ($1)', [ids])
    for (const { cutovers, held } of rows) {
      expect(cutovers).toBeLessThan(10)
      expect(held).toBeLessThan(1000)
    }
  } finally {
    stopping.abort()
    await Promise.all(running)
  }
  expect(errors).toEqual([])
  for (const table of ['account', 'teller', 'branch']) expect((await setup.query<{ sum: string }>(`SELECT sum(v) FROM ${table}`)).rows[0]?.sum).toBe(String(done))
  expect(await moving.leftovers()).toEqual([])
}, 240_000)
