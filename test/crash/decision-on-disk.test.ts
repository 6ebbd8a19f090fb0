/** synchronous_commit = off lets a session lose its own latest commits. It must not let it lose half of one. */
import fs from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { withAdmin } from '../../src/coordination/admin-client.ts'
import { catalogAddress } from '../../src/coordination/bootstrap.ts'
import { freePort } from '../../src/embedded/free-port.ts'
import { DevProcess, devArguments, makeDataDir } from './support/dev-process.ts'
import { killAtOnce, processesIn } from './support/processes.ts'
import { ask, connect, readServers } from './support/servers.ts'
import { until } from './support/until.ts'

const dataDir = makeDataDir()
let dev: DevProcess
let port = 0

beforeAll(async () => {
  port = await freePort()
  dev = new DevProcess(devArguments(dataDir, port))
  await dev.ready()
  // What is not flushed by a commit stays in memory long enough to be lost.
  for (const server of readServers(dataDir).slice(1)) {
    await ask(server.port, `ALTER SYSTEM SET wal_writer_delay = '10s'`)
    await ask(server.port, `ALTER SYSTEM SET wal_writer_flush_after = '1GB'`)
    await ask(server.port, 'SELECT pg_reload_conf()')
  }
})

afterAll(async () => {
  await dev.interrupt()
  killAtOnce(processesIn(dataDir))
  fs.rmSync(dataDir, { recursive: true, force: true })
})

test('after a crash of all shards each has its part of a commit that was acknowledged', async () => {
  await ask(port, 'CREATE TABLE t (id int PRIMARY KEY, n int)')
  await ask(port, 'INSERT INTO t SELECT i, 0 FROM generate_series(1, 20) i')
  const client = await connect(port)
  await client.query('SET synchronous_commit = off')
  await client.query('BEGIN')
  await client.query('UPDATE t SET n = 1')
  await client.query('COMMIT')
  const servers = readServers(dataDir).slice(1)
  killAtOnce(servers.flatMap((server) => processesIn(server.dataDir)))
  await client.end().catch(() => undefined)
  // dev starts them again.
  const counts = () => ask<{ n: number; count: string }>(port, 'SELECT n, count(*) FROM t GROUP BY n')
  await until('the shards answer', () => counts().then(() => true, () => false))
  expect(await counts()).toEqual([{ n: 1, count: '20' }])
})

test('what the control plane writes waits for the disk, whatever a server says', async () => {
  const [server] = readServers(dataDir)
  if (server === undefined) throw new Error('no server')
  await ask(server.port, 'ALTER SYSTEM SET synchronous_commit = off')
  await ask(server.port, 'SELECT pg_reload_conf()')
  await until('new sessions are hasty', async () => (await ask<{ synchronous_commit: string }>(server.port, 'SHOW synchronous_commit'))[0]?.synchronous_commit === 'off')
  const address = catalogAddress('127.0.0.1', server.port)
  expect(await withAdmin(address, 'postgres', { user: 'postgres' }, async (client) => (await client.query('SHOW synchronous_commit')).rows)).toEqual([{ synchronous_commit: 'on' }])
})
