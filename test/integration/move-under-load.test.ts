/** Buckets move while clients of two routers read and write them: no client gets an error, and no row is lost or doubled. */
import type pg from 'pg'
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
  cluster = await startTestCluster({ shards: 3, replicas: 0 })
  second = await startSecondRouter(cluster)
  moving = await Moving.of(cluster)
})

afterAll(async () => {
  await clients.end()
  await moving.stop()
  await second.stop()
  await cluster.stop()
})

const accounts = 200

/** Each client's work, again and again until told to stop. It counts what it was told is done. */
type Work = (client: pg.Client, n: number) => Promise<void>

const works: Readonly<Record<string, Work>> = {
  'a transfer in a block': async (client, n) => {
    const [from = 0, to = 0] = [n % accounts, (n * 7 + 1) % accounts].sort((a, b) => a - b)
    await client.query('BEGIN')
    await client.query('UPDATE account SET balance = balance - 1 WHERE id = $1', [from])
    await client.query('SELECT balance FROM account WHERE id = $1', [from])
    await client.query('UPDATE account SET balance = balance + 1 WHERE id = $1', [to])
    await client.query(`INSERT INTO history (account, delta) VALUES (${to}, 1)`)
    await client.query('COMMIT')
  },
  'a read by key': async (client, n) => {
    const id = n % accounts
    const { rows } = n % 2 === 0 ? await client.query('SELECT id FROM account WHERE id = $1', [id]) : await client.query(`SELECT id FROM account WHERE id = ${id}`)
    if (rows.length !== 1) throw new Error(`account ${id} is there ${rows.length} times`)
  },
  'a count of all': async (client) => {
    const { rows } = await client.query<{ count: string }>('SELECT count(*) FROM account')
    if (rows[0]?.count !== String(accounts)) throw new Error(`there are ${rows[0]?.count} accounts`)
  },
  'all rows': async (client, n) => {
    const text = n % 3 === 0 ? 'SELECT id FROM account' : n % 3 === 1 ? 'SELECT id FROM account ORDER BY id' : 'SELECT a.id FROM account a JOIN account b ON a.id = b.other'
    const { rows } = await client.query(text)
    if (rows.length !== accounts) throw new Error(`${text}: ${rows.length} rows`)
  },
  'a write to all': async (client) => {
    await client.query('UPDATE account SET touched = touched + 1 WHERE id % 10 = 3')
  },
}

test('transfers, reads and writes over all go on', async () => {
  const setup = await connect(cluster.port)
  await setup.query('CREATE TABLE account (id int PRIMARY KEY, balance int NOT NULL, touched int NOT NULL DEFAULT 0, other int NOT NULL)')
  await setup.query(`INSERT INTO account SELECT g, 0, 0, g FROM generate_series(0, ${accounts - 1}) g`)
  await setup.query('CREATE TABLE history (id bigserial PRIMARY KEY, account int NOT NULL, delta int NOT NULL)')
  const failures = new Map<string, number>()
  const done = new Map<string, number>()
  const stopping = new AbortController()
  const running = Object.entries(works).flatMap(([name, work]) =>
    [cluster.port, second.port].map(async (port, i) => {
      const client = await connect(port)
      for (let n = i * 17; !stopping.signal.aborted; n++) {
        try {
          await work(client, n)
          done.set(name, (done.get(name) ?? 0) + 1)
        } catch (error) {
          const { code, message } = error as Error & { code?: string }
          const what = `${name}: ${code} ${message}`
          failures.set(what, (failures.get(what) ?? 0) + 1)
          if (stopping.signal.aborted) return
          await client.query('ROLLBACK').catch(() => undefined)
        }
      }
    }),
  )
  const ids: number[] = []
  try {
    for (const table of ['account', 'history']) {
      const { group, owners } = await moving.buckets(table)
      for (const bucket of table === 'account' ? [0, 5, 9, 20] : [3, 4]) ids.push(...(await moving.request({ group, bucket, target: ((owners[bucket] ?? 0) % 3) + 1 })))
    }
    await moving.mover((step) => void step).turn()
    for (const id of ids) await moving.untilStage(id, 'done')
  } finally {
    stopping.abort()
    await Promise.all(running)
  }
  expect([...failures]).toEqual([])
  for (const name of Object.keys(works)) expect(done.get(name), name).toBeGreaterThan(0)
  const { rows } = await setup.query<Record<string, string>>('SELECT count(*) AS accounts, sum(balance) AS sum, sum(balance) FILTER (WHERE balance > 0) AS held FROM account')
  expect(rows[0]).toMatchObject({ accounts: String(accounts), sum: '0' })
  const history = await setup.query<{ count: string; ids: string }>('SELECT count(*), count(DISTINCT id) AS ids FROM history')
  expect(history.rows[0]).toEqual({ count: String(done.get('a transfer in a block')), ids: String(done.get('a transfer in a block')) })
  expect(await moving.leftovers()).toEqual([])
  for (const id of ids) expect((await moving.move(id)).heldMs).toBeLessThan(1000)
}, 240_000)
