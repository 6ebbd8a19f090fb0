/** The command line as processes: finding commands, finding the router, and what is said when that fails. */
import fs from 'node:fs'
import path from 'node:path'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { freePort } from '../../src/embedded/free-port.ts'
import { until } from '../crash/support/until.ts'
import type { TestCluster } from '../support/cluster.ts'
import { startTestCluster } from '../support/cluster.ts'
import { Pgherd, pgherd } from './cli/pgherd.ts'
import { Moving } from './move/moving.ts'

let cluster: TestCluster

beforeAll(async () => {
  cluster = await startTestCluster({ shards: 2, replicas: 0 })
})

afterAll(async () => {
  const file = path.join(cluster.dataDir, 'router.json')
  expect(fs.existsSync(file)).toBe(true)
  await cluster.running.stop()
  expect(fs.existsSync(file)).toBe(false)
  await cluster.stop()
})

test('help names every command, and a command helps with itself', async () => {
  const [all, none, own] = await Promise.all([pgherd('--help'), pgherd(), pgherd('status', '--help')])
  expect(all).toMatchObject({ code: 0, errors: '' })
  for (const name of ['dev', 'router', 'init', 'status', 'shard add', 'shard drain', 'shard undrain', 'shard remove', 'rebalance', 'move', 'pause', 'resume', 'cancel', 'undo']) expect(all.out).toMatch(new RegExp(`^pgherd ${name} `, 'm'))
  expect(none.out).toBe(all.out)
  expect(own).toMatchObject({ code: 0, errors: '' })
  expect(own.out).toMatch(/^pgherd status .*--data-dir/)
})

test.each([
  [['stauts'], /^pgherd: unknown command stauts \(see pgherd --help\)\n$/],
  [['--port', '5'], /^pgherd: name a command first/],
  [['status', '--nope'], /^pgherd: .*--nope/],
  [['status', 'here'], /^pgherd: it is: pgherd status \[--json\]/],
  [['status', '--port', 'x'], /^pgherd: --port must be a whole number/],
  [['dev', '--shards', '0'], /^pgherd: --shards must be a whole number from 1 to 32\n$/],
  [['router'], /^pgherd: router needs --catalog\n$/],
])('%j is refused in one line', async (args, message) => {
  const { code, out, errors } = await pgherd(...args)
  expect({ code, out }).toEqual({ code: 1, out: '' })
  expect(errors).toMatch(message)
  expect(errors.trimEnd().split('\n')).toHaveLength(1)
})

test('a router is found by its port and by the data directory', async () => {
  const [byPort, byFolder] = await Promise.all([pgherd('status', '--json', '--port', String(cluster.port)), pgherd('status', '--json', '--data-dir', cluster.dataDir)])
  expect(byPort).toMatchObject({ code: 0, errors: '' })
  expect((JSON.parse(byPort.out) as { shards: unknown[] }).shards).toHaveLength(2)
  expect(byFolder).toEqual(byPort)
  const table = await pgherd('status', '--data-dir', cluster.dataDir)
  expect(table.out).toMatch(/^shards\n {2}id +name/)
})

test('what cannot be found is said', async () => {
  const port = String(await freePort())
  expect(await pgherd('status', '--port', port)).toMatchObject({ code: 1, errors: expect.stringContaining(`no router answers on 127.0.0.1:${port}`) as string })
  const folder = fs.mkdtempSync(path.join(cluster.dataDir, 'other-'))
  expect((await pgherd('status', '--data-dir', folder)).errors).toBe(`pgherd: no cluster runs in ${folder}: start it with pgherd dev --data-dir ${folder}\n`)
  // A cluster that was killed: another process has its number by now, or none.
  const file = { ...(JSON.parse(fs.readFileSync(path.join(cluster.dataDir, 'router.json'), 'utf8')) as object), pid: process.ppid }
  fs.writeFileSync(path.join(folder, 'router.json'), JSON.stringify(file))
  expect((await pgherd('status', '--data-dir', folder)).errors).toMatch(/no cluster runs in/)
  expect((await pgherd('status', '--data-dir', path.join(folder, 'none'))).errors).toMatch(/there is no folder/)
  expect((await pgherd('status', '--data-dir', cluster.dataDir, '--port', '1')).errors).toMatch(/leave --host and --port out/)
})

describe('moves', () => {
  let client: pg.Client

  beforeAll(async () => {
    client = new pg.Client({ host: '127.0.0.1', port: cluster.port, user: 'postgres', database: 'postgres' })
    await client.connect()
    await client.query('CREATE TABLE t (id int PRIMARY KEY, v text)')
    await client.query(`INSERT INTO t SELECT g, 'v' || g FROM generate_series(1, 500) g`)
  })

  afterAll(() => client.end())

  const at = (...args: readonly string[]) => pgherd(...args, '--data-dir', cluster.dataDir)
  const ownerOf = async (bucket: number) => (await client.query<{ shard: number }>('SELECT shard FROM pgherd.buckets WHERE bucket = $1', [bucket])).rows[0]?.shard
  /** All buckets of shard 1 but one go to shard 2, as if shard 1 had just been added. */
  async function unbalance(): Promise<number> {
    const { rows } = await client.query<{ bucket: number }>('SELECT bucket FROM pgherd.buckets WHERE shard = 1 ORDER BY bucket LIMIT 4')
    for (const { bucket } of rows) await client.query(`SELECT pgherd.move_bucket('t', ${bucket}, 2)`)
    await client.query('SELECT pgherd.wait_for_moves()')
    return rows.length
  }

  test('a rebalance shows its plan, does nothing unasked, and waits for the end', async () => {
    expect(await at('rebalance', '--by', 'rows')).toMatchObject({ code: 1, errors: 'pgherd: --by is buckets or bytes\n' })
    const moved = await unbalance()
    const plan = await at('rebalance', '--plan')
    expect(plan).toMatchObject({ code: 0, errors: '' })
    expect(plan.out).toMatch(/^ {2}tables +bucket +source +target +size +time\n( {2}t +\d+ +2 +1 .*\n)+\d+ moves, .*, about \d+ s\n$/)
    const unasked = await at('rebalance')
    expect(unasked).toMatchObject({ code: 1, out: plan.out, errors: expect.stringContaining('say --yes') as unknown })
    expect((await client.query(`SELECT FROM pgherd.moves WHERE stage <> 'done'`)).rowCount).toBe(0)
    const done = await at('rebalance', '--yes')
    expect(done).toMatchObject({ code: 0, errors: '' })
    expect(done.out).toMatch(/move \d+: bucket \d+ of t, shard 2 -> 1: done in .*rows compared, writes held for \d+ ms at most/)
    expect(done.out).toMatch(/\d+ moves done; no write was held for longer than \d+ ms\n$/)
    expect(done.out).not.toContain('\u001b')
    expect(Number(/(\d+) moves, /.exec(done.out)?.[1])).toBeLessThanOrEqual(moved)
    expect((await at('rebalance', '--yes')).out).toMatch(/nothing to move/)
  }, 180_000)

  test('single moves are asked for, shown, paused, resumed, undone', async () => {
    const bucket = Number((await client.query<{ bucket: number }>('SELECT bucket FROM pgherd.buckets WHERE shard = 1 LIMIT 1')).rows[0]?.bucket)
    await cluster.running.router.mover.stop()
    const asked = await at('move', String(bucket), '--to', '2', '--no-wait')
    const id = /^move (\d+) is asked for/.exec(asked.out)?.[1] ?? ''
    expect(asked).toMatchObject({ code: 0, errors: '' })
    const again = await at('move', String(bucket), '--to', '2', '--table', 't')
    expect(again).toMatchObject({ code: 1, errors: expect.stringMatching(/already\nhint: SELECT/) as unknown })
    const shown = JSON.parse((await at('status', '--json')).out) as { moves: unknown[] }
    expect(shown.moves).toMatchObject([{ id, tables: 't', bucket, source: 1, target: 2, stage: 'waiting' }])
    expect((await at('pause')).out).toBe('1 move paused\n')
    expect((await at('status')).out).toMatch(/moves\n.*wanted.*\n.*waiting +paused/)
    expect((await at('resume', id)).out).toBe('1 move going on\n')
    expect(await at('pause', '9999')).toMatchObject({ code: 1, errors: expect.stringContaining('move 9999 does not exist') as unknown })
    // Who waits goes on when somebody does the move; and it is not there that its end is decided.
    const waiting = new Pgherd('cancel', '--data-dir', cluster.dataDir)
    await until('it is cancelled', async () => (await client.query(`SELECT FROM pgherd.moves WHERE wanted = 'undone'`)).rowCount === 1)
    const moving = await Moving.of(cluster)
    await moving.only()
    expect(await waiting.outcome).toMatchObject({ code: 0, errors: '', out: expect.stringMatching(/1 move undone\n$/) as unknown })
    expect(await ownerOf(bucket)).toBe(1)
    expect(await at('move', String(bucket), '--to', '2', '--group', '1')).toMatchObject({ code: 0 })
    expect(await ownerOf(bucket)).toBe(2)
    const last = (await client.query<{ id: string }>('SELECT max(id) AS id FROM pgherd.moves')).rows[0]?.id ?? ''
    expect(await at('undo', last)).toMatchObject({ code: 0, out: expect.stringMatching(/1 move done/) as unknown })
    expect(await ownerOf(bucket)).toBe(1)
    // A move that somebody undoes is not what was waited for.
    await moving.stopMovers()
    const failing = new Pgherd('move', String(bucket), '--to', '2', '--data-dir', cluster.dataDir)
    await until('it is asked for', async () => (await client.query(`SELECT FROM pgherd.moves WHERE stage = 'waiting'`)).rowCount === 1)
    await client.query('SELECT pgherd.cancel_moves()')
    await moving.only()
    expect(await failing.outcome).toMatchObject({ code: 1, out: expect.stringMatching(/0 moves done, 1 undone/) as unknown })
    // Who is interrupted leaves the moves to themselves.
    await moving.stopMovers()
    const left = new Pgherd('move', String(bucket), '--to', '2', '--data-dir', cluster.dataDir)
    await until('it waits', () => left.out.includes('waiting for 1 move'))
    left.child.kill('SIGINT')
    expect(await left.outcome).toMatchObject({ code: 130, out: expect.stringContaining('The moves go on') as unknown })
    expect((await client.query(`SELECT FROM pgherd.moves WHERE stage = 'waiting' AND wanted = 'done'`)).rowCount).toBe(1)
    await moving.stop()
  }, 240_000)
})
