/** What of a transaction may be in a deadlock, and whether it still is what was looked at: on real connections that wait for real locks. */
import type pg from 'pg'
import { afterAll, afterEach, beforeAll, expect, inject, test } from 'vitest'
import { realClock } from '../../src/base/clock.ts'
import type { ServerAddress } from '../../src/catalog/server-address.ts'
import { consoleLogger } from '../../src/observability/logger.ts'
import { Pool } from '../../src/shard/pool.ts'
import { query } from '../../src/shard/query.ts'
import { Suspect } from '../../src/transaction/suspect.ts'
import { Transaction } from '../../src/transaction/transaction.ts'
import { connect } from '../crash/support/servers.ts'
import { until } from '../crash/support/until.ts'

/** A while later: whatever is under way has been for long. */
const later = { ...realClock, ticks: () => realClock.ticks() + 60_000 }
const pool = new Pool(realClock, { user: 'postgres' })
const context = { clusterId: 'suspects', clock: realClock, log: consoleLogger('quiet'), inFlight: new Set<string>(), servers: [] }
let holder: pg.Client
let transaction: Transaction

const server = (id: number, isReplica = false): ServerAddress => ({ id, name: `server ${id}`, host: '127.0.0.1', port: inject('plainPort'), ...(isReplica ? { isReplica } : {}) })

/** Its answer comes when nobody else has the lock any more. */
async function start(on: ServerAddress, statement: string): Promise<{ pid: number; done: Promise<unknown> }> {
  const lease = await transaction.lease(on)
  const done = query(lease.connection, [...lease.prelude, statement].join('; ')).finally(() => transaction.release(lease))
  done.catch(() => undefined) // who waits for it hears of it
  return { pid: lease.connection.pid, done }
}

const lock = (key: number) => `SELECT pg_advisory_xact_lock(421, ${key})`

async function run(on: ServerAddress, statement: string): Promise<number> {
  const { pid, done } = await start(on, statement)
  await done
  return pid
}

const waits = (pid: number) =>
  until('it waits', async () => (await holder.query(`SELECT FROM pg_stat_activity WHERE pid = $1 AND wait_event_type = 'Lock'`, [pid])).rowCount === 1)

beforeAll(async () => {
  holder = await connect(inject('plainPort'))
  transaction = new Transaction(pool, 'postgres', 'postgres', context, { isolation: 'read committed', readOnly: false })
})

afterEach(async () => {
  await holder.query('ROLLBACK')
  await transaction.rollback()
})

afterAll(async () => {
  pool.close()
  await holder.end()
})

test('one that waits on a server and has a lock on another, once it has for a while', async () => {
  await holder.query(`BEGIN; ${lock(1)}`)
  transaction.begin('block')
  const kept = await run(server(1), lock(2))
  expect(Suspect.of(transaction, later), 'at work on nothing').toBeUndefined()
  const { pid } = await start(server(2), lock(1))
  await waits(pid)
  const suspect = Suspect.of(transaction, later)
  const wait = { server: 2, pid, since: '7', blockers: [] }
  expect(suspect?.processes).toEqual([{ server: 2, pid }])
  expect(suspect?.waiting(new Map([[`2:${pid}`, wait]]))).toEqual({ id: transaction.id, begunAt: transaction.begunAt, waits: [{ server: 2, pid, since: '7', keeps: true }], keeps: [{ server: 1, pid: kept }] })
  expect(suspect?.waiting(new Map()), 'it does not wait for a lock').toBeUndefined()
  expect(Suspect.of(transaction, { ...realClock, ticks: () => 0 }), 'it has only just begun').toBeUndefined()
})

test('none on one server alone, nor beside what it reads on a replica', async () => {
  await holder.query(`BEGIN; ${lock(1)}`)
  transaction.begin('block')
  await run(server(1, true), 'SELECT 1')
  const { pid } = await start(server(2), lock(1))
  await waits(pid)
  expect(Suspect.of(transaction, later)).toBeUndefined()
})

test('a lock that the session keeps on the catalog is one more connection, also without a transaction', async () => {
  await holder.query(`BEGIN; ${lock(1)}`)
  const catalog = await transaction.lease(server(0))
  transaction.pin(catalog.connection)
  transaction.release(catalog)
  const { pid } = await start(server(2), lock(1))
  await waits(pid)
  const suspect = Suspect.of(transaction, later)
  expect(suspect?.waiting(new Map([[`2:${pid}`, { server: 2, pid, since: '7', blockers: [] }]]))).toMatchObject({ waits: [{ server: 2, pid, keeps: false }], keeps: [{ server: 0, pid: catalog.connection.pid }] })
  transaction.unpin()
})

test('what has gone on is another, though it waits again on the same connection', async () => {
  await holder.query(`BEGIN; ${lock(1)}; SAVEPOINT s; ${lock(2)}`)
  transaction.begin('block')
  await run(server(1), 'SELECT 1')
  const first = await start(server(2), lock(2))
  await waits(first.pid)
  const suspect = Suspect.of(transaction, later)
  expect(suspect?.isUnchanged).toBe(true)
  await holder.query('ROLLBACK TO s')
  await first.done
  expect(suspect?.isUnchanged, 'its wait is over').toBe(false)
  await new Promise((resolve) => setTimeout(resolve, 2)) // the clock's next millisecond
  const second = await start(server(2), lock(1))
  await waits(second.pid)
  expect(second.pid).toBe(first.pid)
  expect(suspect?.isUnchanged, 'it waits for something else').toBe(false)
  expect(Suspect.of(transaction, later)?.isUnchanged).toBe(true)
})

test('another transaction of the session is another, even if it waits again and again on the same connection', async () => {
  const begin = async () => {
    transaction.begin('block')
    await run(server(1), 'SELECT 1')
    const { pid, done } = await start(server(2), lock(1))
    await waits(pid)
    const connection = transaction.participants.get(2)?.connection
    if (connection !== undefined) transaction.repeatedWaits.add(connection)
    return { done, suspect: Suspect.of(transaction, later) }
  }
  await holder.query(`BEGIN; ${lock(1)}`)
  const { done, suspect } = await begin()
  expect([suspect?.repeats, suspect?.isUnchanged]).toEqual([true, true])
  await holder.query('ROLLBACK')
  await done
  expect(suspect?.isUnchanged, 'between two tries').toBe(true)
  await transaction.rollback()
  await holder.query(`BEGIN; ${lock(1)}`)
  await begin()
  expect(suspect?.isUnchanged).toBe(false)
  transaction.repeatedWaits.clear()
})
