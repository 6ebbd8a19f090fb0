/** Commits over several shards are seen whole or not at all, where a session wants that; and one statement sees one moment of each server, always. */
import pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { preparedName } from '../../src/transaction/branch.ts'
import type { Router } from '../../src/router/router.ts'
import { until } from '../crash/support/until.ts'
import { startSecondRouter, startTestCluster } from '../support/cluster.ts'
import type { TestCluster } from '../support/cluster.ts'

let cluster: TestCluster
let second: Router
const open: pg.Client[] = []

async function connect(port: number, options = '', user = 'postgres'): Promise<pg.Client> {
  const client = new pg.Client({ host: '127.0.0.1', port, user, database: 'postgres', options })
  await client.connect()
  open.push(client)
  return client
}

let [writer, shard1, shard2, shard3]: pg.Client[] = []
const clients = () => [writer, shard1, shard2, shard3] as [pg.Client, pg.Client, pg.Client, pg.Client]
/** A row on each shard. */
let [on1, on2, on3] = [0, 0, 0]

beforeAll(async () => {
  cluster = await startTestCluster({ shards: 3, replicas: 0 })
  second = await startSecondRouter(cluster)
  writer = await connect(cluster.port)
  shard1 = await connect(cluster.running.cluster.shards[0]?.primary.port ?? 0)
  shard2 = await connect(cluster.running.cluster.shards[1]?.primary.port ?? 0)
  shard3 = await connect(cluster.running.cluster.shards[2]?.primary.port ?? 0)
  await writer.query('CREATE TABLE account (id int PRIMARY KEY, balance int, branch int)')
  await writer.query('CREATE TABLE branch (id int PRIMARY KEY, balance int)')
  await writer.query('CREATE VIEW total AS SELECT sum(balance) AS sum FROM account')
  const idOn = async (shard: pg.Client) => (await shard.query<{ id: number }>('SELECT id FROM account ORDER BY id LIMIT 1')).rows[0]?.id ?? 0
  await writer.query('INSERT INTO account SELECT i, 100, i % 3 FROM generate_series(1, 20) i')
  ;[on1, on2, on3] = [await idOn(shard1), await idOn(shard2), await idOn(shard3)]
})

beforeEach(async () => {
  await writer?.query('UPDATE account SET balance = 100')
})

afterAll(async () => {
  await Promise.all(open.map((client) => client.end()))
  await second.stop()
  await cluster.stop()
})

let number = 0

/** A transfer from shard 2 to shard 1 that has been decided, and is not finished yet on shard 2. Its name is none that recovery looks at. */
async function halfCommit(): Promise<() => Promise<void>> {
  const [, one, two] = clients()
  const id = `ab${String(++number).padStart(4, '0')}`
  const name = preparedName('by-hand', id, 1)
  await two.query(`BEGIN; UPDATE account SET balance = balance - 10 WHERE id = ${on2}; SELECT pgherd.pass_gate(); PREPARE TRANSACTION '${name}'`)
  await one.query(`BEGIN; UPDATE account SET balance = balance + 10 WHERE id = ${on1}; SELECT pgherd.decide('${id}', '{2}', false); COMMIT`)
  return async () => {
    await two.query(`COMMIT PREPARED '${name}'`)
  }
}

const waitsAtGate = async () => {
  const [, , two] = clients()
  const { rows } = await two.query(`SELECT FROM pg_locks WHERE relation = 'pgherd.commit_gate'::regclass AND mode = 'ShareLock' AND NOT granted`)
  return rows.length > 0
}

/** Each gives the sum of all balances: 2000 at any moment. */
const reads: readonly [string, (client: pg.Client) => Promise<number>][] = [
  ['a scatter', async (client) => (await client.query<{ balance: number }>('SELECT balance FROM account')).rows.reduce((sum, { balance }) => sum + balance, 0)],
  ['a merge', async (client) => (await client.query<{ balance: number }>('SELECT balance FROM account ORDER BY id')).rows.reduce((sum, { balance }) => sum + balance, 0)],
  ['partial aggregates', async (client) => Number((await client.query<{ sum: string }>('SELECT sum(balance) FROM account')).rows[0]?.sum)],
  ['a gather', async (client) => Number((await client.query<{ sum: string }>('SELECT sum(a.balance) FROM account a JOIN account b ON a.balance + 1000 > b.balance WHERE b.id = (SELECT min(id) FROM account)')).rows[0]?.sum)],
  ['a view', async (client) => Number((await client.query<{ sum: string }>('SELECT sum FROM total')).rows[0]?.sum)],
  ['a prepared statement', async (client) => Number((await client.query<{ sum: string }>({ name: 'total', text: 'SELECT sum(balance) FROM account WHERE id > $1', values: [0] })).rows[0]?.sum)],
  [
    'a REPEATABLE READ block',
    async (client) => {
      await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ')
      await client.query(`SELECT balance FROM account WHERE id = ${on1}`)
      const { rows } = await client.query<{ balance: number }>('SELECT balance FROM account')
      await client.query('COMMIT')
      return rows.reduce((sum, { balance }) => sum + balance, 0)
    },
  ],
]

describe('a commit over two shards that is half done', () => {
  test.each(reads)('%s shows half of it, unless told otherwise', async (_name, read) => {
    const reader = await connect(cluster.port)
    const finish = await halfCommit()
    expect(await read(reader)).toBe(2010)
    await finish()
    expect(await read(reader)).toBe(2000)
  })

  test.each(['atomic', 'snapshot'].flatMap((level) => reads.map(([name, read]) => [name, level, read] as const)))('%s waits for the rest with %s', async (_name, level, read) => {
    const reader = await connect(cluster.port)
    await reader.query(`SET pgherd.read_consistency = '${level}'`)
    const finish = await halfCommit()
    const sum = read(reader)
    await until('the reader waits', waitsAtGate)
    await finish()
    expect(await sum).toBe(2000)
  })

  test('is seen whole by who reads neither the server whose gate it holds nor all others', async () => {
    const [, one, two, three] = clients()
    const reader = await connect(cluster.port)
    await reader.query(`SET pgherd.read_consistency = 'atomic'`)
    const name = (server: number) => preparedName('by-hand', `ae000${server}`, 1)
    await two.query(`BEGIN; UPDATE account SET balance = balance - 10 WHERE id = ${on2}; PREPARE TRANSACTION '${name(2)}'`)
    await three.query(`BEGIN; UPDATE account SET balance = balance - 10 WHERE id = ${on3}; SELECT pgherd.pass_gate(); PREPARE TRANSACTION '${name(3)}'`)
    await one.query(`UPDATE account SET balance = balance + 20 WHERE id = ${on1}`)
    const rows = reader.query<{ balance: number }>(`SELECT balance FROM account WHERE id IN (${on1}, ${on2}) ORDER BY balance`)
    await until('the reader waits', async () => (await three.query(`SELECT FROM pg_locks WHERE relation = 'pgherd.commit_gate'::regclass AND mode = 'ShareLock' AND NOT granted`)).rows.length > 0)
    await two.query(`COMMIT PREPARED '${name(2)}'`)
    await three.query(`COMMIT PREPARED '${name(3)}'`)
    expect((await rows).rows).toEqual([{ balance: 90 }, { balance: 120 }])
  })

  test('reads of one shard wait for nothing', async () => {
    const reader = await connect(cluster.port)
    await reader.query(`SET pgherd.read_consistency = 'atomic'`)
    const finish = await halfCommit()
    for (const [id, balance] of [[on1, 110], [on2, 100]]) expect((await reader.query(`SELECT balance FROM account WHERE id = ${id}`)).rows).toEqual([{ balance }])
    await finish()
  })

  test('commits go on beside a reader that waits, and the reader gives up in the end', async () => {
    const reader = await connect(cluster.port)
    await reader.query(`SET pgherd.read_consistency = 'atomic'`)
    const finish = await halfCommit()
    const sum = reader.query('SELECT sum(balance) FROM account').then(() => undefined, (error: { code: string }) => error.code)
    for (let i = 0; i < 5; i++) {
      await until('the reader waits', waitsAtGate)
      await clients()[0].query(`UPDATE account SET balance = balance WHERE id NOT IN (${on1}, ${on2})`)
    }
    expect(await sum).toBe('55P03')
    await finish()
  })
})

describe('the setting', () => {
  const shown = async (client: pg.Client) => (await client.query<Record<string, string>>('SHOW pgherd.read_consistency')).rows[0]?.['pgherd.read_consistency']

  test('takes three values, follows transactions, and has the cluster\'s as its default', async () => {
    const client = await connect(cluster.port)
    expect(await shown(client)).toBe('shard')
    await expect(client.query(`SET pgherd.read_consistency = 'eventual'`)).rejects.toMatchObject({ code: '22023', hint: 'Available values: shard, atomic, snapshot.' })
    await client.query('BEGIN')
    await client.query(`SET LOCAL pgherd.read_consistency = 'atomic'`)
    expect(await shown(client)).toBe('atomic')
    await client.query('COMMIT')
    expect(await shown(client)).toBe('shard')
    await client.query('BEGIN; SAVEPOINT s')
    await client.query(`SET pgherd.read_consistency = 'snapshot'`)
    await client.query('ROLLBACK TO s; COMMIT')
    expect(await shown(client)).toBe('shard')
    await client.query(`SELECT set_config('pgherd.read_consistency', 'snapshot', false)`)
    expect(await shown(client)).toBe('snapshot')
    await client.query('RESET pgherd.read_consistency')
    expect(await shown(client)).toBe('shard')
    expect(await shown(await connect(cluster.port, '-c pgherd.read_consistency=atomic'))).toBe('atomic')
    await client.query('CREATE ROLE careful LOGIN')
    await client.query(`ALTER ROLE careful SET pgherd.read_consistency = 'snapshot'`)
    expect(await shown(await connect(second.port, '', 'careful'))).toBe('snapshot')
    await expect((await connect(second.port, '', 'careful')).query(`SELECT pgherd.set_cluster_setting('read_consistency', 'atomic')`)).rejects.toMatchObject({ code: '42501' })
    await client.query(`SELECT pgherd.set_cluster_setting('read_consistency', 'atomic')`)
    await until('the other router has seen it', async () => (await shown(await connect(second.port))) === 'atomic')
    await client.query(`SELECT pgherd.set_cluster_setting('read_consistency', 'shard')`)
    await expect(client.query(`SELECT pgherd.set_cluster_setting('read_consistency', 'x')`)).rejects.toMatchObject({ code: '22023' })
    await expect(client.query(`SELECT pgherd.set_cluster_setting('work_mem', '1GB')`)).rejects.toMatchObject({ code: '42704' })
  })
})

describe('one statement, one moment of each server', () => {
  test('a gather of two tables does not see a commit between its reads of a shard', async () => {
    const [client, one] = clients()
    await client.query('INSERT INTO branch SELECT i, 100 FROM generate_series(1, 20) i')
    const marker = (await one.query<{ name: string }>(`SELECT format('pgherd_data.%I', relname) AS name FROM pg_class WHERE relnamespace = 'pgherd_data'::regnamespace AND relkind = 'r' AND relname ~ '^m'`)).rows.map(({ name }) => name)
    const reader = await connect(cluster.port)
    const gate = await connect(cluster.running.cluster.shards[0]?.primary.port ?? 0)
    // Both tables are read in any order: the second read waits, whichever it is.
    for (const name of marker) {
      await client.query('UPDATE account SET balance = 100; UPDATE branch SET balance = 100')
      await gate.query(`BEGIN; LOCK TABLE ${name} IN ACCESS EXCLUSIVE MODE`)
      const sum = reader.query<{ sum: string }>('SELECT (SELECT sum(a.balance) FROM account a WHERE a.branch + 1 > (SELECT min(branch) FROM account)) + (SELECT sum(balance) FROM branch WHERE balance > (SELECT min(branch) - 1000 FROM account)) AS sum')
      await until('the reader waits', async () => (await one.query(`SELECT FROM pg_locks WHERE relation = '${name}'::regclass AND NOT granted`)).rows.length > 0)
      await one.query(`BEGIN; UPDATE account SET balance = balance + 7 WHERE id = ${on1}; UPDATE branch SET balance = balance - 7 WHERE id = ${on1}; COMMIT`)
      await gate.query('COMMIT')
      expect((await sum).rows, name).toEqual([{ sum: '4000' }])
    }
  })
})

test('under load of two routers every read of all shards gives the same total', async () => {
  const ports = [cluster.port, second.port]
  const state = { stopped: false, transfers: 0, reads: 0 }
  const transfers = ports.flatMap((port) => [port, port]).map(async (port, i) => {
    const client = await connect(port)
    for (let n = i; !state.stopped; n++) {
      const [from, to] = [1 + (n % 20), 1 + ((n * 7 + 3) % 20)].sort((a, b) => a - b)
      await client.query('BEGIN')
      await client.query('UPDATE account SET balance = balance - 1 WHERE id = $1', [from])
      await client.query('UPDATE account SET balance = balance + 1 WHERE id = $1', [to])
      await client.query('COMMIT')
      state.transfers++
    }
  })
  const readers = reads.flatMap((read) => ports.map((port) => [read, port] as const)).map(async ([[name, read], port]) => {
    const client = await connect(port, '-c pgherd.read_consistency=atomic')
    for (let n = 0; n < 15; n++) {
      expect(await read(client), name).toBe(2000)
      state.reads++
    }
  })
  await Promise.all(readers).finally(() => (state.stopped = true))
  await Promise.all(transfers)
  expect(state.reads).toBe(210)
  expect(state.transfers).toBeGreaterThan(0)
})
