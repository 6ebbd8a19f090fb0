/** Commits over several shards are seen whole or not at all, where a session wants that; and one statement sees one moment of each server, always. */
import pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { preparedName } from '../../src/transaction/branch.ts'
import type { Router } from '../../src/router/router.ts'
import { until } from '../crash/support/until.ts'
import { copyOut } from '../support/copy-out.ts'
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
  await writer.query(`CREATE TABLE rate (id int PRIMARY KEY, factor int) WITH (pgherd.kind = 'reference')`)
  await writer.query('INSERT INTO rate VALUES (1, 1)')
  await writer.query('CREATE MATERIALIZED VIEW kept AS SELECT sum(balance) FROM account')
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

type Read = (client: pg.Client) => Promise<number>
const sumOf = (rows: readonly { balance: number }[]) => rows.reduce((sum, { balance }) => sum + balance, 0)

/** In a READ COMMITTED block that has begun on a shard already. */
const inBlock = (read: Read): Read => async (client) => {
  await client.query('BEGIN')
  await client.query(`SELECT balance FROM account WHERE id = ${on1}`)
  const sum = await read(client)
  await client.query('COMMIT')
  return sum
}

const scatter: Read = async (client) => sumOf((await client.query<{ balance: number }>('SELECT balance FROM account')).rows)
const merge: Read = async (client) => sumOf((await client.query<{ balance: number }>('SELECT balance FROM account ORDER BY id')).rows)
const aggregates: Read = async (client) => Number((await client.query<{ sum: string }>('SELECT sum(balance) FROM account')).rows[0]?.sum)
const selfJoin = 'SELECT sum(a.balance) FROM account a JOIN account b ON a.balance + $1 > b.balance WHERE b.id = (SELECT min(id) FROM account WHERE balance > $2::int - 1000)'
const gather: Read = async (client) => Number((await client.query<{ sum: string }>(selfJoin, [1000, 0])).rows[0]?.sum)
const cursor: Read = async (client) => {
  await client.query('DECLARE c CURSOR FOR SELECT balance FROM account ORDER BY id')
  return sumOf((await client.query<{ balance: number }>('FETCH ALL FROM c')).rows)
}

const copy = (text: string): Read => async (client) => (await copyOut(client, text)).reduce((sum, line) => sum + Number(line), 0)
const refreshed: Read = async (client) => {
  await client.query('REFRESH MATERIALIZED VIEW kept')
  return Number((await client.query<{ sum: string }>('SELECT sum FROM kept')).rows[0]?.sum)
}
const held: Read = async (client) => {
  await client.query('DECLARE h CURSOR WITH HOLD FOR SELECT balance FROM account')
  const { rows } = await client.query<{ balance: number }>('FETCH ALL FROM h')
  await client.query('CLOSE h')
  return sumOf(rows)
}
const madeTable = (kind: string): Read => async (client) => {
  await client.query(`CREATE ${kind} TABLE made AS SELECT id, balance FROM account`)
  const { rows } = await client.query<{ sum: string }>('SELECT sum(balance) FROM made')
  await client.query('DROP TABLE made')
  return Number(rows[0]?.sum)
}
/** Half of the transfer leaves one row that is not 100; the whole two, which count as none. */
const explained = (text: string): Read => async (client) => {
  const { rows } = await client.query<{ 'QUERY PLAN': [{ Plan: { Plans: { 'Actual Rows': number; 'Node Type': string }[] } }] }>(`EXPLAIN (ANALYZE, FORMAT JSON) ${text}`)
  const changed = rows[0]?.['QUERY PLAN'][0].Plan.Plans.filter((plan) => !plan['Node Type'].startsWith('Result')).reduce((sum, plan) => sum + plan['Actual Rows'], 0) ?? 0
  return changed === 1 ? 2010 : 2000
}
const rated: Read = async (client) => Number((await client.query<{ sum: string }>('SELECT sum(a.balance * r.factor) FROM account a JOIN rate r ON r.id = 1 WHERE a.balance > (SELECT min(balance) - 1000 FROM account) AND r.factor > (SELECT max(factor) - 1 FROM rate)')).rows[0]?.sum)

/** Each gives the sum of all balances: 2000 at any moment. */
const reads: readonly [string, Read][] = [
  ['a scatter in a block', inBlock(scatter)],
  ['a merge in a block', inBlock(merge)],
  ['partial aggregates in a block', inBlock(aggregates)],
  ['a gather in a block', inBlock(gather)],
  ['a cursor', inBlock(cursor)],
  ['a cursor WITH HOLD', held],
  ['COPY of a table', copy('COPY account (balance) TO STDOUT')],
  ['COPY of a table in a block', inBlock(copy('COPY account (balance) TO STDOUT'))],
  ['COPY of a query', copy('COPY (SELECT balance FROM account ORDER BY id) TO STDOUT')],
  ['COPY of a query in a block', inBlock(copy('COPY (SELECT balance FROM account WHERE id > (SELECT min(id) - 1 FROM account)) TO STDOUT'))],
  ['REFRESH MATERIALIZED VIEW', refreshed],
  ['REFRESH MATERIALIZED VIEW in a block', inBlock(refreshed)],
  ['CREATE TEMPORARY TABLE AS', madeTable('TEMPORARY')],
  ['CREATE TABLE AS', madeTable('')],
  ['EXPLAIN ANALYZE of a scatter', explained('SELECT id FROM account WHERE balance <> 100')],
  ['EXPLAIN ANALYZE of a merge', explained('SELECT id FROM account WHERE balance <> 100 ORDER BY id')],
  ['a gather beside a reference table', rated],
  ['a gather beside a reference table in a block', inBlock(rated)],
  ['a gather with parameters', gather],
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

test.each(['shard', 'atomic', 'snapshot'])('a block sees its own writes with %s', async (level) => {
  const client = await connect(cluster.port)
  await client.query(`SET pgherd.read_consistency = '${level}'`)
  for (const isolation of ['READ COMMITTED', 'REPEATABLE READ']) {
    await client.query(`BEGIN ISOLATION LEVEL ${isolation}`)
    await client.query(`UPDATE account SET balance = balance + 1 WHERE id IN (${on1}, ${on2})`)
    for (const read of [scatter, merge, aggregates, gather, cursor]) expect(await read(client)).toBe(2002)
    await client.query('ROLLBACK')
  }
})

describe('what writes', () => {
  test('what an INSERT gathers is of one moment with atomic', async () => {
    const reader = await connect(cluster.port)
    await reader.query(`CREATE TABLE copied (id int PRIMARY KEY, balance int); SET pgherd.read_consistency = 'atomic'`)
    const finish = await halfCommit()
    const done = reader.query('INSERT INTO copied SELECT id + 1000, balance FROM account')
    await until('the reader waits', waitsAtGate)
    await finish()
    await done
    expect((await reader.query('SELECT sum(balance) FROM copied')).rows).toEqual([{ sum: '2000' }])
  })

  test('rows are locked at their newest versions, outside of a block too', async () => {
    const [client, one] = clients()
    const looker = await connect(cluster.running.cluster.shards[0]?.primary.port ?? 0)
    const reader = await connect(cluster.port, '-c pgherd.read_consistency=atomic')
    await one.query(`BEGIN; UPDATE account SET balance = 70 WHERE id = ${on1}`)
    const rows = reader.query<{ balance: number }>('SELECT balance FROM account ORDER BY id FOR UPDATE')
    await until('the reader waits for the row', async () => (await looker.query(`SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%FOR UPDATE%' AND pid <> pg_backend_pid()`)).rows.length > 0)
    await one.query('COMMIT')
    expect(sumOf((await rows).rows)).toBe(1970)
    await client.query('UPDATE account SET balance = 100')
  })

  test('reference tables beside gathered rows are of the same moment, in a block too', async () => {
    const reader = await connect(cluster.port, '-c pgherd.read_consistency=atomic')
    const [client] = clients()
    const state = { isDone: false, sums: new Set<number>() }
    const read = (async () => {
      for (let n = 0; n < 30; n++) state.sums.add(await (n % 2 === 0 ? inBlock(rated) : rated)(reader))
    })().finally(() => (state.isDone = true))
    // All accounts, and the factor: their product is always the same.
    while (!state.isDone) {
      for (const [balance, factor] of [[50, 2], [100, 1]]) await client.query(`BEGIN; UPDATE account SET balance = ${balance}; UPDATE rate SET factor = ${factor}; COMMIT`)
    }
    await read
    expect([...state.sums]).toEqual([2000])
    await reader.query('BEGIN; UPDATE rate SET factor = 3')
    expect(await rated(reader)).toBe(6000)
    await reader.query('ROLLBACK')
  })
})

describe('one statement, one moment of each server', () => {
  const both = '(SELECT sum(a.balance) FROM account a WHERE a.branch + 1 > (SELECT min(branch) FROM account)) + (SELECT sum(balance) FROM branch WHERE balance > (SELECT min(branch) - 1000 FROM account))'
  type Sum = (client: pg.Client) => Promise<string | undefined>
  const select: Sum = async (client) => (await client.query<{ sum: string }>(`SELECT ${both} AS sum`)).rows[0]?.sum
  const ways: readonly [string, Sum][] = [
    ['outside of a block', select],
    ['in a block', async (client) => {
      await client.query('BEGIN')
      return select(client).finally(() => client.query('COMMIT'))
    }],
    ['with a parameter in a block', async (client) => {
      await client.query('BEGIN')
      const { rows } = await client.query<{ sum: string }>(`SELECT ${both.replace('1000', '$1::int')} AS sum WHERE $2 = 'x'`, [1000, 'x']).finally(() => client.query('COMMIT'))
      return rows[0]?.sum
    }],
    ['for an INSERT', async (client) => {
      const { rows } = await client.query<{ sum: number }>(`INSERT INTO noted SELECT coalesce(max(id), 0) + 1, ${both} FROM noted RETURNING sum`)
      return String(rows[0]?.sum)
    }],
  ]

  beforeAll(async () => {
    await clients()[0].query('INSERT INTO branch SELECT i, 100 FROM generate_series(1, 20) i')
    await clients()[0].query('CREATE TABLE noted (id int PRIMARY KEY, sum int)')
  })

  test.each(ways)('a gather of two tables does not see a commit between its reads of a shard, %s', async (_name, sumNow) => {
    const [client, one] = clients()
    const reader = await connect(cluster.port)
    const gate = await connect(cluster.running.cluster.shards[0]?.primary.port ?? 0)
    const tables = (await one.query<{ name: string }>(`SELECT format('pgherd_data.%I', relname) AS name FROM pg_class WHERE relnamespace = 'pgherd_data'::regnamespace AND relkind = 'r' AND relname ~ '^m'`)).rows.map(({ name }) => name)
    const waits = async (name: string) => (await one.query(`SELECT FROM pg_locks WHERE relation = '${name}'::regclass AND NOT granted`)).rows.length > 0
    let waited = 0
    // Both tables are read in any order: the second read waits, whichever it is.
    for (const name of tables) {
      await client.query('UPDATE account SET balance = 100; UPDATE branch SET balance = 100')
      await gate.query(`BEGIN; LOCK TABLE ${name} IN ACCESS EXCLUSIVE MODE`)
      const sum = sumNow(reader)
      const state = { isDone: false }
      void sum.then(() => (state.isDone = true), () => undefined)
      await until('the reader waits, or has read', async () => state.isDone || (await waits(name)))
      if (!state.isDone) waited++
      await one.query(`BEGIN; UPDATE account SET balance = balance + 7 WHERE id = ${on1}; UPDATE branch SET balance = balance - 7 WHERE id = ${on1}; COMMIT`)
      await gate.query('COMMIT')
      expect(await sum, name).toBe('4000')
    }
    expect(waited).toBeGreaterThanOrEqual(2)
  })
})

describe('SERIALIZABLE holds, or is refused', () => {
  const refused = { code: '0A000' }

  test('over several shards, however it was asked for', async () => {
    const client = await connect(cluster.port)
    for (const text of ['SELECT * FROM account', 'SELECT * FROM account ORDER BY id', 'SELECT count(*) FROM account', 'SELECT count(*) FROM account a JOIN branch b ON b.balance = a.balance', `UPDATE account SET balance = balance`]) {
      await client.query('BEGIN ISOLATION LEVEL SERIALIZABLE')
      await expect(client.query(text), text).rejects.toMatchObject(refused)
      await client.query('ROLLBACK')
      for (const way of [`SET default_transaction_isolation = 'serializable'`, 'SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE']) {
        await client.query(way)
        await expect(client.query(text), `${way}; ${text}`).rejects.toMatchObject(refused)
        await expect(client.query({ text, values: [] }), `${way}; ${text}`).rejects.toMatchObject(refused)
        await client.query('RESET default_transaction_isolation')
      }
    }
    await client.query('CREATE ROLE strict LOGIN; GRANT ALL ON account TO strict')
    await client.query(`ALTER ROLE strict SET default_transaction_isolation = 'serializable'`)
    const strict = await connect(cluster.port, '', 'strict')
    await expect(strict.query('SELECT * FROM account')).rejects.toMatchObject(refused)
    expect((await strict.query(`SELECT id FROM account WHERE id = ${on1}`)).rows).toEqual([{ id: on1 }])
  })

  test('writes of reference tables are refused', async () => {
    const client = await connect(cluster.port)
    await client.query(`CREATE TABLE code (id int PRIMARY KEY) WITH (pgherd.kind = 'reference')`)
    await client.query('BEGIN ISOLATION LEVEL SERIALIZABLE')
    await expect(client.query('INSERT INTO code VALUES (1)')).rejects.toMatchObject(refused)
    await client.query('ROLLBACK')
  })

  test('on one shard a write skew ends one of two', async () => {
    const [a, b] = [await connect(cluster.port), await connect(second.port)]
    await a.query('CREATE TABLE duty (crew int, id int, here bool, PRIMARY KEY (crew, id)) WITH (pgherd.shard_key = \'crew\')')
    await a.query('INSERT INTO duty VALUES (1, 1, true), (1, 2, true)')
    const outcomes = []
    for (const client of [a, b]) await client.query('BEGIN ISOLATION LEVEL SERIALIZABLE')
    for (const client of [a, b]) await client.query('SELECT count(*) FROM duty WHERE crew = 1 AND here')
    for (const [i, client] of [a, b].entries()) outcomes.push(await client.query(`UPDATE duty SET here = false WHERE crew = 1 AND id = ${i + 1}`).then(() => client.query('COMMIT')).then(() => 'done', (error: { code: string }) => error.code))
    expect(outcomes).toEqual(['done', '40001'])
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
  // All at once, in one schema.
  const together = reads.filter(([name]) => name !== 'CREATE TABLE AS')
  const readers = together.flatMap((read) => ports.map((port) => [read, port] as const)).map(async ([[name, read], port]) => {
    const client = await connect(port, '-c pgherd.read_consistency=atomic')
    for (let n = 0; n < 8; n++) {
      expect(await read(client), name).toBe(2000)
      state.reads++
    }
  })
  await Promise.all(readers).finally(() => (state.stopped = true))
  await Promise.all(transfers)
  expect(state.reads).toBe(together.length * 2 * 8)
  expect(state.transfers).toBeGreaterThan(0)
}, 180_000)
