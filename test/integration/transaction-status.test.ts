/** A client whose connection broke in COMMIT asks what became of its transaction: of any router, and whatever it was that had to commit. */
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { SqlTransactionServer } from '../../src/transaction/sql-transaction-server.ts'
import { forgetDecisions } from '../../src/transaction/forget-decisions.ts'
import { preparedName } from '../../src/transaction/branch.ts'
import { limits } from '../../src/base/limits.ts'
import { realClock } from '../../src/base/clock.ts'
import { catalogAddress } from '../../src/coordination/bootstrap.ts'
import { consoleLogger } from '../../src/observability/logger.ts'
import type { Router } from '../../src/router/router.ts'
import { startSecondRouter, startTestCluster } from '../support/cluster.ts'
import type { TestCluster } from '../support/cluster.ts'

describe('the outcome of a transaction', () => {
  let cluster: TestCluster
  let second: Router
  let [one, other] = [new pg.Client(), new pg.Client()]
  const open: pg.Client[] = []

  const connect = async (port: number) => {
    const client = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', database: 'postgres' })
    await client.connect()
    open.push(client)
    return client
  }
  const idOf = async (client: pg.Client) => String((await client.query<{ transaction_id: string }>('SELECT pgherd.transaction_id()')).rows[0]?.transaction_id)
  const statusOf = async (id: string) => (await other.query<{ s: string | null }>('SELECT pgherd.transaction_status($1) AS s', [id])).rows[0]?.s
  const servers = () => {
    const { catalog, shards } = cluster.running.cluster
    const addresses = [catalogAddress('127.0.0.1', catalog.port), ...shards.map(({ primary }, i) => ({ id: i + 1, name: `shard${i + 1}`, host: '127.0.0.1', port: primary.port }))]
    return addresses.map((address) => new SqlTransactionServer(address, { user: 'postgres' }))
  }

  beforeAll(async () => {
    cluster = await startTestCluster({ shards: 2, replicas: 0 })
    second = await startSecondRouter(cluster)
    one = await connect(cluster.port)
    other = await connect(second.port)
    await one.query('CREATE TABLE account (id int PRIMARY KEY, balance int)')
    await one.query('INSERT INTO account SELECT i, 0 FROM generate_series(1, 20) i')
  })

  afterAll(async () => {
    await Promise.all(open.map((client) => client.end()))
    await second.stop()
    await cluster.stop()
  })

  test.each([
    ['one shard', ['UPDATE account SET balance = 1 WHERE id = 1']],
    ['both shards', ['UPDATE account SET balance = 1']],
    ['both shards and the catalog', ['UPDATE account SET balance = 1', 'CREATE TEMPORARY TABLE mine (id int)']],
    ['no server', []],
    ['no server, after a read of all', ['SELECT sum(balance) FROM account']],
  ])('what wrote on %s', async (_name, statements) => {
    await one.query('BEGIN')
    const id = await idOf(one)
    for (const statement of statements) await one.query(statement)
    expect(await idOf(one)).toBe(id)
    expect(await statusOf(id)).toBe('in progress')
    await one.query('COMMIT')
    expect(await statusOf(id)).toBe('committed')
    expect(await statusOf(id)).toBe('committed')
  })

  test('what was rolled back, what failed, and what nobody has ever begun', async () => {
    await one.query('BEGIN')
    const id = await idOf(one)
    await one.query('UPDATE account SET balance = 2')
    await one.query('ROLLBACK')
    expect(await statusOf(id)).toBe('aborted')
    await one.query('BEGIN')
    const failed = await idOf(one)
    expect(failed).not.toBe(id)
    await expect(one.query('SELECT 1/0')).rejects.toMatchObject({ code: '22012' })
    await one.query('COMMIT')
    expect(await statusOf(failed)).toBe('aborted')
    expect(await statusOf(realClock.now().toString(16).padStart(12, '0') + '0'.repeat(18))).toBe('aborted')
    expect(await statusOf('0'.repeat(30))).toBeNull() // long ago
    const ago = (ms: number) => (realClock.now() - ms).toString(16).padStart(12, '0') + 'f'.repeat(18)
    expect(await statusOf(ago(0.4 * limits.askedDecisionKeepMs))).toBe('aborted')
    // Its decision may be forgotten by now, if the clock of the server that made it is ahead by some hours.
    expect(await statusOf(ago(0.6 * limits.askedDecisionKeepMs))).toBeNull()
    await expect(statusOf('12')).rejects.toMatchObject({ code: '22023' })
    await expect(one.query('SELECT pgherd.transaction_id()')).rejects.toMatchObject({ code: '25P01' })
    for (const misuse of ['pgherd.transaction_status(id::text) FROM account', 'pgherd.transaction_id(), 1', `1 WHERE pgherd.transaction_status('12') IS NULL`, `coalesce(pgherd.transaction_id(), '')`]) {
      await expect(one.query(`SELECT ${misuse}`)).rejects.toMatchObject({ code: '0A000' })
    }
  })

  test('each transaction of a chain has its own', async () => {
    await one.query('BEGIN')
    const first = await idOf(one)
    await one.query('COMMIT AND CHAIN')
    const next = await idOf(one)
    expect(next).not.toBe(first)
    await one.query('ROLLBACK')
    expect([await statusOf(first), await statusOf(next)]).toEqual(['committed', 'aborted'])
  })

  test.each([['one shard', 'WHERE id = 1'], ['both shards', '']])('an answer of "aborted" holds: what wrote on %s cannot commit after it', async (_name, where) => {
    await one.query('BEGIN')
    await one.query('SAVEPOINT before')
    const id = await idOf(one)
    // With the savepoint what shows that it is open goes too.
    await one.query('ROLLBACK TO before')
    await one.query(`UPDATE account SET balance = 3 ${where}`)
    expect(await statusOf(id)).toBe('aborted')
    await expect(one.query('COMMIT')).rejects.toMatchObject({ code: '40001' })
    expect((await one.query('SELECT FROM account WHERE balance = 3')).rowCount).toBe(0)
    expect(await statusOf(id)).toBe('aborted')
  })

  test('what decides, and what holds the gate, is not for clients', async () => {
    for (const call of [`SELECT pgherd.decide('ab', '{}', false)`, 'SELECT pgherd.pass_gate()', `SELECT pgherd.open_transaction('ab') FROM account`, 'LOCK TABLE pgherd.commit_gate', `INSERT INTO pgherd.decision VALUES ('ab', 'committed')`]) {
      await one.query('BEGIN')
      await expect(one.query(call), call).rejects.toMatchObject({ code: '42501' })
      await one.query('ROLLBACK')
    }
    await one.query('SET search_path = pgherd, public')
    await expect(one.query('SELECT pass_gate()')).rejects.toMatchObject({ code: '42501' })
    await one.query('RESET search_path')
  })

  test('a unique constraint that fails at COMMIT is told as what it is', async () => {
    await one.query('CREATE TABLE late (id int PRIMARY KEY, n int, UNIQUE (id, n) DEFERRABLE INITIALLY DEFERRED)')
    await one.query('INSERT INTO late SELECT i, 1 FROM generate_series(1, 20) i')
    await one.query('ALTER TABLE late DROP CONSTRAINT late_pkey')
    await one.query('BEGIN')
    const id = await idOf(one)
    await one.query('INSERT INTO late SELECT i, 1 FROM generate_series(1, 20) i')
    await expect(one.query('COMMIT')).rejects.toMatchObject({ code: '23505' })
    expect(await statusOf(id)).toBe('aborted')
  })

  test('decisions are forgotten when nobody can ask for them', async () => {
    const [catalog, shard] = servers() as [SqlTransactionServer, SqlTransactionServer]
    const direct = await connect(cluster.running.cluster.shards[0]?.primary.port ?? 0)
    const name = (id: string) => preparedName('forget', id, catalog.id)
    await direct.query(`BEGIN; CREATE TABLE left_prepared (); PREPARE TRANSACTION '${name('aa')}'`)
    const onCatalog = await connect(cluster.running.cluster.catalog.port)
    const old = limits.decisionKeepMs + 60_000
    const insert = (id: string, others: string, asked: boolean, ageMs: number) =>
      onCatalog.query(`INSERT INTO pgherd.decision (id, outcome, decided_at, others, asked) VALUES ($1, 'committed', now() - $2 * interval '1 ms', $3, $4)`, [id, ageMs, others, asked])
    await insert('aa', `{${shard.id}}`, false, old)
    await insert('bb', `{${shard.id}}`, false, old)
    await insert('cc', `{${shard.id}}`, false, 0)
    await insert('dd', '{}', true, old)
    await insert('ee', '{}', true, limits.askedDecisionKeepMs + 60_000)
    await insert('ff', '{99}', false, old)
    await onCatalog.query(`INSERT INTO pgherd.decision (id, outcome, decided_at) VALUES ('a0', 'aborted', now() - $1 * interval '1 ms')`, [old])
    const context = { clusterId: 'forget', clock: realClock, log: consoleLogger('quiet'), inFlight: new Set<string>(), servers: servers() }
    const left = async () => (await onCatalog.query<{ id: string }>(`SELECT id FROM pgherd.decision WHERE length(id) = 2 ORDER BY id`)).rows.map(({ id }) => id)
    await forgetDecisions(context)
    // One is prepared still, one is young, one known to a client, and one was prepared on a server that cannot be asked.
    expect(await left()).toEqual(['aa', 'cc', 'dd', 'ff'])
    await direct.query(`ROLLBACK PREPARED '${name('aa')}'`)
    await forgetDecisions(context)
    expect(await left()).toEqual(['cc', 'dd', 'ff'])
  })

  test('what was aborted is remembered as long as its transaction may be open', async () => {
    const [catalog] = servers() as [SqlTransactionServer]
    const decider = await connect(cluster.running.cluster.catalog.port)
    const witness = await connect(cluster.running.cluster.catalog.port)
    await decider.query('BEGIN; SELECT 1')
    expect(await catalog.settle('postgres', 'abcd')).toMatchObject({ outcome: 'aborted' })
    const seen = async () => (await catalog.oldDecisions('postgres', { ageMs: 0, askedAgeMs: 0, abortedBefore: await catalog.openSince() })).some(({ id }) => id === 'abcd')
    expect(await seen()).toBe(false)
    await expect(decider.query(`SELECT pgherd.decide('abcd', '{}', false)`)).rejects.toMatchObject({ code: '23505' })
    await decider.query('ROLLBACK')
    await witness.query('SELECT 1')
    expect(await seen()).toBe(true)
  })
})
