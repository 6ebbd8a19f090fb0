/** Where a server waits for replicas, nobody hears of a decision, or of a prepared transaction, before they have it. */
import pg from 'pg'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { realClock } from '../../src/base/clock.ts'
import { limits } from '../../src/base/limits.ts'
import { migrate } from '../../src/coordination/migrate.ts'
import { Connection } from '../../src/shard/connection.ts'
import { query } from '../../src/shard/query.ts'
import { ServerBranch } from '../../src/transaction/server-branch.ts'
import { SqlTransactionServer } from '../../src/transaction/sql-transaction-server.ts'
import { until } from '../crash/support/until.ts'
import { startPlainPostgres } from '../support/cluster.ts'
import type { TestServer } from '../support/cluster.ts'

let server: TestServer
let client: pg.Client
let asked: SqlTransactionServer

const waitFor = async (names: string) => {
  await client.query(`ALTER SYSTEM SET synchronous_standby_names = '${names}'`)
  await client.query('SELECT pg_reload_conf()')
  await client.query('CHECKPOINT') // who tells commits to wait has read the setting
}
const waiting = async () => (await client.query(`SELECT FROM pg_stat_activity WHERE wait_event = 'SyncRep'`)).rowCount
const address = () => ({ id: 1, name: 'a server', host: '127.0.0.1', port: server.port })

beforeAll(async () => {
  server = await startPlainPostgres()
  client = new pg.Client({ host: '127.0.0.1', port: server.port, user: 'postgres', database: 'postgres' })
  await client.connect()
  await migrate(client, ['server'])
  await client.query('CREATE TABLE t (id text)')
  await client.query(`INSERT INTO pgherd.decision (id, outcome) VALUES ('done', 'committed')`)
  asked = new SqlTransactionServer(address(), { user: 'postgres' })
})

afterEach(() => waitFor(''))

afterAll(async () => {
  await client?.end()
  await server?.stop()
})

test('a decision that a replica may not have is not told', async () => {
  await waitFor('nobody')
  const answers = await Promise.allSettled([asked.decision('postgres', 'done'), asked.settle('postgres', 'done'), asked.settle('postgres', 'new')])
  expect(answers.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected'])
  expect(await asked.decision('postgres', 'never')).toBeUndefined()
  await waitFor('')
  expect(await asked.decision('postgres', 'done')).toMatchObject({ outcome: 'committed' })
  expect(await asked.settle('postgres', 'done')).toMatchObject({ outcome: 'committed' })
}, 4 * limits.serverAnswerMsMax + 30_000)

test.each(['off', 'local', 'on'])('PREPARE waits for replicas, with synchronous_commit = %s as with any', async (setting) => {
  const connection = await Connection.connect({ server: address(), database: 'postgres', user: 'postgres', password: undefined, clock: realClock })
  try {
    await query(connection, `SET synchronous_commit = ${setting}`)
    await query(connection, `BEGIN; INSERT INTO t VALUES ('x')`)
    await waitFor('nobody')
    let isPrepared = false
    const preparing = new ServerBranch({ server: address(), wrote: true, cannotPrepare: false, connection }).prepare(`kept ${setting}`, false).then(() => (isPrepared = true))
    await until('it waits', async () => (await waiting()) === 1)
    expect(isPrepared).toBe(false)
    await waitFor('')
    await preparing
    await query(connection, `ROLLBACK PREPARED 'kept ${setting}'`)
  } finally {
    connection.close()
  }
})

test.each(['off', 'local', 'on'])('what was prepared and is committed is not told before, with synchronous_commit = %s', async (setting) => {
  const connection = await Connection.connect({ server: address(), database: 'postgres', user: 'postgres', password: undefined, clock: realClock })
  try {
    await query(connection, `SET synchronous_commit = ${setting}`)
    await query(connection, `BEGIN; INSERT INTO t VALUES ('y')`)
    const branch = new ServerBranch({ server: address(), wrote: true, cannotPrepare: false, connection })
    await branch.prepare(`finished ${setting}`, false)
    await waitFor('nobody')
    let isFinished = false
    const finishing = branch.finish(`finished ${setting}`, 'COMMIT').then(() => (isFinished = true))
    await until('it waits', async () => (await waiting()) === 1)
    expect(isFinished).toBe(false)
    await waitFor('')
    await finishing
  } finally {
    connection.close()
  }
})

test('what another has finished is not told before replicas have it', async () => {
  await waitFor('nobody')
  let isFinished = false
  const finishing = asked.finish('postgres', 'finished long ago', 'COMMIT').then(() => (isFinished = true))
  await until('it waits', async () => (await waiting()) === 1)
  expect(isFinished).toBe(false)
  await waitFor('')
  await finishing
})

const cancelWaiting = () => client.query(`SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'`)
const inTransaction = async (work: (branch: ServerBranch) => Promise<void>) => {
  const connection = await Connection.connect({ server: address(), database: 'postgres', user: 'postgres', password: undefined, clock: realClock })
  try {
    await query(connection, `BEGIN; INSERT INTO t VALUES ('x')`)
    await waitFor('nobody')
    await work(new ServerBranch({ server: address(), wrote: true, cannotPrepare: false, connection }))
  } finally {
    connection.close()
  }
}

test('PREPARE fails when it is cancelled while it waits for replicas', () =>
  inTransaction(async (branch) => {
    const preparing = branch.prepare('cancelled', false).then(() => 'prepared', (error: { code: string }) => error.code)
    await until('it waits', async () => (await waiting()) === 1)
    await cancelWaiting()
    expect(await preparing).toBe('57014')
    await waitFor('')
    await branch.finish('cancelled', 'ROLLBACK')
  }))

test('a decision goes on waiting for replicas when it is cancelled', () =>
  inTransaction(async (branch) => {
    let isDecided = false
    const deciding = branch.commit({ throughGate: false, decision: { id: 'cancelled', others: [2], isAsked: false } }).then(() => (isDecided = true))
    await until('it waits', async () => (await waiting()) === 1)
    await cancelWaiting()
    await until('it waits again', async () => (await client.query(`SELECT FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND query LIKE '%pg_logical_emit_message%'`)).rowCount === 1)
    expect(isDecided).toBe(false)
    await waitFor('')
    await deciding
  }))
