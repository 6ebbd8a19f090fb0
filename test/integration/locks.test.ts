/** Locks of the control plane: one contract, for leases in the process and in a real Redis; and what only Redis can suffer. */
import type pg from 'pg'
import os from 'node:os'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import type { Clock } from '../../src/base/clock.ts'
import { realClock } from '../../src/base/clock.ts'
import { limits } from '../../src/base/limits.ts'
import { catalogAddress } from '../../src/coordination/bootstrap.ts'
import { recoverDatabases } from '../../src/coordination/database-changes.ts'
import { CatalogFences, staleFence } from '../../src/coordination/fences.ts'
import { LeasedLocks } from '../../src/coordination/leased-locks.ts'
import type { Lease, LeaseStore, Locks } from '../../src/coordination/locks.ts'
import { recoverIndexChanges } from '../../src/coordination/index-changes.ts'
import { migrate } from '../../src/coordination/migrate.ts'
import { OwnLeaseStore } from '../../src/coordination/own-lease-store.ts'
import { RedisLeaseStore } from '../../src/coordination/redis-lease-store.ts'
import { freePort } from '../../src/embedded/free-port.ts'
import { findRedis, RedisServer } from '../../src/embedded/redis-server.ts'
import { consoleLogger } from '../../src/observability/logger.ts'
import { preparedName } from '../../src/transaction/branch.ts'
import { Recovery } from '../../src/transaction/recovery.ts'
import { SqlTransactionServer } from '../../src/transaction/sql-transaction-server.ts'
import { connect } from '../crash/support/servers.ts'
import { until } from '../crash/support/until.ts'
import { startPlainPostgres } from '../support/cluster.ts'
import type { TestServer } from '../support/cluster.ts'
import { createDatabase } from '../support/databases.ts'
import { acquireWhenFree, leaseMs, locksContract, mustAcquire, newName, pausedClock } from './locks/contract.ts'

const log = { ...consoleLogger('quiet'), warn: () => undefined }
const program = findRedis()
let postgres: TestServer
const clients: pg.Client[] = []
const parties: Locks[] = []

beforeAll(async () => {
  postgres = await startPlainPostgres()
  const client = await connect(postgres.port)
  await client.query('CREATE DATABASE pgherd')
  await client.end()
  await migrate(await catalog(), ['cluster'])
  await clients[0]?.query('CREATE TABLE written (name text, fence bigint)')
})

afterAll(async () => {
  await Promise.all(parties.map((party) => party.close()))
  await Promise.all(clients.map((client) => client.end().catch(() => undefined)))
  await postgres.stop()
})

async function catalog(): Promise<pg.Client> {
  const client = await connect(postgres.port, 'pgherd')
  clients.push(client)
  return client
}

function partyOf(store: LeaseStore, clock: Clock = realClock, port: number = postgres.port): Locks {
  const fences = new CatalogFences(catalogAddress('127.0.0.1', port), { user: 'postgres' })
  const party = new LeasedLocks({ store, fences, holder: 'a router', leaseMs, clock, log })
  parties.push(party)
  return party
}

const own = new OwnLeaseStore(realClock)
locksContract('in the process', () => ({ party: (clock) => Promise.resolve(partyOf(own, clock)), wipe: () => own.close(), catalog }))

/** What acts under a lock that another has taken since. */
describe('an old fence', () => {
  const credentials = { user: 'postgres' }
  const address = () => catalogAddress('127.0.0.1', postgres.port)

  /** A lease that its holder believes in, and the one that came after. */
  const oldAndNew = async (): Promise<[Lease, Lease]> => {
    const name = newName()
    const [paused, other] = [partyOf(new OwnLeaseStore(realClock), pausedClock), partyOf(new OwnLeaseStore(realClock))]
    return [await mustAcquire(paused, name), await mustAcquire(other, name)]
  }

  test('recovery of databases: nothing is dropped, and what was noted stays', async () => {
    const [old, newest] = await oldAndNew()
    const client = await catalog()
    await client.query('CREATE DATABASE half_made')
    await client.query(`INSERT INTO pgherd.database_change (name, kind) VALUES ('half_made', 'create')`)
    const servers = { catalog: address(), shards: [], credentials, preparedPrefix: 'pgherd:locks:', log }
    const left = async () => [
      (await client.query(`SELECT FROM pg_database WHERE datname = 'half_made'`)).rowCount,
      (await client.query(`SELECT FROM pgherd.database_change WHERE name = 'half_made'`)).rowCount,
    ]
    await expect(recoverDatabases(servers, old)).rejects.toMatchObject({ code: staleFence })
    expect(await left()).toEqual([1, 1])
    await recoverDatabases(servers, newest)
    expect(await left()).toEqual([0, 0])
    await newest.release()
  })

  test('recovery of index builds: what was noted stays', async () => {
    const [old, newest] = await oldAndNew()
    const client = await catalog()
    await client.query(`INSERT INTO pgherd.index_change (database) VALUES ('postgres')`)
    const servers = { catalog: address(), shards: [], credentials, preparedPrefix: 'pgherd:locks:', log }
    const left = async () => (await client.query('SELECT FROM pgherd.index_change')).rowCount
    await expect(recoverIndexChanges(servers, old)).rejects.toMatchObject({ code: staleFence })
    expect(await left()).toBe(1)
    await recoverIndexChanges(servers, newest)
    expect(await left()).toBe(0)
    await newest.release()
  })

  test('recovery of transactions: it is left to who has the lock', async () => {
    const [old, newest] = await oldAndNew()
    const client = await connect(postgres.port)
    clients.push(client)
    await migrate(client, ['server'])
    const name = preparedName('locks', '000000000000000000000001', 0)
    await client.query(`BEGIN; CREATE TABLE left_prepared (); PREPARE TRANSACTION '${name}'`)
    const context = { clusterId: 'locks', clock: realClock, log, inFlight: new Set<string>(), servers: [new SqlTransactionServer(address(), credentials)] }
    const recovery = new Recovery(new CatalogFences(address(), credentials), context)
    const isLeft = async () => (await client.query('SELECT FROM pg_prepared_xacts WHERE gid = $1', [name])).rowCount === 1
    let refusal: unknown
    // It does not look at younger ones.
    await until('it is old enough to be seen', () => recovery.run(old).then(() => false, (error: unknown) => ((refusal = error), true)))
    expect(refusal).toMatchObject({ code: staleFence })
    expect(await isLeft()).toBe(true)
    await recovery.run(newest)
    expect(await isLeft()).toBe(false)
    await newest.release()
  })
})

test('pgherd.locks names this router, by the simple and the extended protocol, through a view and beside a table', async () => {
  const client = await connect(inject('clusterPort'), await createDatabase(inject('clusterPort'), 'locks'))
  clients.push(client)
  await client.query('CREATE TABLE duty (id integer PRIMARY KEY, name text)')
  await client.query(`INSERT INTO duty VALUES (1, 'recovery of databases'), (2, 'recovery of index builds'), (3, 'recovery of transactions')`)
  await client.query('CREATE VIEW held AS SELECT name, fence FROM pgherd.locks WHERE holder IS NOT NULL')
  const expected = [{ name: 'recovery of databases' }, { name: 'recovery of index builds' }, { name: 'recovery of transactions' }]
  const names = async (sql: string, values?: unknown[]) => (await client.query(sql, values)).rows
  expect(await names('SELECT name FROM pgherd.locks ORDER BY name')).toEqual(expected)
  expect(await names('SELECT name FROM pgherd.locks WHERE fence >= $1 AND since <= now() ORDER BY name', [1])).toEqual(expected)
  expect(await names('SELECT name FROM held ORDER BY name')).toEqual(expected)
  expect(await names('SELECT d.name FROM duty d JOIN pgherd.locks USING (name) ORDER BY 1')).toEqual(expected)
  expect(await names('SELECT d.name FROM duty d JOIN pgherd.locks USING (name) WHERE d.id = 3')).toEqual(expected.slice(2))
  const [{ holder, types }] = await names(`SELECT holder, array[pg_typeof(name), pg_typeof(holder), pg_typeof(since), pg_typeof(fence)]::text AS types FROM pgherd.locks LIMIT 1`) as [Record<string, string>]
  expect(holder).toBe(`${os.hostname()}:${inject('clusterPort')}`)
  expect(types).toBe('{text,text,"timestamp with time zone",bigint}')
})

describe.skipIf(program === undefined)('Redis', () => {
  let redis: RedisServer

  beforeAll(async () => {
    redis = new RedisServer(program ?? '', await freePort())
    await redis.start()
  })

  afterAll(() => redis.stop())

  const party = async (clock?: Clock, clusterId = 'contract') => partyOf(await RedisLeaseStore.open(redis.url, clusterId, log), clock)
  const send = (signal: NodeJS.Signals) => process.kill(redis.pid ?? 0, signal)
  const restart = async () => {
    await redis.stop()
    await redis.start()
  }

  // Redis keeps nothing on disk: a new one knows no lease.
  locksContract('in Redis', () => ({ party, catalog, wipe: restart }))

  test('clusters that share a Redis have locks of their own', async () => {
    const name = newName()
    const [one, other] = [await party(realClock, 'one'), await party(realClock, 'other')]
    const leases = [await mustAcquire(one, name), await mustAcquire(other, name)]
    for (const lease of leases) await lease.release()
  })

  test('gone: the holder is told when its lease ends, nobody can ask; back: they can', async () => {
    const name = newName()
    const [a, b] = [await party(), await party()]
    const lease = await mustAcquire(a, name)
    send('SIGKILL')
    const began = performance.now()
    await until('the holder is told', () => lease.lost.aborted)
    expect(performance.now() - began, 'ms until it was told').toBeLessThan(leaseMs + 500)
    await expect(b.acquire(name)).rejects.toThrow()
    await restart()
    const next = await acquireWhenFree(b, name)
    expect(next.fence).toBeGreaterThan(lease.fence)
    await next.release()
  })

  test('paused: who asks is told so in time, and the holder when its lease ends; it goes on afterwards', async () => {
    const [a, b] = [await party(), await party()]
    const lease = await mustAcquire(a, newName())
    send('SIGSTOP')
    try {
      const began = performance.now()
      await expect(b.acquire(newName())).rejects.toThrow()
      expect(performance.now() - began).toBeLessThan(limits.redisAnswerMsMax + 500)
      await until('the holder is told', () => lease.lost.aborted)
    } finally {
      send('SIGCONT')
    }
    await (await acquireWhenFree(b, newName())).release()
  })

  test('there later than the router: it is found', async () => {
    await redis.stop()
    const early = await party()
    await expect(early.acquire(newName())).rejects.toThrow()
    await redis.start()
    await (await acquireWhenFree(early, newName())).release()
  })

  test('a catalog that does not answer: no lease is left behind', async () => {
    const name = newName()
    const without = partyOf(await RedisLeaseStore.open(redis.url, 'contract', log), realClock, await freePort())
    await expect(without.acquire(name)).rejects.toThrow(/ECONNREFUSED/)
    await (await mustAcquire(await party(), name)).release()
  })
})
