/** Transactions that a move comes in between of: no row is ever missing without an error, and READ COMMITTED does not notice. */
import type pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Mover } from '../../src/rebalance/mover.ts'
import type { Router } from '../../src/router/router.ts'
import type { TestCluster } from '../support/cluster.ts'
import { startSecondRouter, startTestCluster } from '../support/cluster.ts'
import { OpenClients } from '../support/open-clients.ts'
import { Moving } from './move/moving.ts'

let cluster: TestCluster
let second: Router
let moving: Moving
let mover: Mover
let setup: pg.Client
const clients = new OpenClients()
const connect = (port: number) => clients.connect(port)

beforeAll(async () => {
  cluster = await startTestCluster({ shards: 2, replicas: 0 })
  second = await startSecondRouter(cluster)
  moving = await Moving.of(cluster)
  mover = moving.mover()
  setup = await connect(cluster.port)
  await setup.query('CREATE TABLE t (id int PRIMARY KEY, v int)')
  await setup.query('INSERT INTO t SELECT g, g FROM generate_series(1, 500) g')
  await setup.query('CREATE TABLE other (id text PRIMARY KEY)')
  await setup.query(`INSERT INTO other SELECT 'o' || g FROM generate_series(1, 50) g`)
})

afterAll(async () => {
  await clients.end()
  await moving.stop()
  await second.stop()
  await cluster.stop()
})

/** A row of t, and its bucket's way to the other shard. */
async function rowAndMove(from: number): Promise<{ id: number; other: number; move: () => Promise<void> }> {
  const { group, owners } = await moving.buckets('t')
  const shard = await moving.on(moving.shard(from))
  const rows = await shard.query<{ id: number; bucket: number }>(`SELECT id, substring(tableoid::regclass::text from '_b(\\d+)$')::int AS bucket FROM t ORDER BY id`)
  const [row] = rows.rows
  if (row === undefined) throw new Error(`no row on shard ${from}`)
  const other = rows.rows.find(({ bucket }) => bucket !== row.bucket)?.id ?? 0
  expect(owners[row.bucket]).toBe(from)
  const move = async () => {
    const [id = 0] = await moving.request({ group, bucket: row.bucket, target: 3 - from })
    await mover.turn()
    await moving.untilStage(id, 'done')
  }
  return { id: row.id, other, move }
}

/** The answer's values, or the SQLSTATE. */
const ask = async (client: pg.Client, text: string | { text: string; values: unknown[] }): Promise<unknown> =>
  client.query(text).then(
    ({ rows }: pg.QueryResult<Record<string, unknown>>) => rows.map((row) => Object.values(row)[0]),
    (error: { code?: string }) => error.code,
  )

/** So that this router knows of the move by now. */
async function letKnow(port: number, id: number): Promise<void> {
  const client = await connect(port)
  expect(await ask(client, `SELECT v FROM t WHERE id = ${id}`)).toEqual([id])
  expect(await ask(client, 'SELECT count(*)::int FROM t')).toEqual([500])
}

for (const level of ['REPEATABLE READ', 'SERIALIZABLE']) {
  test.each(['one row', 'all rows', 'a write'])(`${level}: %s after a move are there, or the client is told`, async (what) => {
    for (const knows of [true, false]) {
      const { id, other, move } = await rowAndMove(1)
      const client = await connect(second.port)
      await ask(client, `BEGIN ISOLATION LEVEL ${level}`)
      // SERIALIZABLE is on one shard: the one that the row comes to.
      if (level === 'SERIALIZABLE') {
        const there = await rowAndMove(2)
        expect(await ask(client, `SELECT v FROM t WHERE id = ${there.id}`)).toEqual([there.id])
      } else expect(await ask(client, 'SELECT count(*)::int FROM other')).toEqual([50])
      await move()
      if (knows) await letKnow(second.port, id)
      const text = what === 'one row' ? `SELECT v FROM t WHERE id = ${id}` : what === 'all rows' ? 'SELECT count(*)::int FROM t' : `UPDATE t SET v = v WHERE id = ${id} RETURNING v`
      expect(['40001', '0A000']).toContain(await ask(client, text))
      await ask(client, 'ROLLBACK')
      expect(await ask(client, `SELECT v FROM t WHERE id IN (${id}, ${other}) ORDER BY id`)).toEqual([id, other].sort((a, b) => a - b))
    }
  })
}

test('REPEATABLE READ: a transaction that begins after a move that its router has not heard of sees everything', async () => {
  const { id, move } = await rowAndMove(1)
  const client = await connect(second.port)
  await move()
  await ask(client, 'BEGIN ISOLATION LEVEL REPEATABLE READ')
  expect(await ask(client, `SELECT v FROM t WHERE id = ${id}`)).toEqual([id])
  expect(await ask(client, 'SELECT count(*)::int FROM t')).toEqual([500])
  await ask(client, 'COMMIT')
})

test.each(['simple', 'extended'])('READ COMMITTED: a block goes on over moves (%s)', async (protocol) => {
  const { id, other, move } = await rowAndMove(1)
  for (const port of [cluster.port, second.port]) {
    const client = await connect(port)
    const by = (text: string, value: number) => ask(client, protocol === 'simple' ? text.replace('$1', String(value)) : { text, values: [value] })
    await ask(client, 'BEGIN')
    // The other bucket's leaf is on the same shard: the transaction has a part there that must not be lost.
    expect(await by('UPDATE other SET id = id WHERE id = $1', 0)).toEqual(protocol === 'simple' ? '42883' : [])
    await ask(client, 'ROLLBACK')
  }
  const clients = [await connect(cluster.port), await connect(second.port)]
  for (const client of clients) {
    await ask(client, 'BEGIN')
    expect(await ask(client, `SELECT v FROM t WHERE id = ${other}`)).toEqual([other])
  }
  await move()
  for (const [i, client] of clients.entries()) {
    expect(await ask(client, protocol === 'simple' ? `SELECT v FROM t WHERE id = ${id}` : { text: 'SELECT v FROM t WHERE id = $1', values: [id] }), `router ${i}`).toEqual([id])
    expect(await ask(client, 'SELECT count(*)::int FROM t')).toEqual([500])
    expect(await ask(client, 'SELECT id FROM t ORDER BY id LIMIT 1')).toEqual([1])
    expect(await ask(client, `UPDATE t SET v = v WHERE id = ${id} RETURNING v`)).toEqual([id])
    expect(await ask(client, 'COMMIT')).toEqual([])
  }
})

test('outside of blocks nobody notices a move, whatever runs', async () => {
  const texts = (id: number) => [
    `SELECT v FROM t WHERE id = ${id}`,
    'SELECT count(*)::int FROM t',
    'SELECT id FROM t ORDER BY id DESC LIMIT 3',
    'SELECT sum(v)::int FROM t WHERE v > 0 HAVING count(DISTINCT v) > 1',
    `UPDATE t SET v = v WHERE id = ${id} RETURNING v`,
    'UPDATE t SET v = v',
    `INSERT INTO t VALUES (${id}, 0) ON CONFLICT (id) DO UPDATE SET v = excluded.id RETURNING v`,
    'INSERT INTO t SELECT id, 0 FROM t ON CONFLICT (id) DO NOTHING',
    `DELETE FROM t WHERE id = -${id}`,
    `SELECT a.v FROM t a JOIN t b ON a.id = b.v WHERE a.id = ${id}`,
    'SELECT v FROM t WHERE id = any (ARRAY[1, 2, 3]) ORDER BY 1',
    'COPY (SELECT v FROM t) TO STDOUT',
    `SELECT count(*)::int FROM t JOIN other ON other.id = 'o' || t.v`,
  ]
  const { id } = await rowAndMove(1)
  const client = await connect(second.port)
  const expected = []
  for (const text of texts(id)) expected.push(await ask(client, text))
  for (const [i, text] of texts(id).entries()) {
    // Another router moves the row's bucket, whichever it is, and this one has not heard of it.
    const shards = await moving.on(moving.shard(1))
    const { rowCount } = await shards.query('SELECT FROM t WHERE id = $1', [id])
    const { group } = await moving.buckets('t')
    const on = await moving.on(moving.shard(rowCount === 1 ? 1 : 2))
    const { rows } = await on.query<{ bucket: number }>(`SELECT substring(tableoid::regclass::text from '_b(\\d+)$')::int AS bucket FROM t WHERE id = $1`, [id])
    const [move = 0] = await moving.request({ group, bucket: rows[0]?.bucket ?? 0, target: rowCount === 1 ? 2 : 1 })
    await mover.turn()
    await moving.untilStage(move, 'done')
    expect(await ask(client, text), text).toEqual(expected[i])
  }
})
