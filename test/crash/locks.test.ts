/** Routers that share their locks in Redis: one works for the cluster at a time, and each part may die, stop or forget at any time. */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import fs from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { realClock } from '../../src/base/clock.ts'
import { limits } from '../../src/base/limits.ts'
import { bootstrap, catalogAddress } from '../../src/coordination/bootstrap.ts'
import { EmbeddedCluster } from '../../src/embedded/embedded-cluster.ts'
import { findRedis } from '../../src/embedded/redis-server.ts'
import type { RedisServer } from '../../src/embedded/redis-server.ts'
import { preparedName } from '../../src/transaction/branch.ts'
import { Bank } from './support/bank.ts'
import { DevProcess, makeDataDir } from './support/dev-process.ts'
import { killAtOnce, processesIn, send } from './support/processes.ts'
import { ask, connect, preparedNames, readServers } from './support/servers.ts'
import type { Server } from './support/servers.ts'
import { until } from './support/until.ts'

const duty = 'recovery of transactions'
/** A prepared transaction must be 2 s old, and passes come every second; the rest is for a busy machine. */
const recoveredMsMax = 20_000
/** From a holder's death until another has the lock: its lease, the next try, and a busy machine. */
const takenOverMsMax = limits.leaseMs + limits.lockTryEveryMs + 1_500

interface LockRow {
  readonly holder: string | null
  readonly fence: number
}

interface RunningRouter {
  readonly process: DevProcess
  readonly port: number
}

describe.skipIf(findRedis() === undefined)('locks in Redis', () => {
  const dataDir = makeDataDir()
  const routers: RunningRouter[] = []
  const holders: ChildProcess[] = []
  let cluster: EmbeddedCluster
  let redis: RedisServer
  let servers: Server[]
  let clusterId: string
  let number = 0

  const startRouter = async (): Promise<RunningRouter> => {
    const dev = new DevProcess(['router', '--catalog', `postgres://postgres@127.0.0.1:${servers[0]?.port}`, '--redis', redis.url, '--port', '0', '--verbose'])
    const router = { process: dev, port: await dev.ready() }
    routers.push(router)
    return router
  }
  const alive = () => routers.filter((router) => !router.process.hasEnded)

  /** Who has the lock, as a router tells. */
  const lock = async (router: RunningRouter): Promise<LockRow> => {
    const [row] = await ask<LockRow>(router.port, `SELECT holder, fence::integer FROM pgherd.locks WHERE name = '${duty}'`)
    return row ?? { holder: null, fence: 0 }
  }
  const holds = (router: RunningRouter, { holder }: LockRow) => holder?.endsWith(`:${router.port}`) === true
  const holderOf = async (): Promise<{ holder: RunningRouter; other: RunningRouter; fence: number }> => {
    const row = await lock(alive()[0] as RunningRouter)
    const [holder, other] = [alive().find((router) => holds(router, row)), alive().find((router) => !holds(router, row))]
    if (holder === undefined || other === undefined) throw new Error(`no router is ${row.holder}`)
    return { holder, other, fence: row.fence }
  }

  /** What a dead coordinator left on shard 1, undecided. Gives its name. */
  const leave = async (): Promise<string> => {
    const name = preparedName(clusterId, `00000000000000000000${String(++number).padStart(4, '0')}`, 2)
    const client = await connect(servers[1]?.port ?? 0)
    await client.query(`BEGIN; INSERT INTO crash_mark VALUES ('${number}'); PREPARE TRANSACTION '${name}'`)
    await client.end()
    return name
  }
  const finished = (names: readonly string[]) =>
    until('they are finished', async () => (await preparedNames(servers)).every((name) => !names.includes(name)), recoveredMsMax)
  const recoveries = (router: RunningRouter) => router.process.progress.split('\n').filter((line) => line.includes('recovery: ')).length

  beforeAll(async () => {
    cluster = await EmbeddedCluster.start({ dataDir, shards: 2, replicas: 0 })
    redis = cluster.redis as RedisServer
    servers = readServers(dataDir)
    const [catalog, ...shards] = servers
    const primaries = shards.map(({ name, port }) => ({ name, primary: { host: '127.0.0.1', port }, replicas: [] }))
    await bootstrap(catalogAddress('127.0.0.1', catalog?.port ?? 0), primaries, { user: 'postgres' }, realClock)
    const [row] = await ask<{ id: string }>(catalog?.port ?? 0, 'SELECT id FROM pgherd.cluster', 'pgherd')
    clusterId = row?.id ?? ''
    await ask(servers[1]?.port ?? 0, 'CREATE TABLE crash_mark (id text)')
    await ask(catalog?.port ?? 0, 'CREATE TABLE written (name text, fence bigint)', 'pgherd')
    await startRouter()
    await startRouter()
  })

  afterAll(async () => {
    for (const child of holders) child.kill('SIGKILL')
    await Promise.all(alive().map((router) => router.process.interrupt()))
    await cluster.stop()
    killAtOnce(processesIn(dataDir))
    fs.rmSync(dataDir, { recursive: true, force: true })
  })

  test('both routers name the same holder, and it alone recovers', async () => {
    const { holder, other, fence } = await holderOf()
    expect(await lock(other)).toEqual(await lock(holder))
    const names = [await leave(), await leave(), await leave()]
    await finished(names)
    expect(recoveries(holder)).toBe(3)
    expect(recoveries(other)).toBe(0)
    expect((await holderOf()).fence).toBe(fence)
  })

  test('kill -9 of the holder: the other takes over within a lease and finishes what is left', async () => {
    const { holder, other, fence } = await holderOf()
    const names = [await leave(), await leave()]
    killAtOnce([holder.process.pid])
    const began = performance.now()
    await until('the other has the lock', async () => holds(other, await lock(other)), takenOverMsMax)
    process.stdout.write(`taken over ${Math.round(performance.now() - began)} ms after kill -9\n`)
    expect((await lock(other)).fence).toBe(fence + 1)
    await finished(names)
    expect(recoveries(other)).toBe(2)
    await holder.process.end()
    await startRouter()
  })

  test('SIGSTOP of the holder: the other takes over; awake again, the first knows that it is not its any more', async () => {
    const { holder, other } = await holderOf()
    send(holder.process.pid, 'SIGSTOP')
    try {
      await until('the other has the lock', async () => holds(other, await lock(other)), takenOverMsMax)
      const names = [await leave()]
      await finished(names)
    } finally {
      send(holder.process.pid, 'SIGCONT')
    }
    await until('the first says that it has lost it', () => holder.process.progress.includes(`lock ${duty} is lost`))
    const names = [await leave(), await leave()]
    await finished(names)
    expect(holds(other, await lock(holder))).toBe(true)
    expect(recoveries(other)).toBe(3)
  })

  test('Redis is killed, wiped and restarted under transactions: they go on, recovery too, and one has the lock again', async () => {
    const { other, fence } = await holderOf()
    const bank = new Bank(other.port)
    await bank.open()
    bank.start(other.port)
    const goesOn = async () => {
      const acknowledged = bank.acknowledged.size
      await until('transfers are acknowledged', () => bank.acknowledged.size > acknowledged + 20)
    }
    try {
      await goesOn()
      send(redis.pid ?? 0, 'SIGKILL')
      await redis.stop()
      await goesOn()
      for (const router of alive()) await until('it says that it goes on without', () => router.process.progress.includes(`${duty} goes on without its lock`))
      await finished([await leave()])
      await goesOn()
      // It had nothing on disk: no lease of before is known.
      await redis.start()
      await until('one has the lock', async () => (await lock(other)).fence > fence && (await lock(other)).holder !== null, takenOverMsMax)
      const before = alive().map(recoveries)
      await finished([await leave(), await leave()])
      const after = alive().map((router, i) => recoveries(router) - (before[i] ?? 0))
      expect(after.toSorted()).toEqual([0, 2])
      await goesOn()
    } finally {
      await bank.stop()
    }
    expect(await bank.findings()).toEqual([])
  })

  test('a holder that was stopped past its lease: its write is refused by its fence', async () => {
    const name = 'held by processes'
    const start = (): { child: ChildProcess; said: () => string } => {
      let out = ''
      const program = ['--import', 'tsx', 'test/crash/support/lock-holder.ts', String(servers[0]?.port), redis.url, name]
      const child = spawn(process.execPath, program, { stdio: ['pipe', 'pipe', 'inherit'] })
      child.stdout?.on('data', (chunk: Buffer) => (out += chunk.toString()))
      holders.push(child)
      return { child, said: () => out }
    }
    const first = start()
    await until('the first has it', () => first.said() === 'holds 1\n')
    first.child.stdin?.write('write\n')
    await until('the first writes', () => first.said().includes('written'))
    send(first.child.pid ?? 0, 'SIGSTOP')
    // Its last words before it wakes: it writes as soon as it runs again.
    first.child.stdin?.write('write\n')
    const second = start()
    await until('the second has it', () => second.said() === 'holds 2\n')
    send(first.child.pid ?? 0, 'SIGCONT')
    await until('the first is refused', () => first.said().includes('refused PH001'))
    await until('the first knows', () => first.said().includes('lost'))
    second.child.stdin?.write('write\n')
    await until('the second writes', () => second.said().includes('written'))
    expect(await ask(servers[0]?.port ?? 0, `SELECT fence::integer FROM written WHERE name = '${name}' ORDER BY fence`, 'pgherd')).toEqual([{ fence: 1 }, { fence: 2 }])
  })
})
