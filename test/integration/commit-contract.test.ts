/** What commit, recovery and the gate rely on of a server: one contract, for a real PostgreSQL and for its stand-in in the simulation. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { realClock } from '../../src/base/clock.ts'
import { limits } from '../../src/base/limits.ts'
import type { ServerAddress } from '../../src/catalog/server-address.ts'
import { withAdmin } from '../../src/coordination/admin-client.ts'
import { migrate } from '../../src/coordination/migrate.ts'
import { Connection } from '../../src/shard/connection.ts'
import { query } from '../../src/shard/query.ts'
import type { Branch } from '../../src/transaction/branch.ts'
import type { GateServer } from '../../src/transaction/commit-gate.ts'
import { ServerBranch } from '../../src/transaction/server-branch.ts'
import { SqlGateServer } from '../../src/transaction/sql-gate-server.ts'
import { SqlTransactionServer } from '../../src/transaction/sql-transaction-server.ts'
import type { TransactionServer } from '../../src/transaction/transaction-server.ts'
import { Model } from '../sim/model.ts'
import { Network } from '../sim/network.ts'
import { SimProcess } from '../sim/node-process.ts'
import { SimBranch, SimGateServer, SimTransactionServer } from '../sim/ports.ts'
import { SimPostgres } from '../sim/postgres.ts'
import { Scheduler } from '../sim/scheduler.ts'
import { startPlainPostgres } from '../support/cluster.ts'
import type { TestServer } from '../support/cluster.ts'

/** A server with its ports, real or not. */
interface Subject {
  readonly server: TransactionServer
  readonly gate: GateServer
  readonly database: string
  /** A transaction that has changed a row of its own. */
  writer(): Promise<Branch>
  /** Until it has settled; what is simulated needs its time to be moved on. */
  wait<T>(promise: Promise<T>): Promise<T>
  /** Whether it has settled after all that can happen without anybody else's doing. */
  isOpen(promise: Promise<unknown>): Promise<boolean>
  stop(): Promise<void>
}

async function realServer(): Promise<Subject> {
  const postgres: TestServer = await startPlainPostgres()
  const address: ServerAddress = { id: 1, name: 'one', host: '127.0.0.1', port: postgres.port }
  const credentials = { user: 'postgres' }
  await withAdmin(address, 'postgres', credentials, async (client) => {
    await migrate(client, 'server')
    await client.query('CREATE TABLE t (id serial PRIMARY KEY)')
  })
  const open: Connection[] = []
  const gate = new SqlGateServer(address, credentials, realClock)
  return {
    server: new SqlTransactionServer(address, credentials),
    gate,
    database: 'postgres',
    async writer() {
      const connection = await Connection.connect({ server: address, user: 'postgres', database: 'postgres', clock: realClock })
      open.push(connection)
      await query(connection, 'BEGIN; INSERT INTO t DEFAULT VALUES')
      return new ServerBranch({ server: address, connection, wrote: true, cannotPrepare: false })
    },
    wait: (promise) => promise,
    async isOpen(promise) {
      const state = { isOpen: true }
      void promise.then(() => (state.isOpen = false), () => (state.isOpen = false))
      const waits = async () => (await withAdmin(address, 'postgres', credentials, (client) => client.query(`SELECT FROM pg_locks WHERE NOT granted`))).rowCount !== 0
      while (state.isOpen && !(await waits())) await realClock.sleep(10)
      return state.isOpen
    },
    async stop() {
      for (const connection of open) connection.close()
      gate.close()
      await postgres.stop()
    },
  }
}

function simulatedServer(): Subject {
  const scheduler = new Scheduler(1)
  const process = new SimProcess('a process', scheduler)
  const postgres = new SimPostgres(1, scheduler, new Model(false), { flushMsMax: 2 })
  const network = new Network(scheduler, { delayMsMax: 1, cutBefore: 0, cutAfter: 0 })
  const place = { process, network, scheduler }
  let rows = 0
  const wait = async <T>(promise: Promise<T>): Promise<T> => {
    const state = { isOver: false }
    void promise.then(() => (state.isOver = true), () => (state.isOver = true))
    while (!state.isOver) await scheduler.runUntil(scheduler.now + 10)
    return promise
  }
  return {
    server: new SimTransactionServer(place, postgres, limits.recoveryLockMsMax),
    gate: new SimGateServer(place, postgres, limits.gateLockMsMax, limits.gateHoldMsMax),
    database: 'd',
    async writer() {
      const branch = new SimBranch(place, postgres, { wrote: true, cannotPrepare: false })
      await wait(branch.write('T', `row ${++rows}`))
      return branch
    },
    wait,
    async isOpen(promise) {
      let isOpen = true
      void promise.then(() => (isOpen = false), () => (isOpen = false))
      await scheduler.runUntil(scheduler.now + 100)
      return isOpen
    },
    stop: () => Promise.resolve(),
  }
}

const plain = { throughGate: false, decision: undefined }
const deciding = (id: string, others: readonly number[] = [2]) => ({ throughGate: false, decision: { id, others, isAsked: false } })

describe.each([
  ['PostgreSQL', realServer],
  ['the stand-in', () => Promise.resolve(simulatedServer())],
] as const)('%s', (_name, start) => {
  let subject: Subject
  beforeAll(async () => {
    subject = await start()
  })
  afterAll(() => subject.stop())
  const wait = <T>(promise: Promise<T>) => subject.wait(promise)
  const names = async (ageMs = 0) => (await wait(subject.server.prepared('pgherd:c:', ageMs))).map(({ name }) => name)

  test('a decision is there with the commit, and settling changes nothing', async () => {
    expect(await wait(subject.server.decision(subject.database, 'a1'))).toBeUndefined()
    await wait((await subject.writer()).commit(deciding('a1', [2, 3])))
    const row = { id: 'a1', outcome: 'committed', others: [2, 3] }
    expect(await wait(subject.server.decision(subject.database, 'a1'))).toEqual(row)
    expect(await wait(subject.server.settle(subject.database, 'a1'))).toEqual(row)
  })

  test('what is settled to be aborted cannot be committed', async () => {
    expect(await wait(subject.server.settle(subject.database, 'b1'))).toMatchObject({ outcome: 'aborted' })
    await expect(wait((await subject.writer()).commit(deciding('b1')))).rejects.toMatchObject({ code: '23505', fields: { schema: 'pgherd', table: 'decision' } })
    expect(await wait(subject.server.settle(subject.database, 'b1'))).toMatchObject({ outcome: 'aborted' })
  })

  test.each(['COMMIT', 'ROLLBACK'] as const)('what is prepared waits for its %s, once', async (verb) => {
    const branch = await subject.writer()
    const name = `pgherd:c:${verb === 'COMMIT' ? 'c1' : 'c2'}:1`
    await wait(branch.prepare(name, false))
    expect(await names()).toEqual([name])
    expect(await names(3_600_000)).toEqual([])
    await wait(branch.finish(name, verb))
    expect(await names()).toEqual([])
    await expect(wait(branch.finish(name, verb))).rejects.toMatchObject({ code: '42704' })
    await wait(subject.server.finish(subject.database, name, verb))
  })

  test('the control plane finishes what a session has prepared', async () => {
    await wait((await subject.writer()).prepare('pgherd:c:d1:1', false))
    await wait(subject.server.finish(subject.database, 'pgherd:c:d1:1', 'ROLLBACK'))
    expect(await names()).toEqual([])
  })

  test('the gate: readers together, committers together, never both; a prepared transaction stays in it', async () => {
    const one = await wait(subject.gate.hold(subject.database))
    const two = await wait(subject.gate.hold(subject.database))
    const name = 'pgherd:c:e1:1'
    const branch = await subject.writer()
    const prepared = branch.prepare(name, true)
    expect(await subject.isOpen(prepared)).toBe(true)
    expect(await Promise.all([one, two].map((hold) => wait(hold?.release() ?? Promise.resolve(false))))).toEqual([true, true])
    await wait(prepared)
    expect(await wait(subject.gate.hold(subject.database))).toBeUndefined()
    await wait((await subject.writer()).commit({ ...plain, throughGate: true }))
    await wait(branch.finish(name, 'COMMIT'))
    const again = await wait(subject.gate.hold(subject.database))
    expect(again).toBeDefined()
    // Who does not pass the gate does not wait for it.
    await wait((await subject.writer()).commit(plain))
    await wait(again?.release() ?? Promise.resolve(false))
  })

  test('old decisions: what is aborted only once no transaction is as old', async () => {
    const ids = async () => (await wait(subject.server.oldDecisions(subject.database, 0, 3_600_000))).map(({ id }) => id)
    const old = await subject.writer()
    await wait(subject.server.settle(subject.database, 'f1'))
    await wait((await subject.writer()).commit(deciding('f2')))
    await wait((await subject.writer()).commit({ throughGate: false, decision: { id: 'f3', others: [], isAsked: true } }))
    expect(await ids()).toContain('f2')
    expect(await ids()).not.toContain('f1')
    expect(await ids()).not.toContain('f3')
    await wait(old.commit(plain))
    expect(await ids()).toContain('f1')
    await wait(subject.server.forget(subject.database, ['f1', 'f2']))
    expect(await wait(subject.server.decision(subject.database, 'f1'))).toBeUndefined()
  })

  test('a transaction that has ended is not committed again as if it were there', async () => {
    const branch = await subject.writer()
    await wait(branch.commit(plain))
    await expect(wait(branch.prepare('pgherd:c:h1:1', false))).rejects.toMatchObject({ code: expect.any(String) as string })
    expect(await names()).toEqual([])
  })
})
