/** kill -9 of whoever replaces a primary, at each step: another goes on, and nothing that was acknowledged is missing. No router takes part. */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import fs from 'node:fs'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { realClock } from '../../src/base/clock.ts'
import { bootstrap, catalogAddress } from '../../src/coordination/bootstrap.ts'
import { EmbeddedCluster } from '../../src/embedded/embedded-cluster.ts'
import type { EmbeddedShard } from '../../src/embedded/embedded-shard.ts'
import type { PostgresServer } from '../../src/embedded/postgres-server.ts'
import { makeDataDir } from './support/dev-process.ts'
import { killAtOnce, processesIn } from './support/processes.ts'
import { ask } from './support/servers.ts'
import { until } from './support/until.ts'

const script = fileURLToPath(new URL('support/guard-process.ts', import.meta.url))
const key = ({ port }: PostgresServer) => `127.0.0.1:${port}`

/** Commits on one server, and remembers what was acknowledged. */
class Writer {
  readonly acknowledged: number[] = []
  private readonly port: number
  private next = 1
  private stopped = false
  private running: Promise<void> = Promise.resolve()

  constructor(port: number) {
    this.port = port
  }

  start(): void {
    this.running = this.work().catch(() => undefined) // its server was killed
  }

  async stop(): Promise<void> {
    this.stopped = true
    await this.running
  }

  private async work(): Promise<void> {
    const client = new pg.Client({ host: '127.0.0.1', port: this.port, user: 'postgres', database: 'postgres' })
    client.on('error', () => undefined)
    await client.connect()
    while (!this.stopped) {
      const id = this.next++
      await client.query('INSERT INTO written VALUES ($1)', [id])
      this.acknowledged.push(id)
    }
    await client.end()
  }
}

describe('a failover', () => {
  let dataDir: string
  let cluster: EmbeddedCluster
  let shard: EmbeddedShard
  const guards: ChildProcess[] = []

  const onCatalog = <Row extends pg.QueryResultRow>(sql: string) => ask<Row>(cluster.catalog.port, sql, 'pgherd')
  const inSync = async () => (await onCatalog<{ name: string }>('SELECT i.name FROM pgherd.in_sync i JOIN pgherd.shard s ON s.id = i.shard_id AND s.term = i.term ORDER BY 1')).map(({ name }) => name)
  const primaryOnRecord = async () => (await onCatalog<{ port: number }>(`SELECT port FROM pgherd.server WHERE role = 'primary'`))[0]?.port
  const startGuard = (fatal = '') => {
    const guard = spawn(process.execPath, ['--import', 'tsx', script, String(cluster.catalog.port), cluster.redis?.url ?? '', fatal], { stdio: 'ignore' })
    guards.push(guard)
    return guard
  }
  const hasDied = (guard: ChildProcess) => guard.signalCode === 'SIGKILL'

  beforeEach(async () => {
    dataDir = makeDataDir()
    cluster = await EmbeddedCluster.start({ dataDir, shards: 1, replicas: 2 })
    shard = cluster.shards[0] as EmbeddedShard
    const [one, ...others] = shard.servers.map(({ port }) => ({ host: '127.0.0.1', port }))
    await bootstrap(catalogAddress('127.0.0.1', cluster.catalog.port), [{ name: 'shard1', primary: one as { host: string; port: number }, replicas: others }], { user: 'postgres' }, realClock)
    // As the first router would have seen it.
    await onCatalog('UPDATE pgherd.shard SET timeline = 1')
    await ask(shard.primary.port, 'CREATE TABLE written (id int PRIMARY KEY)')
  })

  afterEach(async () => {
    killAtOnce(guards.splice(0).flatMap(({ pid, exitCode, signalCode }) => (pid === undefined || exitCode !== null || signalCode !== null ? [] : [pid])))
    await cluster.stop()
    killAtOnce(processesIn(dataDir))
    fs.rmSync(dataDir, { recursive: true, force: true })
  })

  test.each(['begin', 'cutting off', 'chosen', 'promoting', 'promote', 'promoted'])('goes on when its router is killed at: %s', async (step) => {
    const first = startGuard(step)
    await until('both replicas are in sync', async () => (await inSync()).length === 2)
    const old = shard.primary
    const writer = new Writer(old.port)
    writer.start()
    await until('commits are acknowledged', () => writer.acknowledged.length > 50)
    old.kill('SIGKILL')
    await until('the first has died', () => hasDied(first))
    await writer.stop()
    startGuard()
    await until('there is a new primary', async () => (await primaryOnRecord()) !== old.port)
    const [failover] = await onCatalog<{ step: string; old_primary: string; new_primary: string }>('SELECT step, old_primary, new_primary FROM pgherd.failover')
    const next = shard.servers.find((server) => key(server) === failover?.new_primary) as PostgresServer
    expect(failover).toMatchObject({ step: 'done', old_primary: key(old) })
    expect(next).not.toBe(old)
    const there = new Set((await ask<{ id: number }>(next.port, 'SELECT id FROM written')).map(({ id }) => id))
    expect(writer.acknowledged.filter((id) => !there.has(id))).toEqual([])
    // The other replica follows the new primary, which waits for it.
    await until('the other is in sync', async () => (await inSync()).length === 1)
    await ask(next.port, 'INSERT INTO written VALUES (-1)')
    const other = shard.servers.find((server) => server !== old && server !== next) as PostgresServer
    await until('the other has it', async () => (await ask(other.port, 'SELECT FROM written WHERE id = -1')).length === 1)
    // The old primary, on its own data, can acknowledge nothing.
    await old.start()
    const writing = ask(old.port, 'INSERT INTO written VALUES (-2)').then(() => 'acknowledged', () => 'ended')
    await until('a commit waits there', async () => (await ask(old.port, `SELECT FROM pg_stat_activity WHERE wait_event = 'SyncRep'`)).length === 1)
    await old.halt('SIGKILL')
    expect(await writing).toBe('ended')
  })

  test('is by the replica that is left, when the other was lost before', async () => {
    startGuard()
    await until('both replicas are in sync', async () => (await inSync()).length === 2)
    const old = shard.primary
    const [lost, left] = shard.replicas as [PostgresServer, PostgresServer]
    const writer = new Writer(old.port)
    writer.start()
    await until('commits are acknowledged', () => writer.acknowledged.length > 50)
    await lost.halt('SIGKILL')
    await until('one replica is in sync', async () => String(await inSync()) === left.followedSlot)
    const before = writer.acknowledged.length
    await until('commits are acknowledged without the other', () => writer.acknowledged.length > before + 50)
    old.kill('SIGKILL')
    await writer.stop()
    await until('it is the new primary', async () => (await primaryOnRecord()) === left.port)
    const there = new Set((await ask<{ id: number }>(left.port, 'SELECT id FROM written')).map(({ id }) => id))
    expect(writer.acknowledged.filter((id) => !there.has(id))).toEqual([])
    // The one that was lost follows the new primary when it is back.
    await lost.start()
    await until('it is in sync', async () => String(await inSync()) === lost.followedSlot)
  })
})
