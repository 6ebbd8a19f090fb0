/** A replica of the catalog is promoted: routers that know of it follow, and never go back to the old one. */
import path from 'node:path'
import pg from 'pg'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { realClock } from '../../src/base/clock.ts'
import { catalogAddress } from '../../src/coordination/bootstrap.ts'
import { copyRunning } from '../../src/embedded/base-copy.ts'
import { findBinaries } from '../../src/embedded/binaries.ts'
import { freePort } from '../../src/embedded/free-port.ts'
import { PostgresServer } from '../../src/embedded/postgres-server.ts'
import { serverUser } from '../../src/embedded/server-user.ts'
import { consoleLogger } from '../../src/observability/logger.ts'
import { Router } from '../../src/router/router.ts'
import { startTestCluster, type TestCluster } from '../support/cluster.ts'
import { Bank } from './support/bank.ts'
import { killAtOnce, processesIn } from './support/processes.ts'
import { ask, connect } from './support/servers.ts'
import { until } from './support/until.ts'

const serviceMsMax = 10_000

describe("a promoted replica of the catalog's server", () => {
  let cluster: TestCluster
  let replica: PostgresServer
  const routers: Router[] = []
  const open: pg.Client[] = []

  const client = async (port: number) => {
    const made = await connect(port)
    open.push(made)
    return made
  }
  const primary = () => cluster.running.cluster.catalog
  const startRouter = async () => {
    const catalog = catalogAddress('127.0.0.1', primary().port, [{ host: '127.0.0.1', port: replica.port }])
    const router = await Router.start({ catalog, credentials: { user: 'postgres' }, host: '127.0.0.1', port: 0, clock: realClock, log: consoleLogger('quiet') })
    routers.push(router)
    return router
  }

  beforeEach(async () => {
    cluster = await startTestCluster({ shards: 2, replicas: 0 })
    const user = serverUser()
    replica = new PostgresServer(findBinaries(user), user, path.join(cluster.dataDir, 'catalog-replica'), await freePort())
    await copyRunning(primary(), replica.dataDir, 'catalog_replica')
    replica.follow(primary().port, 'catalog_replica')
    await replica.start()
    await ask(primary().port, `ALTER SYSTEM SET synchronous_standby_names = '*'`)
    await ask(primary().port, 'SELECT pg_reload_conf()')
    await until('the replica is synchronous', async () => (await ask(primary().port, `SELECT FROM pg_stat_replication WHERE sync_state = 'sync'`)).length === 1)
  })

  afterEach(async () => {
    await Promise.all(open.splice(0).map((one) => one.end().catch(() => undefined)))
    await Promise.all(routers.splice(0).map((router) => router.stop()))
    await replica.stop()
    await cluster.stop()
  })

  test('is followed under load, by snapshots, sequences, schema changes and locks', async () => {
    const [first, second] = [await startRouter(), await startRouter()]
    const bank = new Bank(first.port)
    await bank.open()
    const [one, other] = [await client(first.port), await client(second.port)]
    await one.query('CREATE TABLE numbered (id bigserial PRIMARY KEY, n int)')
    const before = (await one.query<{ id: string }>('INSERT INTO numbered (n) SELECT g FROM generate_series(1, 50) g RETURNING id')).rows.map(({ id }) => id)
    bank.start(first.port)
    await until('transfers are acknowledged', () => bank.acknowledged.size > 20)
    killAtOnce(processesIn(primary().dataDir))
    const killedAt = performance.now()
    await ask(replica.port, 'SELECT pg_promote()')
    // New ids come from the new one, and none twice.
    const after = (await other.query<{ id: string }>('INSERT INTO numbered (n) SELECT g FROM generate_series(1, 50) g RETURNING id')).rows.map(({ id }) => id)
    expect(performance.now() - killedAt).toBeLessThan(serviceMsMax)
    expect(new Set([...before, ...after]).size).toBe(100)
    await other.query('CREATE TABLE later (id int PRIMARY KEY)')
    expect((await one.query('SELECT count(*)::int AS count FROM later')).rows).toEqual([{ count: 0 }])
    const acknowledged = bank.acknowledged.size
    await until('transfers go on', () => bank.acknowledged.size > acknowledged + 20)
    // The old one comes back as the primary that it was.
    await primary().start()
    await until('it is fenced off', async () => (await ask(primary().port, `SELECT FROM pg_db_role_setting, unnest(setconfig) one WHERE one = 'pgherd.fenced_timeline=1'`)).length === 1)
    await one.query('CREATE TABLE latest (id int PRIMARY KEY)')
    expect(await ask(primary().port, `SELECT FROM pg_class WHERE relname IN ('later', 'latest')`)).toEqual([])
    expect(await ask(replica.port, `SELECT FROM pg_class WHERE relname IN ('later', 'latest')`)).toHaveLength(2)
    await bank.stop()
    expect(await bank.findings()).toEqual([])
  })

  test('is known to shards, so that a router that hears only the old one does not start', async () => {
    const router = await startRouter()
    killAtOnce(processesIn(primary().dataDir))
    await ask(replica.port, 'SELECT pg_promote()')
    const [shard] = cluster.running.cluster.shards
    const noted = async () => (await ask(shard?.primary.port ?? 0, `SELECT FROM pg_db_role_setting, unnest(setconfig) one WHERE one = 'pgherd.catalog_timeline=2'`)).length === 1
    await until('it is written down', noted)
    await router.stop()
    routers.pop()
    await replica.stop()
    await primary().start()
    await ask(primary().port, `SELECT pg_reload_conf()`)
    await expect(startRouter()).rejects.toThrow('timeline 1')
  })
})
