/** A person promotes a replica: all routers follow by themselves, nothing acknowledged is missing, and the old primary gets no write. */
import pg from 'pg'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { PostgresServer } from '../../src/embedded/postgres-server.ts'
import type { Router } from '../../src/router/router.ts'
import { startSecondRouter, startTestCluster, type TestCluster } from '../support/cluster.ts'
import { Bank } from './support/bank.ts'
import { killAtOnce, processesIn } from './support/processes.ts'
import { ask, connect } from './support/servers.ts'
import { until } from './support/until.ts'

const serviceMsMax = 10_000

describe('a replica that somebody promotes', () => {
  let cluster: TestCluster
  let second: Router
  let [primary, replica] = [undefined, undefined] as unknown as [PostgresServer, PostgresServer]
  const open: pg.Client[] = []

  const client = async (port: number) => {
    const made = await connect(port)
    open.push(made)
    return made
  }
  /** By the list of each router. */
  const primaryPorts = async () => {
    const seen = []
    for (const port of [cluster.port, second.port]) seen.push((await ask<{ port: number }>(port, `SELECT port FROM pgherd.shards WHERE id = 1 AND role = 'primary'`))[0]?.port)
    return seen
  }
  const promote = async () => {
    await ask(replica.port, 'SELECT pg_promote()')
  }
  const makeSynchronous = async () => {
    const { catalog } = cluster.running.cluster
    await until('pgherd has let go of the replicas', async () => (await ask(catalog.port, 'SELECT FROM pgherd.in_sync', 'pgherd')).length === 0)
    await ask(primary.port, `ALTER SYSTEM SET synchronous_standby_names = '*'`)
    await ask(primary.port, 'SELECT pg_reload_conf()')
    await until('the replica is synchronous', async () => (await ask(primary.port, `SELECT FROM pg_stat_replication WHERE sync_state = 'sync'`)).length === 1)
  }
  /** Fencing ends connections, this one's too. */
  const rowsOn = (server: PostgresServer) => countRows(server).catch(() => countRows(server))
  const countRows = async ({ port }: PostgresServer) => {
    const leaves = await ask<{ name: string }>(port, `SELECT oid::regclass::text AS name FROM pg_class WHERE relkind = 'r' AND relispartition`)
    const counts = await Promise.all(leaves.map(async ({ name }) => Number((await ask<{ n: string }>(port, `SELECT count(*) AS n FROM ${name}`))[0]?.n)))
    return counts.reduce((sum, n) => sum + n, 0)
  }

  beforeEach(async () => {
    cluster = await startTestCluster({ shards: 2, replicas: 1 })
    second = await startSecondRouter(cluster)
    await ask(cluster.port, `SELECT pgherd.set_cluster_setting('failover', 'off')`)
    const [shard] = cluster.running.cluster.shards
    primary = shard?.primary as PostgresServer
    replica = shard?.replicas[0] as PostgresServer
  })

  afterEach(async () => {
    await Promise.all(open.splice(0).map((one) => one.end().catch(() => undefined)))
    await second.stop()
    await cluster.stop()
  })

  test('takes over for a primary that was killed, under load of two routers', async () => {
    const bank = new Bank(cluster.port)
    await bank.open()
    await ask(cluster.port, 'CREATE TABLE seen (id int PRIMARY KEY, n int)')
    await ask(cluster.port, 'INSERT INTO seen SELECT g, 0 FROM generate_series(1, 20) g')
    await makeSynchronous()
    bank.start(cluster.port)
    const clients = [await client(cluster.port), await client(second.port)]
    await until('transfers are acknowledged', () => bank.acknowledged.size > 50)
    killAtOnce(processesIn(primary.dataDir))
    const killedAt = performance.now()
    await promote()
    for (const one of clients) expect((await one.query('UPDATE seen SET n = n + 1')).rowCount).toBe(20)
    expect(performance.now() - killedAt).toBeLessThan(serviceMsMax)
    const acknowledged = bank.acknowledged.size
    await until('transfers go on', () => bank.acknowledged.size > acknowledged + 50)
    expect(await primaryPorts()).toEqual([replica.port, replica.port])
    // The old one comes back on its own, as the primary that it was.
    await primary.start()
    const before = await rowsOn(primary)
    const since = bank.acknowledged.size
    await until('transfers go on beside it', () => bank.acknowledged.size > since + 100)
    await bank.stop()
    expect(await bank.findings()).toEqual([])
    expect(await rowsOn(primary)).toBe(before)
    expect(await primaryPorts()).toEqual([replica.port, replica.port])
    await until('it is fenced off', async () => (await ask(primary.port, `SELECT FROM pg_db_role_setting, unnest(setconfig) one WHERE one LIKE 'pgherd.fenced_timeline=1'`)).length === 1)
    for (const port of [cluster.port, second.port]) {
      const stateOf = async (of: number) => (await ask<{ state: string }>(port, `SELECT state FROM pgherd.shards WHERE port = ${of}`))[0]?.state
      await until('it is told that it was left behind', async () => (await stateOf(primary.port)) === 'left behind')
      expect(await stateOf(replica.port)).toBe('active')
    }
    await until('no prepared transaction is left', async () => (await ask(replica.port, 'SELECT FROM pg_prepared_xacts')).length === 0)
  })

  test('takes over for a primary that lives: open connections to it end before anybody writes elsewhere', async () => {
    const [one, other] = [await client(cluster.port), await client(second.port)]
    await one.query('CREATE TABLE t (id int PRIMARY KEY, n int)')
    await one.query('INSERT INTO t SELECT g, 0 FROM generate_series(1, 100) g')
    await until('the replica has it all', async () => (await rowsOn(replica)) === (await rowsOn(primary)))
    await one.query('BEGIN; UPDATE t SET n = 1')
    await promote()
    await until('both routers follow', async () => String(await primaryPorts()) === String([replica.port, replica.port]))
    const before = await rowsOn(primary)
    await expect(one.query('UPDATE t SET n = 2')).rejects.toMatchObject({ code: expect.stringMatching(/^(08006|57P01|40001)$/) as string })
    expect((await one.query('COMMIT')).command).toBe('ROLLBACK')
    await one.query('INSERT INTO t SELECT g, 0 FROM generate_series(101, 200) g')
    await other.query('UPDATE t SET n = n + 1')
    expect((await one.query('SELECT count(*)::int AS count, sum(n)::int AS sum FROM t')).rows).toEqual([{ count: 200, sum: 200 }])
    expect(await rowsOn(primary)).toBe(before)
    // But for those that ask it what it is.
    const connected = `SELECT query FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND application_name <> 'pgherd'`
    await until('no session is connected to it', async () => (await ask(primary.port, connected)).length === 0)
  })

  test('is a pause to reads, and to writes that were not sent; a block that was on the old one fails and its session goes on', async () => {
    const setUp = await client(cluster.port)
    await setUp.query('CREATE TABLE t (id int PRIMARY KEY, n int)')
    await setUp.query('INSERT INTO t SELECT g, 1 FROM generate_series(1, 100) g')
    await makeSynchronous()
    const block = await client(cluster.port)
    await block.query('BEGIN; UPDATE t SET n = n')
    const load = { isOver: false }
    const refused: string[] = []
    const answers = { all: 0, one: 0, write: 0, unknown: 0 }
    const loop = async (port: number, kind: keyof typeof answers, run: (one: pg.Client, turn: number) => Promise<void>) => {
      const one = await client(port)
      for (let turn = 1; !load.isOver; turn++) {
        try {
          await run(one, turn)
          answers[kind]++
        } catch (error) {
          const { code, message } = error as Error & { code?: string }
          // The one write that was under way may be in doubt.
          if (kind === 'write' && code === '08007') answers.unknown++
          else refused.push(`${kind}: ${code} ${message}`)
        }
      }
    }
    // Long enough to be under way when the primary dies.
    const readAll = async (one: pg.Client) => expect((await one.query('SELECT sum(n)::int AS sum FROM t, generate_series(1, 2000)')).rows).toEqual([{ sum: 200_000 }])
    const readOne = async (one: pg.Client, turn: number) => expect((await one.query('SELECT n FROM t WHERE id = $1', [1 + (turn % 100)])).rows).toEqual([{ n: 1 }])
    const write = async (one: pg.Client, turn: number) => expect((await one.query('UPDATE t SET n = 1 WHERE id = $1', [1 + (turn % 7)])).rowCount).toBe(1)
    const loops = [cluster.port, second.port].flatMap((port) => [loop(port, 'all', readAll), loop(port, 'one', readOne)])
    await block.query('ROLLBACK; BEGIN; UPDATE t SET n = n WHERE id > 90')
    loops.push(loop(second.port, 'write', write))
    await until('all are at work', () => answers.all > 10 && answers.one > 100 && answers.write > 20)
    killAtOnce(processesIn(primary.dataDir))
    await expect(block.query('UPDATE t SET n = n WHERE id > 90')).rejects.toMatchObject({ code: '08006' })
    await promote()
    const before = { ...answers }
    await until('all go on', () => answers.all > before.all + 10 && answers.one > before.one + 100 && answers.write > before.write + 20, serviceMsMax)
    load.isOver = true
    await Promise.all(loops)
    expect(refused).toEqual([])
    expect(answers.unknown).toBeLessThanOrEqual(1)
    expect((await block.query('ROLLBACK')).command).toBe('ROLLBACK')
    expect((await block.query('SELECT count(*)::int AS count FROM t')).rows).toEqual([{ count: 100 }])
  })

  test('is followed by a session that waits, and by one that is cancelled meanwhile', async () => {
    const [waiting, cancelled] = [await client(cluster.port), await client(second.port)]
    await waiting.query('CREATE TABLE t (id int PRIMARY KEY, n int)')
    await waiting.query('INSERT INTO t SELECT g, 0 FROM generate_series(1, 100) g')
    await until('the replica has it all', async () => (await rowsOn(replica)) === (await rowsOn(primary)))
    killAtOnce(processesIn(primary.dataDir))
    await until('it is gone', async () => !(await primary.answers()))
    const held = waiting.query('UPDATE t SET n = n + 1').then((result) => result.rowCount, (error: Error) => error.message)
    await cancelled.query(`SET statement_timeout = '1s'`)
    await expect(cancelled.query('UPDATE t SET n = n + 1')).rejects.toMatchObject({ code: '57014' })
    await promote()
    expect(await held).toBe(100)
  })
})

