/** What a failover must not do, and what is left when servers die in other ways than one primary at a time. */
import fs from 'node:fs'
import path from 'node:path'
import type pg from 'pg'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { freePort } from '../../src/embedded/free-port.ts'
import { DevProcess, makeDataDir } from './support/dev-process.ts'
import { killAtOnce, processesIn, send } from './support/processes.ts'
import { ask, connect } from './support/servers.ts'
import { until } from './support/until.ts'

const settledMsMax = 120_000

describe('a cluster with replicas', () => {
  let dataDir: string
  let dev: DevProcess
  let port = 0
  const frozen = new Set<number>()

  const folder = (name: string) => path.join(dataDir, name)
  const layout = () => JSON.parse(fs.readFileSync(path.join(dataDir, 'cluster.json'), 'utf8')) as { catalogPort: number; shards: { port: number; replicaPorts: number[] }[] }
  const onCatalog = <Row extends pg.QueryResultRow>(sql: string) => ask<Row>(layout().catalogPort, sql, 'pgherd')
  const inSync = async () => (await onCatalog<{ port: number }>('SELECT i.port FROM pgherd.in_sync i JOIN pgherd.shard s ON s.id = i.shard_id AND s.term = i.term')).map((row) => row.port)
  const primaries = async () => (await onCatalog<{ port: number }>(`SELECT port FROM pgherd.server WHERE role = 'primary' ORDER BY shard_id`)).map((row) => row.port)
  const allInSync = (count: number) => until('replicas are in sync', async () => (await inSync()).length === count, settledMsMax)
  const start = async () => {
    dev = new DevProcess(['dev', '--data-dir', dataDir, '--port', String(port), '--shards', '1', '--replicas', '1'])
    await dev.ready()
  }
  const write = () => ask(port, 'UPDATE t SET n = n + 1')
  const counted = async () => (await ask<{ n: number }>(port, 'SELECT DISTINCT n FROM t')).map(({ n }) => n)
  /** Stops all processes of a server, and lets them go on at the end of the test. */
  const freeze = (name: string) => {
    for (const pid of processesIn(folder(name))) {
      frozen.add(pid)
      send(pid, 'SIGSTOP')
    }
  }
  const thaw = () => {
    for (const pid of frozen) send(pid, 'SIGCONT')
    frozen.clear()
  }

  beforeEach(async () => {
    dataDir = makeDataDir()
    port = await freePort()
    await start()
    await ask(port, 'CREATE TABLE t (id int PRIMARY KEY, n int)')
    await ask(port, 'INSERT INTO t SELECT g, 0 FROM generate_series(1, 20) g')
    await allInSync(1)
  })

  afterEach(async () => {
    thaw()
    await dev.interrupt().catch(() => dev.kill('SIGKILL'))
    killAtOnce(processesIn(dataDir))
    fs.rmSync(dataDir, { recursive: true, force: true })
  })

  test('goes on writing without its replica, which then does not become the primary until it has all', async () => {
    const before = await primaries()
    freeze('shard1-replica1')
    const begunAt = performance.now()
    await write()
    expect(performance.now() - begunAt).toBeLessThan(10_000)
    expect(await inSync()).toEqual([])
    // Now the primary dies: what was written is there alone.
    killAtOnce(processesIn(folder('shard1')))
    thaw()
    await until('it is back', () => counted().then(() => true, () => false), settledMsMax)
    expect(await primaries()).toEqual(before)
    expect(await counted()).toEqual([1])
    await allInSync(1)
    killAtOnce(processesIn(folder('shard1')))
    await until('the replica is the primary', async () => String(await primaries()) !== String(before), settledMsMax)
    expect(await counted()).toEqual([1])
  })

  test('waits for its replica where that is required', async () => {
    await ask(port, `SELECT pgherd.set_cluster_setting('synchronous_replicas', 'required')`)
    await expect(ask(port, `SELECT pgherd.set_cluster_setting('synchronous_replicas', 'sometimes')`)).rejects.toMatchObject({ code: '22023' })
    freeze('shard1-replica1')
    let isWritten = false
    const writing = write().then(() => (isWritten = true))
    await new Promise((resolve) => setTimeout(resolve, 6_000)) // longer than one that is not required is waited for
    expect(isWritten).toBe(false)
    expect(await inSync()).toHaveLength(1)
    thaw()
    await writing
  })

  test('replaces a primary that is frozen, which finds itself replaced when it goes on', async () => {
    const before = await primaries()
    const client = await connect(port)
    await client.query('UPDATE t SET n = n + 1')
    freeze('shard1')
    expect((await client.query('UPDATE t SET n = n + 1').catch(() => client.query('UPDATE t SET n = n + 1'))).rowCount).toBe(20)
    expect(await primaries()).not.toEqual(before)
    await client.end()
    thaw()
    await allInSync(1)
    expect(await inSync()).toEqual(before)
    expect(await counted()).toEqual([2])
  })

  test('starts with the roles that its servers had, after all of it was killed', async () => {
    await write()
    killAtOnce(processesIn(folder('shard1')))
    const [old] = layout().shards.map((shard) => shard.port)
    await until('the replica is the primary', async () => (await primaries())[0] !== old, settledMsMax)
    await write()
    // The old primary may be anywhere on its way to be a replica.
    killAtOnce([dev.pid, ...processesIn(dataDir)])
    await dev.end()
    await start()
    await write()
    expect(await counted()).toEqual([3])
    await allInSync(1)
    expect(await inSync()).toEqual([old])
  })

  test('makes a replica anew that cannot follow any more', async () => {
    const [shard] = layout().shards
    const primary = shard?.port ?? 0
    killAtOnce(processesIn(folder('shard1-replica1')))
    // Whoever starts it again may be quicker.
    await until('its slot is dropped', async () => {
      await ask(primary, 'SELECT pg_terminate_backend(pid) FROM pg_stat_replication')
      await ask(primary, 'SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots')
      return (await ask(primary, 'SELECT FROM pg_replication_slots')).length === 0
    })
    await write()
    await until('it does not count as in sync', async () => (await inSync()).length === 0)
    await allInSync(1)
    expect(await primaries()).toEqual([primary])
    expect(await counted()).toEqual([1])
  })

  test.skipIf(!fs.existsSync('/usr/bin/redis-server'))('replaces nobody while Redis is away', async () => {
    const before = await primaries()
    const redis = Number(fs.readFileSync(path.join(dataDir, 'redis.pid'), 'utf8').split('\n')[0])
    frozen.add(redis)
    send(redis, 'SIGSTOP')
    // Its lock is needed, and the primary comes back by itself when it is not replaced.
    killAtOnce(processesIn(folder('shard1')))
    await until('it is back', () => counted().then(() => true, () => false), settledMsMax)
    expect(await primaries()).toEqual(before)
    expect(await onCatalog('SELECT FROM pgherd.failover')).toEqual([])
  })
})
