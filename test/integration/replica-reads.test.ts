/** Reads of replicas: never older than the bound, never behind the session's own writes, and from the primary where a replica fails. */
import pg from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
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

  test('go on at the primary while replicas are stopped, and come back', async () => {
    const pids = shards().flatMap((shard) => shard.replicas.flatMap(({ pid }) => pid ?? []))
    const backends = async () => (await Promise.all(replicas().map(async (port) => (await (await connect(port)).query<{ pid: number }>('SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()')).rows.map(({ pid }) => pid)))).flat()
    const all = [...pids, ...(await backends())]
    for (const pid of all) send(pid, 'SIGSTOP')
    try {
      expect(await sum(reader)).toBe(40)
      await until('the primaries answer', async () => String(await whereFrom(reader)) === String(primaries()))
    } finally {
      for (const pid of all) send(pid, 'SIGCONT')
    }
    await fromReplicas(reader)
  })

  test('rows that are written depend on the primary alone', async () => {
    await onReplicas('SELECT pg_wal_replay_pause()')
    await writer.query('UPDATE t SET n = 2')
    await reader.query('CREATE TABLE copied (id int PRIMARY KEY, n int)')
    await reader.query('INSERT INTO copied SELECT * FROM t')
    await reader.query('UPDATE copied SET n = (SELECT max(n) FROM t) WHERE id = 1')
    expect((await reader.query('SELECT DISTINCT n FROM copied')).rows).toEqual([{ n: 2 }])
    await reader.query('DROP TABLE copied')
  })
})
