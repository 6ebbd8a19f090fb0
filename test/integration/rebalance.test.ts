/** What operators ask of moves in SQL: who may, what is refused, and that what was asked for happens. */
import pg from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { Router } from '../../src/router/router.ts'
import { until } from '../crash/support/until.ts'
import type { TestCluster } from '../support/cluster.ts'
import { startSecondRouter, startTestCluster } from '../support/cluster.ts'
import { Moving } from './move/moving.ts'

let cluster: TestCluster
let second: Router
let moving: Moving
let client: pg.Client
const open: pg.Client[] = []

async function connect(port = cluster.port, user = 'postgres'): Promise<pg.Client> {
  const made = new pg.Client({ host: '127.0.0.1', port, user, database: 'postgres' })
  await made.connect()
  open.push(made)
  return made
}

beforeAll(async () => {
  cluster = await startTestCluster({ shards: 3, replicas: 0 })
  second = await startSecondRouter(cluster)
  moving = await Moving.of(cluster)
  await moving.stopMovers()
  await second.mover.stop()
  client = await connect()
  await client.query('CREATE TABLE t (id int PRIMARY KEY, v text)')
  await client.query(`INSERT INTO t SELECT g, repeat('x', 100) FROM generate_series(1, 2000) g`)
  await client.query('CREATE TABLE small (id text PRIMARY KEY)')
  await client.query('CREATE TABLE whole (id int) WITH (pgherd.kind = single)')
})

afterAll(async () => {
  await Promise.all(open.map((one) => one.end()))
  await moving.stop()
  await second.stop()
  await cluster.stop()
})

/** What an earlier test has asked for is given up. */
afterEach(async () => {
  await client.query('SELECT pgherd.cancel_moves()')
  const mover = await moving.only()
  await mover.turn()
  await until('no move is left', async () => (await unfinished()) === 0, 60_000)
  await moving.stopMovers()
  expect(await moving.leftovers()).toEqual([])
})

const value = async (text: string, values: unknown[] = [], on = client) => Object.values((await on.query<Record<string, unknown>>(text, values)).rows[0] ?? {})[0]
const unfinished = async () => Number(await value(`SELECT count(*) FROM pgherd.moves WHERE stage NOT IN ('done', 'undone')`))
const ownersOf = async (table: string) => (await moving.buckets(table)).owners
const errorOf = (work: Promise<unknown>) => work.then(() => undefined, (error: Error & { code?: string; hint?: string }) => error)

/** The shard loses its buckets with the next rebalance, or gets some again. */
async function setState(shard: number, state: 'active' | 'draining'): Promise<void> {
  await (await moving.on(moving.catalog, 'pgherd')).query('UPDATE pgherd.shard SET state = $2 WHERE id = $1', [shard, state])
}

/** Of shard 3, as long as the work goes on. */
async function whileDraining(work: () => Promise<void>): Promise<void> {
  await setState(3, 'draining')
  try {
    await work()
  } finally {
    await setState(3, 'active')
  }
}

const calls = [
  'pgherd.rebalance_plan()', 'pgherd.rebalance()', `pgherd.move_bucket('t', 1, 2)`, 'pgherd.pause_moves()', 'pgherd.resume_moves(1)', 'pgherd.cancel_moves()', 'pgherd.undo_move(1)', 'pgherd.wait_for_moves()',
  'rebalance_table_shards()', 'citus_rebalance_start()', 'citus_rebalance_stop()', 'citus_rebalance_wait()', 'get_rebalance_table_shards_plan()', 'get_rebalance_progress()',
]

describe('rights and arguments', () => {
  test.each(calls)('%s is for superusers', async (call) => {
    await client.query('DO $$ BEGIN CREATE ROLE joe LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$')
    const joe = await connect(cluster.port, 'joe')
    expect(await errorOf(joe.query(`SELECT * FROM ${call}`))).toMatchObject({ code: '42501' })
    // A superuser that has become somebody else is that somebody.
    const other = await connect()
    await other.query('SET ROLE joe')
    expect(await errorOf(other.query(`SELECT * FROM ${call}`))).toMatchObject({ code: '42501' })
    expect(await unfinished()).toBe(0)
  })

  test.each([
    [`SELECT pgherd.rebalance('rows')`, '22023', /cannot balance by "rows"/],
    [`SELECT pgherd.rebalance('buckets', 1)`, '42883', /takes other arguments/],
    [`SELECT pgherd.rebalance(as_of => 'buckets')`, '42883', /takes other arguments/],
    [`SELECT pgherd.rebalance(lower('BUCKETS'))`, '0A000', /constants and parameters/],
    [`SELECT pgherd.rebalance(), 1`, '0A000', /pgherd.rebalance is supported alone/],
    [`SELECT pgherd.rebalance() > 0`, '0A000', /supported alone/],
    [`SELECT pgherd.rebalance() FROM t`, '0A000', /supported alone/],
    [`INSERT INTO t SELECT pgherd.rebalance()`, '0A000', /supported alone/],
    [`SELECT pgherd.rebalance_plan()`, '0A000', /supported in FROM alone/],
    [`SELECT * FROM ROWS FROM (pgherd.rebalance_plan(), generate_series(1, 2)) r`, '0A000', /supported in FROM alone/],
    [`SELECT pgherd.move_bucket('t', 1)`, '42883', /takes other arguments/],
    [`SELECT pgherd.move_bucket('none', 1, 2)`, '42P01', /"none" does not exist/],
    [`SELECT pgherd.move_bucket('whole', 1, 2)`, '42809', /not a distributed table/],
    [`SELECT pgherd.move_bucket(99, 1, 2)`, '42704', /table group 99 does not exist/],
    [`SELECT pgherd.move_bucket('t', 1, 9)`, '42704', /shard 9 does not exist/],
    [`SELECT pgherd.move_bucket('t', 32, 1)`, '22023', /bucket 32 of table group/],
    [`SELECT pgherd.move_bucket('t', NULL, 1)`, '22004', /bucket cannot be NULL/],
    [`SELECT pgherd.move_bucket('t', 'one', 1)`, '22P02', /invalid input syntax for type integer/],
    [`SELECT pgherd.pause_moves(99)`, '42704', /move 99 does not exist/],
    [`SELECT pgherd.undo_move(99)`, '42704', /move 99 does not exist/],
    [`SELECT pgherd.undo_move()`, '42883', /takes other arguments/],
    [`SELECT rebalance_table_shards('t')`, '0A000', /relation is not supported/],
    [`SELECT citus_rebalance_start(drain_only => true)`, '0A000', /drain_only is not supported/],
    [`SELECT citus_rebalance_start('by_magic')`, '22023', /by_magic/],
    [`SELECT citus_rebalance_start(shard_transfer_mode => 'block_writes')`, '0A000', /block_writes/],
    [`SELECT citus_move_shard_placement(1, 'a', 1, 'b', 2)`, '0A000', /citus_move_shard_placement is not supported/],
  ])('%s is refused, and nothing is asked for', async (text, code, message) => {
    const error = await errorOf(client.query(text))
    expect(error).toMatchObject({ code })
    expect(error?.message).toMatch(message)
    expect(await unfinished()).toBe(0)
  })

  test('a shard that is drained gets no bucket', () =>
    whileDraining(async () => {
      const bucket = (await ownersOf('t')).indexOf(1)
      expect(await errorOf(client.query(`SELECT pgherd.move_bucket('t', ${bucket}, 3)`))).toMatchObject({ code: '55000' })
      expect(await unfinished()).toBe(0)
    }))

  test('what acts beside the transaction is refused in a block, what only looks is not', async () => {
    for (const call of calls) {
      await client.query('BEGIN')
      const isLook = /plan|progress/.test(call)
      const error = await errorOf(client.query(`SELECT * FROM ${call}`))
      expect(error?.code, call).toBe(isLook ? undefined : '25001')
      await client.query('ROLLBACK')
    }
    expect(await unfinished()).toBe(0)
  })
})

describe('planning', () => {
  test('rows are read like those of any table, with parameters too', () =>
    whileDraining(async () => {
      const third = (await ownersOf('t')).filter((owner) => owner === 3).length
      const { rows } = await client.query(`SELECT * FROM pgherd.rebalance_plan() ORDER BY table_group, bucket`)
      expect(rows.filter(({ tables }) => tables === 't')).toHaveLength(third)
      expect(rows[0]).toMatchObject({ source: 3, estimated: expect.anything() as unknown })
      expect(await value(`SELECT count(*) FROM pgherd.rebalance_plan(by => 'buckets') p JOIN pgherd.tables s ON s.table_group = p.table_group WHERE table_name = 't' AND p.bytes > 0`)).toBe(String(third))
      const text = 'SELECT bucket FROM pgherd.rebalance_plan($1) WHERE bytes >= $2 AND tables = $3'
      expect((await client.query(text, ['bytes', 1, 't'])).rows.length).toBe(third)
      expect((await client.query({ name: 'plan', text, values: ['bytes', 1, 't'] })).rows.length).toBe(third)
      const citus = await client.query('SELECT * FROM get_rebalance_table_shards_plan() WHERE table_name = $1', ['t'])
      expect(citus.rows).toHaveLength(third)
      expect(citus.rows[0]).toMatchObject({ sourcename: '127.0.0.1', sourceport: moving.shard(3).port })
      expect(await unfinished()).toBe(0)
    }))

  test('an even cluster needs no moves', async () => {
    const mover = await moving.only()
    await client.query('SELECT pgherd.rebalance()')
    await mover.turn()
    await client.query('SELECT pgherd.wait_for_moves()')
    expect(await value('SELECT pgherd.rebalance()')).toBe('0')
    expect(await value('SELECT citus_rebalance_start()')).toBeNull()
    expect((await client.query('SELECT * FROM pgherd.rebalance_plan()')).rows).toEqual([])
  })
})

describe('asking', () => {
  test('of two rebalancers at once, one is refused', () =>
    whileDraining(async () => {
      const [one, other] = [await connect(), await connect(second.port)]
      const planned = Number(await value('SELECT count(*) FROM pgherd.rebalance_plan()'))
      const outcomes = await Promise.all([one, other].map((each) => value('SELECT pgherd.rebalance()', [], each).catch((error: Error & { code?: string; hint?: string }) => error)))
      expect(outcomes.filter((outcome) => outcome === String(planned))).toHaveLength(1)
      expect(outcomes.find((outcome) => outcome instanceof Error)).toMatchObject({ code: '55006', hint: expect.anything() as unknown })
      expect(await unfinished()).toBe(planned)
      for (const each of [one, other]) expect(await errorOf(each.query('SELECT citus_rebalance_start()'))).toMatchObject({ code: '55006', hint: expect.stringContaining('cancel_moves') as unknown })
      expect(await value('SELECT count(DISTINCT rebalance) FROM pgherd.moves WHERE stage = $1', ['waiting'])).toBe('1')
    }))

  test('a shard is drained and filled again; what is measured tells how long it takes', async () => {
    const before = await value(`SELECT md5(string_agg(id || v, ',' ORDER BY id)) FROM t`)
    const mover = await moving.only()
    await whileDraining(async () => {
      await client.query(`SELECT pgherd.rebalance('bytes')`)
      await mover.turn()
      await client.query('SELECT citus_rebalance_wait()')
    })
    expect(await ownersOf('t')).not.toContain(3)
    expect(await ownersOf('small')).not.toContain(3)
    const { rows } = await client.query(`SELECT tables, bytes, extract(epoch FROM estimated)::float8 AS seconds FROM pgherd.rebalance_plan()`)
    const taken = Number(await value(`SELECT avg(extract(epoch FROM ended_at - started_at)) FROM pgherd.moves WHERE stage = 'done' AND bytes > 0`))
    for (const { seconds } of rows.filter(({ tables }) => tables === 't')) expect(Number(seconds) / taken).toBeGreaterThan(0.2)
    await mover.stop()
    const next = await moving.only()
    const running = value('SELECT rebalance_table_shards()', [], await connect())
    await until('it has begun', async () => (await unfinished()) > 0)
    await next.turn()
    await running
    const owners = await ownersOf('t')
    for (const shard of [1, 2, 3]) expect(owners.filter((owner) => owner === shard).length).toBeGreaterThanOrEqual(10)
    expect(await value(`SELECT md5(string_agg(id || v, ',' ORDER BY id)) FROM t`)).toBe(before)
    expect(await value(`SELECT count(*) FROM pgherd.moves WHERE stage = 'done' AND bytes_per_second > 0 AND held_ms < 1000`)).not.toBe('0')
  }, 180_000)

  test('what is cancelled in the middle is undone where it is not done', () =>
    whileDraining(async () => {
      const owners = await ownersOf('t')
      const mover = await moving.only()
      await client.query('SELECT pgherd.rebalance()')
      await mover.turn()
      const isOne = `SELECT count(*) FROM pgherd.moves WHERE stage = 'done' AND rebalance = (SELECT max(rebalance) FROM pgherd.moves)`
      await until('one is done', async () => Number(await value(isOne)) >= 1)
      const left = await unfinished()
      const cancelled = Number(await value('SELECT pgherd.cancel_moves()'))
      expect(cancelled).toBeGreaterThan(0)
      expect(cancelled).toBeLessThanOrEqual(left)
      await client.query('SELECT pgherd.wait_for_moves()')
      const after = await client.query<{ stage: string; table_group: number; bucket: number }>(`SELECT * FROM pgherd.moves WHERE rebalance = (SELECT max(rebalance) FROM pgherd.moves)`)
      const { group, owners: now } = await moving.buckets('t')
      const gone = after.rows.filter((row) => row.stage === 'done' && row.table_group === group).map(({ bucket }) => bucket)
      expect(after.rows.filter((row) => row.stage === 'undone')).toHaveLength(cancelled)
      expect(now.flatMap((owner, bucket) => (owner === owners[bucket] ? [] : [bucket])).toSorted()).toEqual(gone.toSorted())
      expect(await value('SELECT count(*) FROM t')).toBe('2000')
    }), 120_000)

  test('a move is undone before it is done, and after; not twice', async () => {
    const bucket = (await ownersOf('t')).indexOf(1)
    const early = await value(`SELECT pgherd.move_bucket($1, $2, $3)`, ['t', bucket, 2])
    expect(await errorOf(client.query(`SELECT pgherd.move_bucket('t', ${bucket}, 3)`))).toMatchObject({ code: '55006' })
    expect(await value('SELECT pgherd.undo_move($1)', [early])).toBe(early)
    const mover = await moving.only()
    await mover.turn()
    await client.query('SELECT pgherd.wait_for_moves()')
    expect(await errorOf(client.query(`SELECT pgherd.undo_move(${early})`))).toMatchObject({ code: '55000' })
    expect((await ownersOf('t'))[bucket]).toBe(1)
    const { group } = await moving.buckets('t')
    const done = await value(`SELECT pgherd.move_bucket(${group}, ${bucket}, 2)`)
    await client.query('SELECT pgherd.wait_for_moves()')
    expect((await ownersOf('t'))[bucket]).toBe(2)
    expect(await errorOf(client.query(`SELECT pgherd.cancel_moves(${done})`))).toMatchObject({ code: '55000', hint: expect.stringContaining('undo_move') as unknown })
    const back = await value(`SELECT pgherd.undo_move(${done})`)
    expect(back).not.toBe(done)
    await client.query('SELECT pgherd.wait_for_moves()')
    expect((await ownersOf('t'))[bucket]).toBe(1)
    expect(await errorOf(client.query(`SELECT pgherd.undo_move(${done})`))).toMatchObject({ code: '55000', message: expect.stringContaining('is not on shard 2') as unknown })
  }, 60_000)

  test('a paused move stands still until it is resumed; waiting for it alone is refused, waiting itself can be cancelled', async () => {
    const bucket = (await ownersOf('t')).indexOf(2)
    const id = await value(`SELECT pgherd.move_bucket('t', ${bucket}, 1)`)
    expect(await value('SELECT pgherd.pause_moves()')).toBe('1')
    const mover = await moving.only()
    await mover.turn()
    expect(await errorOf(client.query('SELECT pgherd.wait_for_moves()'))).toMatchObject({ code: '55000', hint: expect.stringContaining('resume_moves') as unknown })
    expect((await client.query('SELECT stage, wanted FROM pgherd.moves WHERE id = $1', [id])).rows).toEqual([{ stage: 'waiting', wanted: 'paused' }])
    await moving.stopMovers()
    expect(await value(`SELECT pgherd.resume_moves(${id})`)).toBe('1')
    const waiting = await connect()
    await waiting.query(`SET statement_timeout = '700ms'`)
    expect(await errorOf(waiting.query('SELECT pgherd.wait_for_moves()'))).toMatchObject({ code: '57014' })
    expect((await client.query('SELECT * FROM get_rebalance_progress()')).rows).toMatchObject([{ sessionid: Number(id), table_name: 't', shardid: String(bucket), progress: '0', status: 'waiting' }])
    await (await moving.only()).turn()
    await client.query('SELECT pgherd.wait_for_moves()')
    expect((await ownersOf('t'))[bucket]).toBe(1)
  }, 60_000)
})
