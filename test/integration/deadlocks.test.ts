/** Sessions of two routers that wait for each other on different servers. */
import type pg from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { Router } from '../../src/router/router.ts'
import type { WaitingTransaction } from '../../src/transaction/wait-graph.ts'
import { ask, connect } from '../crash/support/servers.ts'
import { until } from '../crash/support/until.ts'
import { startSecondRouter, startTestCluster } from '../support/cluster.ts'
import type { TestCluster } from '../support/cluster.ts'

let cluster: TestCluster
let second: Router
const open: pg.Client[] = []
/** Keys by shard. */
let keys: number[][]

async function session(router: 0 | 1): Promise<pg.Client> {
  const client = await connect(router === 0 ? cluster.port : second.port)
  open.push(client)
  return client
}

const shardPorts = () => cluster.running.cluster.shards.map(({ primary }) => primary.port)
const catalogPort = () => cluster.running.cluster.catalog.port

/** The n-th key on a shard. */
function key(shard: number, n = 0): number {
  const found = keys[shard]?.[n]
  if (found === undefined) throw new Error(`shard ${shard} has too few keys`)
  return found
}

const change = (shard: number, n = 0) => `UPDATE accounts SET v = v + 1 WHERE id = ${key(shard, n)}`

async function begin(router: 0 | 1, ...statements: string[]): Promise<pg.Client> {
  const client = await session(router)
  for (const statement of ['BEGIN', ...statements]) await client.query(statement)
  return client
}

type Outcome = 'done' | string

const outcome = (work: Promise<unknown>): Promise<Outcome> => work.then(() => 'done', (error: { code: string }) => error.code)

/** A statement and, if it succeeds, the commit. */
const finish = (client: pg.Client, statement: string) => outcome(client.query(statement).then(() => client.query('COMMIT')))

const waitersOn = async (port: number) => (await ask(port, `SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'`)).length

const waiters = (shard: number, count: number) => until(`${count} wait on shard ${shard}`, async () => (await waitersOn(shardPorts()[shard] ?? 0)) === count)

/** A row that no router has written, and that does not grow old. */
const tell = (transaction: WaitingTransaction) =>
  ask(
    catalogPort(),
    `INSERT INTO pgherd.waits VALUES ('untrue', now() + interval '1 hour', '${JSON.stringify([transaction])}') ON CONFLICT (router) DO UPDATE SET transactions = excluded.transactions`,
    'pgherd',
  )

/** Until routers have told so often again what they have. */
async function passes(count: number): Promise<void> {
  const seen = new Set<string>()
  await until(`${count} passes`, async () => {
    for (const { at } of await ask<{ at: string }>(catalogPort(), `SELECT router || told_at AS at FROM pgherd.waits WHERE router <> 'untrue'`, 'pgherd')) seen.add(at)
    return seen.size > 2 * count
  })
}

const told = async () => (await ask<{ transactions: readonly { id: string }[] }>(catalogPort(), 'SELECT transactions FROM pgherd.waits', 'pgherd')).flatMap(({ transactions }) => transactions)

beforeAll(async () => {
  cluster = await startTestCluster({ shards: 3, replicas: 0 })
  second = await startSecondRouter(cluster)
  const client = await connect(cluster.port)
  await client.query('CREATE TABLE accounts (id int PRIMARY KEY, v int NOT NULL)')
  await client.query('CREATE TABLE whole (n int, v int)')
  await client.query('INSERT INTO whole VALUES (1, 0), (2, 0)')
  await client.query('CREATE TABLE late (id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED)')
  await client.query('INSERT INTO accounts SELECT i, 0 FROM generate_series(1, 60) i')
  await client.end()
  keys = await Promise.all(shardPorts().map(async (port) => (await ask<{ id: number }>(port, 'SELECT id FROM accounts ORDER BY id')).map(({ id }) => id)))
})

afterEach(async () => {
  await Promise.all(open.splice(0).map((client) => client.end()))
})

afterAll(async () => {
  await second.stop()
  await cluster.stop()
})

describe('on two routers', () => {
  test.each([[0, 1], [1, 0]] as const)('two transactions, the older one on router %i: the younger one is told 40P01, the other commits', async (older, younger) => {
    const a = await begin(older, change(0))
    const b = await begin(younger, change(1))
    const ends = [finish(a, change(1)), finish(b, change(0))]
    expect(await Promise.all(ends)).toEqual(['done', '40P01'])
    await expect(b.query('SELECT 1')).rejects.toMatchObject({ code: '25P02' })
    await b.query('ROLLBACK')
  })

  test('the victim hears what PostgreSQL says', async () => {
    const a = await begin(0, change(0))
    const b = await begin(1, change(1))
    const end = finish(a, change(1))
    await expect(b.query(change(0))).rejects.toMatchObject({ code: '40P01', message: 'deadlock detected', severity: 'ERROR' })
    expect(await end).toBe('done')
  })

  test('three transactions on three shards: one victim, the others commit', async () => {
    const all = [await begin(0, change(0)), await begin(1, change(1)), await begin(0, change(2))]
    const ends = all.map((client, i) => finish(client, change((i + 1) % 3)))
    expect(await Promise.all(ends)).toEqual(['done', 'done', '40P01'])
  })

  test('a cycle through a session of one server: in a transaction', async () => {
    const a = await begin(0, change(0))
    const b = await begin(1, change(1))
    const between = await begin(0, change(1, 1))
    const middle = finish(between, change(1))
    await waiters(1, 1)
    const ends = [finish(a, change(1, 1)), finish(b, change(0))]
    expect(await Promise.all([...ends, middle])).toEqual(['done', '40P01', 'done'])
  })

  test('a cycle through a session of one server: with a statement alone', async () => {
    // Rows of a whole table are locked in the order in which they came.
    const shard = (await Promise.all(shardPorts().map((port) => ask(port, `SELECT FROM pg_tables WHERE tablename = 'whole'`)))).findIndex((rows) => rows.length > 0)
    const elsewhere = (shard + 1) % 3
    const a = await begin(0, change(elsewhere))
    const b = await begin(1, 'UPDATE whole SET v = v + 1 WHERE n = 2')
    const middle = outcome((await session(0)).query('UPDATE whole SET v = v + 1'))
    await waiters(shard, 1)
    const ends = [finish(a, 'UPDATE whole SET v = v + 1 WHERE n = 1'), finish(b, change(elsewhere))]
    expect(await Promise.all([...ends, middle])).toEqual(['done', '40P01', 'done'])
  })

  test('a lock that a session holds outside of transactions', async () => {
    const a = await session(0)
    await a.query('SELECT pg_advisory_lock(7)')
    const b = await begin(1, change(0))
    const taking = outcome(b.query('SELECT pg_advisory_lock(7)'))
    await until('the lock is waited for', async () => (await waitersOn(catalogPort())) === 1)
    // The statement alone began last.
    expect(await outcome(a.query(change(0)))).toBe('40P01')
    await a.query('SELECT pg_advisory_unlock(7)')
    expect(await taking).toBe('done')
  })

  test('at their commits, each waiting for what the other has prepared', async () => {
    // A row that may be there twice until the commit is looked at by who came second. Each of the two is that on the shard that decides for it.
    const insert = (shard: number, n: number) => `INSERT INTO late VALUES (${key(shard, n)})`
    const a = await begin(0, insert(0, 0), insert(1, 1))
    const b = await begin(1, insert(1, 0), insert(0, 1))
    await a.query(insert(0, 1))
    await b.query(insert(1, 1))
    const ends = [outcome(a.query('COMMIT')), outcome(b.query('COMMIT'))]
    await until('both have prepared', async () => (await Promise.all(shardPorts().map((port) => ask(port, 'SELECT FROM pg_prepared_xacts')))).flat().length === 2)
    expect(await Promise.all(ends)).toEqual(['done', '40P01'])
    expect((await a.query('SELECT count(*)::int AS count FROM late')).rows).toEqual([{ count: 3 }])
  })

  test('each deadlock has one victim, and what was told is taken back', async () => {
    const pairs = await Promise.all(
      [0, 1, 2, 3].map(async (n) => {
        const a = await begin(0, change(0, n))
        const b = await begin(1, change(1, n))
        return [finish(a, change(1, n)), finish(b, change(0, n))]
      }),
    )
    const ends = await Promise.all(pairs.map((pair) => Promise.all(pair)))
    expect(ends.map((pair) => pair.toSorted())).toEqual(pairs.map(() => ['40P01', 'done']))
    await until('nothing is told any more', async () => (await told()).length === 0)
  })
})

describe('nobody is cancelled', () => {
  test('in a chain over two servers and two routers, however long', async () => {
    const holder = await begin(0, change(0), change(1))
    const b = await begin(1, change(1, 1))
    const c = await begin(0, change(0, 2))
    const ends = [finish(b, change(0)), finish(c, change(1, 1))]
    await until('both are told of', async () => (await told()).length === 2)
    await passes(3)
    await holder.query('COMMIT')
    expect(await Promise.all(ends)).toEqual(['done', 'done'])
  })

  test('for what was told of an earlier wait of the same process', async () => {
    // One is on two servers; it waits for another, and a third for it: a chain.
    const one = await begin(0, change(0))
    const other = await begin(1, change(1))
    const end = finish(one, change(1))
    const third = finish(await begin(1), change(0))
    await waiters(1, 1)
    await waiters(0, 1)
    const [waiter] = await ask<{ pid: number; since: string }>(shardPorts()[0] ?? 0, 'SELECT pid, extract(epoch FROM waitstart)::text AS since FROM pg_locks WHERE NOT granted')
    const [idle] = await ask<{ pid: number }>(shardPorts()[1] ?? 0, `SELECT pid FROM pg_stat_activity WHERE state = 'idle in transaction'`)
    if (waiter === undefined || idle === undefined) throw new Error('nobody waits')
    // The third and the other would be one.
    const tellOfWait = (since: string) => tell({ id: 'untrue', begunAt: 0, waits: [{ server: 1, pid: waiter.pid, since, keeps: true }], keeps: [{ server: 2, pid: idle.pid }] })
    await tellOfWait('1.000000')
    await passes(3)
    expect(await waitersOn(shardPorts()[1] ?? 0), 'those that wait still').toBe(1)
    // It would be a deadlock if it were this wait.
    await tellOfWait(waiter.since)
    expect(await end).toBe('40P01')
    await one.query('ROLLBACK')
    expect(await third).toBe('done')
    await other.query('COMMIT')
    await ask(catalogPort(), `DELETE FROM pgherd.waits WHERE router = 'untrue'`, 'pgherd')
  })
})

describe('schema changes', () => {
  const shellIsTaken = () =>
    until('the change has the shell', async () => (await ask(catalogPort(), `SELECT FROM pg_locks WHERE relation = 'accounts'::regclass AND mode = 'AccessExclusiveLock' AND granted`)).length > 0)
  let texts = 0
  /** Texts that are new are described on the shell, which the change has. */
  const describeMore = async (client: pg.Client) => {
    for (let n = 0; n < 3; n++) await client.query({ text: `SELECT v + ${texts++} FROM accounts WHERE id = $1`, values: [key(0, n)] })
  }

  test('a change alone gives way to a transaction of another router, and is made after it', async () => {
    const writer = await begin(1, change(0))
    const changing = outcome((await session(0)).query('ALTER TABLE accounts ADD COLUMN w int'))
    await shellIsTaken()
    await describeMore(writer)
    await writer.query('COMMIT')
    expect(await changing).toBe('done')
    expect((await writer.query('SELECT count(*)::int AS count FROM accounts WHERE w IS NULL')).rows).toEqual([{ count: 60 }])
  })

  test('a reader who merges the rows of all shards is not kept waiting by a change that waits for one', async () => {
    const client = await session(0)
    await client.query('CREATE TABLE big (id int PRIMARY KEY, note text)')
    // More than a merge takes of one shard before it has rows of the others.
    await client.query(`INSERT INTO big SELECT i, repeat('x', 1000) FROM generate_series(1, 10000) i`)
    const slow = await connect(shardPorts()[2] ?? 0)
    open.push(slow)
    await slow.query('BEGIN')
    await slow.query('SELECT count(*) FROM big')
    const changing = outcome((await session(1)).query('ALTER TABLE big ADD COLUMN w int'))
    await waiters(2, 1)
    // A simple query is not described on the shell, which the change has.
    const read = await client.query('SELECT * FROM big ORDER BY id')
    expect(read.rows.map(({ id }: { id: number }) => id)).toEqual(Array.from({ length: 10_000 }, (_, i) => i + 1))
    await slow.query('COMMIT')
    expect(await changing).toBe('done')
  })

  test('a change in a block gives way, though it is the older one, and its client is told', async () => {
    const changer = await begin(0)
    const writer = await begin(1, change(0))
    const changing = finish(changer, 'ALTER TABLE accounts ADD COLUMN never int')
    await shellIsTaken()
    await describeMore(writer)
    await writer.query('COMMIT')
    expect(await changing).toBe('40P01')
    await changer.query('ROLLBACK')
    expect((await writer.query('SELECT * FROM accounts LIMIT 1')).fields.map(({ name }) => name)).not.toContain('never')
  })
})
