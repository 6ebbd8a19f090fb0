/** A router that dies, or stops, while it holds the gates of all servers (transaction/commit-gate.ts): commits and reads through others go on soon. */
import fs from 'node:fs'
import type pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { realClock } from '../../src/base/clock.ts'
import { limits } from '../../src/base/limits.ts'
import { bootstrap, catalogAddress } from '../../src/coordination/bootstrap.ts'
import { EmbeddedCluster } from '../../src/embedded/embedded-cluster.ts'
import { DevProcess, makeDataDir } from './support/dev-process.ts'
import { killAtOnce, processesIn, send } from './support/processes.ts'
import { ask, connect, readServers } from './support/servers.ts'
import type { Server } from './support/servers.ts'
import { until } from './support/until.ts'

/** What others have to wait for at most: a hold that nobody uses ends by itself. The rest is for a busy machine. */
const goesOnMsMax = limits.gateHoldMsMax + 8_000

const gateHolds = `SELECT count(*)::int AS n FROM pg_locks WHERE relation = 'pgherd.commit_gate'::regclass AND mode = 'ShareLock' AND granted`

describe('a router in the gate', () => {
  const dataDir = makeDataDir()
  const open: pg.Client[] = []
  let cluster: EmbeddedCluster
  let servers: Server[]
  let first: DevProcess
  let second: DevProcess
  let [firstPort, secondPort] = [0, 0]

  const startRouter = () => new DevProcess(['router', '--catalog', `postgres://postgres@127.0.0.1:${servers[0]?.port}`, '--port', '0'])
  const client = async (port: number) => {
    const opened = await connect(port)
    open.push(opened)
    return opened
  }
  const shards = () => servers.slice(1)
  const isInGate = async () => (await Promise.all(shards().map(({ port }) => ask<{ n: number }>(port, gateHolds)))).every(([row]) => (row?.n ?? 0) > 0)

  beforeAll(async () => {
    cluster = await EmbeddedCluster.start({ dataDir, shards: 2, replicas: 0 })
    servers = readServers(dataDir)
    const primaries = shards().map(({ name, port }) => ({ name, primary: { host: '127.0.0.1', port }, replicas: [] }))
    await bootstrap(catalogAddress('127.0.0.1', servers[0]?.port ?? 0), primaries, { user: 'postgres' }, realClock)
    second = startRouter()
    secondPort = await second.ready()
    await ask(secondPort, 'CREATE TABLE account (id int PRIMARY KEY, balance int)')
    await ask(secondPort, 'INSERT INTO account SELECT i, 100 FROM generate_series(1, 20) i')
    await ask(secondPort, 'CREATE TABLE slow (id int PRIMARY KEY)')
    await ask(secondPort, 'INSERT INTO slow SELECT generate_series(1, 20)')
  })

  beforeEach(async () => {
    first = startRouter()
    firstPort = await first.ready()
  })

  afterAll(async () => {
    await Promise.all(open.map((one) => one.end().catch(() => undefined)))
    for (const router of [first, second]) killAtOnce(router.hasEnded ? [] : [router.pid])
    await cluster.stop()
    killAtOnce(processesIn(dataDir))
    fs.rmSync(dataDir, { recursive: true, force: true })
  })

  /** A statement of the first router that opens its portals in the gate, and waits there for a table's lock. Gives its end, and what lets it go on. */
  const enterGate = async (): Promise<{ read: Promise<number | undefined>; letGo: () => Promise<unknown> }> => {
    const locker = await client(shards()[0]?.port ?? 0)
    await locker.query('BEGIN; LOCK TABLE slow IN ACCESS EXCLUSIVE MODE')
    const reader = await client(firstPort)
    await reader.query(`SET pgherd.read_consistency = 'atomic'`)
    await reader.query('BEGIN')
    const read = reader.query<{ id: number }>('SELECT id FROM slow').then(({ rows }) => rows.length, () => undefined)
    await until('it is in the gate', isInGate)
    return { read, letGo: () => locker.query('ROLLBACK') }
  }

  /** Through the other router. Gives how long it took. */
  const goOn = async (): Promise<number> => {
    const other = await client(secondPort)
    await other.query(`SET pgherd.read_consistency = 'atomic'`)
    const began = performance.now()
    await other.query('BEGIN; UPDATE account SET balance = balance - 1 WHERE id <= 10; UPDATE account SET balance = balance + 1 WHERE id > 10; COMMIT')
    expect((await other.query('SELECT sum(balance)::int AS sum FROM account')).rows).toEqual([{ sum: 2000 }])
    return performance.now() - began
  }

  test('kill -9: others go on', async () => {
    const { read, letGo } = await enterGate()
    killAtOnce([first.pid])
    expect(await goOn()).toBeLessThan(goesOnMsMax)
    await letGo()
    expect(await read).toBeUndefined()
    await until('nothing of it is left', async () => !(await isInGate()))
    await first.end()
  })

  test('SIGSTOP: others go on, and awake again it reads as it should', async () => {
    const { read, letGo } = await enterGate()
    // A hold may end, and the next begin, at the very moment when the router is stopped.
    for (;;) {
      send(first.pid, 'SIGSTOP')
      if (await isInGate()) break
      send(first.pid, 'SIGCONT')
      await until('it is in the gate', isInGate)
    }
    try {
      expect(await goOn()).toBeLessThan(goesOnMsMax)
      await letGo()
    } finally {
      send(first.pid, 'SIGCONT')
    }
    expect(await read).toBe(20)
    expect(await goOn()).toBeLessThan(goesOnMsMax)
    await first.interrupt()
  })
})
