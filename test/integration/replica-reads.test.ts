/** Reads of replicas: never older than the bound, never behind the session's own writes, and from the primary where a replica fails. */
import pg from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { logEnd } from '../../src/coordination/log-position.ts'
import type { Router } from '../../src/router/router.ts'
import { send } from '../crash/support/processes.ts'
import { until } from '../crash/support/until.ts'
import { startSecondRouter, startTestCluster } from '../support/cluster.ts'
import type { TestCluster } from '../support/cluster.ts'

describe('reads of replicas', () => {
  let cluster: TestCluster
  let second: Router
  let [writer, reader] = [new pg.Client(), new pg.Client()]
  const open: pg.Client[] = []

  const connect = async (port: number, options = '') => {
    const client = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', database: 'postgres', options })
    client.on('error', () => undefined)
    await client.connect()
    open.push(client)
    return client
  }
  const shards = () => cluster.running.cluster.shards
  const onReplicas = async (sql: string) => {
    for (const { replicas } of shards()) for (const { port } of replicas) await (await connect(port)).query(sql)
  }
  /** The ports of the servers that answered, of which each shard's row tells its own. */
  const whereFrom = async (client: pg.Client, sql = 'SELECT DISTINCT inet_server_port() AS port FROM t') => (await client.query<{ port: number }>(sql)).rows.map(({ port }) => port).sort((a, b) => a - b)
  const primaries = () => shards().map(({ primary }) => primary.port).sort((a, b) => a - b)
  const replicas = () => shards().flatMap((shard) => shard.replicas.map(({ port }) => port)).sort((a, b) => a - b)
  const sum = async (client: pg.Client) => Number((await client.query<{ sum: string }>('SELECT sum(n) AS sum FROM t')).rows[0]?.sum)
  const fromReplicas = (client: pg.Client) => until('replicas are read from', async () => String(await whereFrom(client)) === String(replicas()))

  beforeAll(async () => {
    cluster = await startTestCluster({ shards: 2, replicas: 1 })
    second = await startSecondRouter(cluster)
    writer = await connect(cluster.port)
    reader = await connect(cluster.port)
    await writer.query('CREATE TABLE t (id int PRIMARY KEY, n int)')
    await writer.query('INSERT INTO t SELECT i, 0 FROM generate_series(1, 40) i')
    await reader.query(`SET pgherd.read_from = 'replica'`)
  })

  afterEach(async () => {
    await onReplicas('SELECT pg_wal_replay_resume()')
    await fromReplicas(reader)
  })

  afterAll(async () => {
    await Promise.all(open.map((client) => client.end().catch(() => undefined)))
    await second.stop()
    await cluster.stop()
  })

  test('go to replicas when the session asks for it, and writes do not', async () => {
    await fromReplicas(reader)
    expect(await whereFrom(writer)).toEqual(primaries())
    expect(await whereFrom(reader, 'SELECT inet_server_port() AS port FROM t WHERE id = 1').then(([port]) => replicas().includes(port ?? 0))).toBe(true)
    expect(new Set(await whereFrom(reader, 'UPDATE t SET n = 0 RETURNING inet_server_port() AS port'))).toEqual(new Set(primaries()))
    expect(primaries()).toContain((await whereFrom(reader, 'SELECT inet_server_port() AS port FROM t WHERE id = 1 FOR UPDATE'))[0])
    expect(new Set(await whereFrom(reader, 'SELECT inet_server_port() AS port FROM t FOR UPDATE'))).toEqual(new Set(primaries()))
    await reader.query('BEGIN')
    expect(await whereFrom(reader)).toEqual(primaries())
    await reader.query('COMMIT')
    await reader.query('BEGIN READ ONLY')
    expect(await whereFrom(reader)).toEqual(replicas())
    await expect(reader.query('SELECT 1/0 FROM t')).rejects.toMatchObject({ code: '22012' })
    await reader.query('ROLLBACK')
  })

  test('only read-only transactions, where the session says so; and by the start-up packet', async () => {
    const client = await connect(cluster.port, '-c pgherd.read_from=replica_if_read_only')
    expect(await whereFrom(client)).toEqual(primaries())
    await client.query('BEGIN READ ONLY')
    expect(await whereFrom(client)).toEqual(replicas())
    await client.query('COMMIT')
    await client.query('SET default_transaction_read_only = on')
    expect(await whereFrom(client)).toEqual(replicas())
    await expect(client.query(`SET pgherd.read_from = 'nowhere'`)).rejects.toMatchObject({ code: '22023' })
    await expect(client.query(`SET pgherd.replica_lag_max = '5 years'`)).rejects.toMatchObject({ code: '22023' })
  })

  test('see what the session has written, also when replicas have stopped replaying', async () => {
    await onReplicas('SELECT pg_wal_replay_pause()')
    await reader.query('UPDATE t SET n = 7 WHERE id = 1')
    expect((await reader.query('SELECT n FROM t WHERE id = 1')).rows).toEqual([{ n: 7 }])
    await reader.query('BEGIN; UPDATE t SET n = 8; COMMIT')
    expect(await sum(reader)).toBe(320)
    expect(await whereFrom(reader)).toEqual(primaries())
    await reader.query('CREATE TABLE fresh (id int PRIMARY KEY)')
    expect((await reader.query('SELECT count(*) AS count FROM fresh')).rows).toEqual([{ count: '0' }])
    await reader.query('DROP TABLE fresh')
  })

  test('see what another session has written, of another router, by a token', async () => {
    const other = await connect(second.port)
    await other.query(`SET pgherd.read_from = 'replica'; SET pgherd.replica_lag_max = '60s'`)
    await fromReplicas(other)
    await onReplicas('SELECT pg_wal_replay_pause()')
    await writer.query('UPDATE t SET n = 9')
    const token = String((await writer.query<{ read_token: string }>('SELECT pgherd.read_token()')).rows[0]?.read_token)
    expect(await sum(other)).toBe(320)
    await other.query(`SET pgherd.read_token = '${token}'`)
    expect(await sum(other)).toBe(360)
    await expect(other.query(`SET pgherd.read_token = 'x'`)).rejects.toMatchObject({ code: '22023' })
  })

  test('are no older than the session allows', async () => {
    const patient = await connect(cluster.port)
    await patient.query(`SET pgherd.read_from = 'replica'; SET pgherd.replica_lag_max = '60s'`)
    await reader.query(`SET pgherd.replica_lag_max = '1s'`)
    await fromReplicas(patient)
    await onReplicas('SELECT pg_wal_replay_pause()')
    await writer.query('UPDATE t SET n = 1')
    // Whoever allows a minute may see the old rows; who allows less comes to see the new ones.
    expect(await sum(patient)).toBe(360)
    await until('the bound has passed', async () => (await sum(reader)) === 40)
    expect(await whereFrom(reader)).toEqual(primaries())
    await reader.query('RESET pgherd.replica_lag_max')
  })

  test('are no older in a block that has begun before, and its time stays', async () => {
    const client = await connect(cluster.port, '-c pgherd.read_from=replica -c pgherd.replica_lag_max=1s')
    const now = async () => String((await client.query<{ now: string }>('SELECT now()::text AS now, n FROM t WHERE id = 1')).rows[0]?.now)
    await fromReplicas(client)
    await client.query('BEGIN READ ONLY; SAVEPOINT s')
    const began = await now()
    expect(await whereFrom(client)).toEqual(replicas())
    await onReplicas('SELECT pg_wal_replay_pause()')
    await writer.query('UPDATE t SET n = 3')
    await until('the bound has passed', async () => (await sum(client)) === 120)
    expect(await whereFrom(client)).toEqual(primaries())
    expect(await now()).toBe(began)
    await client.query('ROLLBACK TO s')
    expect(await sum(client)).toBe(120)
    await client.query('COMMIT')
  })

  test('a token, or the primary, that a block asks for after it has begun', async () => {
    const client = await connect(second.port, '-c pgherd.read_from=replica -c pgherd.replica_lag_max=60s')
    await fromReplicas(client)
    await onReplicas('SELECT pg_wal_replay_pause()')
    await writer.query('UPDATE t SET n = 4')
    const token = String((await writer.query<{ read_token: string }>('SELECT pgherd.read_token()')).rows[0]?.read_token)
    await client.query('BEGIN READ ONLY')
    expect(await sum(client)).toBe(120)
    await client.query(`SET pgherd.read_token = '${token}'`)
    expect(await sum(client)).toBe(160)
    await client.query('COMMIT')
    const patient = await connect(second.port, '-c pgherd.read_from=replica -c pgherd.replica_lag_max=60s')
    await patient.query('BEGIN READ ONLY')
    expect(await sum(patient)).toBe(120)
    await patient.query(`SET pgherd.read_from = 'primary'`)
    expect(await sum(patient)).toBe(160)
    await patient.query('COMMIT')
  })

  test('a cursor on a replica is fetched from as it is, and nothing else is read beside it once that is too old', async () => {
    const client = await connect(cluster.port, '-c pgherd.read_from=replica -c pgherd.replica_lag_max=1s')
    await fromReplicas(client)
    await client.query('BEGIN READ ONLY; DECLARE c CURSOR FOR SELECT n FROM t WHERE id = 1')
    await onReplicas('SELECT pg_wal_replay_pause()')
    const other = await connect(cluster.port, '-c pgherd.read_from=replica -c pgherd.replica_lag_max=1s')
    await until('the bound has passed', async () => String(await whereFrom(other)) === String(primaries()))
    expect((await client.query('FETCH ALL FROM c')).rows).toEqual([{ n: 4 }])
    await expect(client.query('SELECT n FROM t WHERE id = 1')).rejects.toMatchObject({ code: '40001' })
    await client.query('ROLLBACK')
  })

  test('a new segment of a primary\'s log begins where a replica that has replayed all of the last one is', async () => {
    const primary = await connect(shards()[0]?.primary.port ?? 0)
    let found = { at: '', end: '' }
    await until('nothing has been written to the segment yet', async () => {
      const [row] = (await primary.query<{ at: string; end: string }>(`SELECT lsn::text AS at, ${logEnd} AS end FROM (SELECT pg_current_wal_insert_lsn() AS lsn FROM pg_switch_wal()) s`)).rows
      found = row ?? found
      return found.at.endsWith('000028')
    })
    expect(found.end).toBe(found.at.replace(/28$/, '00'))
    await fromReplicas(reader)
  })

  /** Each leaves what it writes in a way of its own. */
  const writes: readonly [string, readonly string[], string, unknown][] = [
    ['INSERT', ['INSERT INTO own SELECT i, 1 FROM generate_series(101, 110) i'], 'SELECT count(*)::int AS v FROM own WHERE id > 100', 10],
    ['INSERT of one row', ['INSERT INTO own VALUES (111, 1)'], 'SELECT n AS v FROM own WHERE id = 111', 1],
    ['UPDATE by key', ['UPDATE own SET n = 5 WHERE id = 1'], 'SELECT n AS v FROM own WHERE id = 1', 5],
    ['UPDATE of the key', ['UPDATE own SET id = 201 WHERE id = 2'], 'SELECT count(*)::int AS v FROM own WHERE id IN (2, 201)', 1],
    ['DELETE', ['DELETE FROM own WHERE id > 100'], 'SELECT count(*)::int AS v FROM own WHERE id > 100', 0],
    ['MERGE', ['MERGE INTO own USING (SELECT 3 AS id) s ON own.id = s.id WHEN MATCHED THEN UPDATE SET n = 33'], 'SELECT n AS v FROM own WHERE id = 3', 33],
    ['WITH', ['WITH w AS (UPDATE own SET n = 44 WHERE id = 4 RETURNING id) SELECT * FROM w'], 'SELECT n AS v FROM own WHERE id = 4', 44],
    ['a block', ['BEGIN', 'UPDATE own SET n = 6 WHERE id = 5', 'UPDATE own SET n = 6 WHERE id = 6', 'COMMIT'], 'SELECT sum(n)::int AS v FROM own WHERE id IN (5, 6)', 12],
    ['several statements', ['UPDATE own SET n = 7 WHERE id = 7; UPDATE own SET n = 7 WHERE id = 8'], 'SELECT sum(n)::int AS v FROM own WHERE id IN (7, 8)', 14],
    ['a reference table', ['INSERT INTO known VALUES (1)'], 'SELECT count(*)::int AS v FROM known', 1],
    ['ALTER TABLE', ['ALTER TABLE own ADD COLUMN m int DEFAULT 9'], 'SELECT m AS v FROM own WHERE id = 3', 9],
    ['CREATE TABLE AS', ['CREATE TABLE made AS SELECT 1 AS one FROM generate_series(1, 3)'], 'SELECT count(*)::int AS v FROM made', 3],
    ['a materialized view', ['CREATE MATERIALIZED VIEW seen AS SELECT count(*)::int AS v FROM own', 'DELETE FROM own WHERE id = 4', 'REFRESH MATERIALIZED VIEW seen'], 'SELECT v FROM seen', 18],
    ['TRUNCATE', ['TRUNCATE own'], 'SELECT count(*)::int AS v FROM own', 0],
  ]

  test('see what the session has written in any way', async () => {
    const client = await connect(cluster.port, '-c pgherd.read_from=replica -c pgherd.replica_lag_max=60s')
    await client.query('CREATE TABLE own (id int PRIMARY KEY, n int)')
    await client.query(`CREATE TABLE known (id int PRIMARY KEY) WITH (pgherd.kind = 'reference')`)
    await client.query('INSERT INTO own SELECT i, 0 FROM generate_series(1, 20) i')
    const caughtUp = () => until('replicas have caught up', async () => (await client.query('SELECT FROM own WHERE inet_server_port() = ANY ($1)', [replicas()])).rows.length > 0 || (await client.query('SELECT FROM own')).rows.length === 0)
    for (const [name, texts, read, value] of writes) {
      await caughtUp()
      await onReplicas('SELECT pg_wal_replay_pause()')
      for (const text of texts) await client.query(text)
      expect((await client.query(read)).rows[0], name).toEqual({ v: value })
      await onReplicas('SELECT pg_wal_replay_resume()')
    }
    await client.query('DROP MATERIALIZED VIEW seen; DROP TABLE own, known, made')
  })

  test('go on at the primary while replicas are stopped, and come back', async () => {
    const pids = shards().flatMap((shard) => shard.replicas.flatMap(({ pid }) => pid ?? []))
    const backends = async () => (await Promise.all(replicas().map(async (port) => (await (await connect(port)).query<{ pid: number }>('SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()')).rows.map(({ pid }) => pid)))).flat()
    const all = [...pids, ...(await backends())]
    for (const pid of all) send(pid, 'SIGSTOP')
    try {
      expect(await sum(reader)).toBe(160)
      await until('the primaries answer', async () => String(await whereFrom(reader)) === String(primaries()))
    } finally {
      for (const pid of all) send(pid, 'SIGCONT')
    }
    await fromReplicas(reader)
  })

  test('rows that are written depend on the primary alone', async () => {
    await reader.query('CREATE MATERIALIZED VIEW total AS SELECT sum(n)::int AS v FROM t')
    await fromReplicas(reader)
    await onReplicas('SELECT pg_wal_replay_pause()')
    await writer.query('UPDATE t SET n = 2')
    await reader.query('REFRESH MATERIALIZED VIEW total')
    expect((await reader.query('SELECT v FROM total')).rows).toEqual([{ v: 80 }])
    await reader.query('DROP MATERIALIZED VIEW total')
    await reader.query('CREATE TABLE copied (id int PRIMARY KEY, n int)')
    await reader.query('INSERT INTO copied SELECT * FROM t')
    await reader.query('UPDATE copied SET n = (SELECT max(n) FROM t) WHERE id = 1')
    expect((await reader.query('SELECT DISTINCT n FROM copied')).rows).toEqual([{ n: 2 }])
    await reader.query('DROP TABLE copied')
  })
})
