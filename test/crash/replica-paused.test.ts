/**
 * Replicas that stop for a while, or stop replaying, under readers of two routers: no read is older than the bound, a session sees what it has
 * written, no client gets an error (but for a transaction in the middle of what a stopped replica would send, or acknowledge), and the replicas are read from again afterwards.
 *
 * The pause is as long as it takes to see that; PAUSE_SECONDS=60 makes it a minute.
 */
import pg from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { Router } from '../../src/router/router.ts'
import { startSecondRouter, startTestCluster } from '../support/cluster.ts'
import type { TestCluster } from '../support/cluster.ts'
import { Beat } from './support/beat.ts'
import type { BeatRead } from './support/beat.ts'
import { processesIn, send } from './support/processes.ts'
import { until } from './support/until.ts'

const pauseMsMin = Number(process.env['PAUSE_SECONDS'] ?? 0) * 1000
const boundMs = 1000
const readsMin = 20

const scatter: BeatRead = async (client) => (await client.query<{ n: number }>('SELECT n FROM beat')).rows
const byKey: BeatRead = async (client) => {
  const found = []
  for (let id = 1; id <= 4; id++) found.push(...(await client.query<{ n: number }>('SELECT n FROM beat WHERE id = $1', [id])).rows)
  return found
}
const gather: BeatRead = async (client) => (await client.query<{ n: number }>('SELECT a.n FROM beat a WHERE a.n > (SELECT min(n) - 1000000 FROM beat) ORDER BY a.n + 1')).rows
const cursor: BeatRead = async (client) => {
  await client.query('BEGIN READ ONLY; DECLARE c CURSOR FOR SELECT n FROM beat WHERE id = 1')
  const { rows } = await client.query<{ n: number }>('FETCH ALL FROM c')
  await client.query('COMMIT')
  return rows
}

const reads: readonly [string, BeatRead][] = [
  ['all rows', scatter],
  ['by key', byKey],
  ['a gather', gather],
  ['a cursor', cursor],
  ['all rows in one block', scatter],
  ['by key in one block', byKey],
  ['a gather in one block', gather],
]

describe('replicas that are paused', () => {
  let cluster: TestCluster
  let second: Router
  const open: pg.Client[] = []

  const connect = async (port: number, options = '') => {
    const client = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', database: 'postgres', options })
    client.on('error', () => undefined)
    await client.connect()
    open.push(client)
    return client
  }
  const replicas = () => cluster.running.cluster.shards.flatMap((shard) => shard.replicas)
  const onReplicas = async (sql: string) => {
    for (const { port } of replicas()) await (await connect(port)).query(sql)
  }
  const signalAll = (signal: NodeJS.Signals) => {
    for (const { dataDir } of replicas()) for (const pid of processesIn(dataDir)) send(pid, signal)
  }
  /** Whether the rows of all shards come from replicas, or from primaries. */
  const readFrom = async (client: pg.Client, wanted: 'replicas' | 'primaries') => {
    const { rows } = await client.query<{ port: number }>('SELECT DISTINCT inet_server_port() AS port FROM beat')
    const ports = replicas().map(({ port }) => port)
    return rows.every(({ port }) => ports.includes(port) === (wanted === 'replicas'))
  }

  beforeAll(async () => {
    cluster = await startTestCluster({ shards: 2, replicas: 1 })
    second = await startSecondRouter(cluster)
  })

  afterEach(async () => {
    // Blocks that are open keep their tables.
    await Promise.all(open.splice(0).map((client) => client.end()))
    await (await connect(cluster.port)).query('DROP TABLE IF EXISTS beat, own, told')
  })

  afterAll(async () => {
    signalAll('SIGCONT')
    await Promise.all(open.map((client) => client.end().catch(() => undefined)))
    await second.stop()
    await cluster.stop()
  })

  const pauses: readonly [string, () => Promise<void>, () => Promise<void>, boolean][] = [
    ['by pg_wal_replay_pause', () => onReplicas('SELECT pg_wal_replay_pause()'), () => onReplicas('SELECT pg_wal_replay_resume()'), false],
    ['by SIGSTOP of all their processes', async () => signalAll('SIGSTOP'), async () => signalAll('SIGCONT'), true],
  ]

  test.each(pauses)('%s', async (_name, pause, resume, mayBreak) => {
    const ports = [cluster.port, second.port]
    const beat = new Beat(await connect(cluster.port), mayBreak)
    await beat.open()
    const watchers = await Promise.all(ports.map((port) => connect(port, `-c pgherd.read_from=replica -c pgherd.replica_lag_max=${boundMs}ms`)))
    await until('replicas are read from', async () => (await Promise.all(watchers.map((watcher) => readFrom(watcher, 'replicas')))).every(Boolean))
    beat.start()
    const openReader = async (port: number, name: string) => {
      const client = await connect(port, `-c pgherd.read_from=replica -c pgherd.replica_lag_max=${boundMs}ms`)
      if (name.endsWith('in one block')) await client.query('BEGIN READ ONLY')
      return client
    }
    const readers = reads.flatMap(([name, read]) => ports.map((port) => beat.read(name, () => openReader(port, name), boundMs, read)))
    const patient = (port: number) => connect(port, '-c pgherd.read_from=replica -c pgherd.replica_lag_max=60s')
    const [own, teller, listener] = [await patient(cluster.port), await patient(cluster.port), await patient(second.port)]
    await own.query('CREATE TABLE own (id int PRIMARY KEY, n int); INSERT INTO own SELECT i, 0 FROM generate_series(1, 8) i')
    await own.query('CREATE TABLE told (id int PRIMARY KEY, n int); INSERT INTO told SELECT i, 0 FROM generate_series(1, 8) i')
    const counts = { own: 0, told: 0 }
    const allAre = async (client: pg.Client, table: string, n: number) => {
      const { rows } = await client.query<{ n: number }>(`SELECT n FROM ${table}`)
      if (rows.length !== 8 || rows.some((row) => row.n !== n)) throw new Error(`${table}: ${rows.map((row) => row.n).join(' ')} in place of ${n}`)
    }
    beat.also('own writes', async () => {
      await own.query(`UPDATE own SET n = ${++counts.own}`)
      await allAre(own, 'own', counts.own)
    })
    beat.also('what a token tells', async () => {
      await teller.query(`UPDATE told SET n = ${++counts.told}`)
      const { rows } = await teller.query<{ read_token: string }>('SELECT pgherd.read_token()')
      await listener.query(`SET pgherd.read_token = '${rows[0]?.read_token}'`)
      await allAre(listener, 'told', counts.told)
    })
    const goOn = async (moment: number) => {
      const [ownBefore, toldBefore] = [counts.own, counts.told]
      const isDone = () => readers.every((reader) => reader.doneSince(moment) >= readsMin) && counts.own >= ownBefore + readsMin && counts.told >= toldBefore + readsMin
      await until('all readers go on', () => beat.findings.length > 0 || isDone(), 60_000)
    }
    try {
      await goOn(performance.now())
      await pause()
      const paused = performance.now()
      try {
        await until('primaries are read from', async () => (await Promise.all(watchers.map((watcher) => readFrom(watcher, 'primaries')))).every(Boolean))
        await until('the bound, and the pause, have passed', () => performance.now() > paused + Math.max(2 * boundMs, pauseMsMin), pauseMsMin + 10_000)
        await goOn(performance.now())
      } finally {
        await resume()
      }
      const pausedMs = performance.now() - paused
      await until('replicas are read from again', async () => (await Promise.all(watchers.map((watcher) => readFrom(watcher, 'replicas')))).every(Boolean))
      const backMs = performance.now() - paused - pausedMs
      await goOn(performance.now())
      const done = readers.reduce((sum, reader) => sum + reader.doneSince(0), 0)
      process.stdout.write(`paused for ${Math.round(pausedMs)} ms, read from again after ${Math.round(backMs)} ms; ${beat.newest} writes, ${done} reads, ${counts.own} own writes, ${counts.told} told; began again: ${beat.broken.join(', ') || 'none'}\n`)
    } finally {
      await beat.stop()
    }
    expect(beat.findings).toEqual([])
  }, 300_000)
})
