/** Servers that exist already: what is wrong with them is said, a cluster is made of them, and routers work on it side by side. */
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { realClock } from '../../src/base/clock.ts'
import { bootstrap, catalogAddress } from '../../src/coordination/bootstrap.ts'
import { findBinaries } from '../../src/embedded/binaries.ts'
import { freePort } from '../../src/embedded/free-port.ts'
import { PostgresServer } from '../../src/embedded/postgres-server.ts'
import { serverUser } from '../../src/embedded/server-user.ts'
import { consoleLogger } from '../../src/observability/logger.ts'
import { Router } from '../../src/router/router.ts'
import { WireClient } from '../support/wire-client.ts'

const credentials = { user: 'postgres' }
const log = consoleLogger('quiet')
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'pgherd-test-'))
const servers: PostgresServer[] = []

beforeAll(async () => {
  const user = serverUser()
  fs.chmodSync(folder, 0o755)
  user.own(folder)
  const binaries = findBinaries(user, process.env['PG_BIN'])
  for (const name of ['catalog', 'one', 'two']) servers.push(new PostgresServer(binaries, user, path.join(folder, name), await freePort()))
  await Promise.all(servers.map((server) => server.init()))
  fs.appendFileSync(path.join(folder, 'two', 'postgresql.conf'), "max_prepared_transactions = 0\nwal_level = replica\nmax_locks_per_transaction = 64\n")
  await Promise.all(servers.map((server) => server.start()))
})

afterAll(async () => {
  await Promise.all(servers.map((server) => server.stop()))
  fs.rmSync(folder, { recursive: true, force: true })
})

const catalog = () => catalogAddress('127.0.0.1', servers[0]?.port ?? 0)
const shards = () => servers.slice(1).map(({ port }, i) => ({ name: `shard${i + 1}`, primary: { host: '127.0.0.1', port }, replicas: [] }))
const startRouter = () => Router.start({ catalog: catalog(), credentials, host: '127.0.0.1', port: 0, clock: realClock, log })

test('a router wants the catalog of a cluster', async () => {
  await expect(startRouter()).rejects.toThrow(/is not the catalog of a cluster: make it one with pgherd init/)
})

test('wrong settings are named, a line each, and nothing is made', async () => {
  const message = await bootstrap(catalog(), shards(), credentials, realClock).then(
    () => '',
    (error: Error) => error.message,
  )
  const lines = message.split('\n')
  expect(lines).toHaveLength(3)
  for (const [i, words] of ['max_prepared_transactions is 0', 'max_locks_per_transaction is 64', 'wal_level is replica, logical is needed'].entries()) {
    expect(lines[i]).toContain(`shard2 (127.0.0.1:${servers[2]?.port})`)
    expect(lines[i]).toContain(words)
  }
  await expect(startRouter()).rejects.toThrow(/not the catalog of a cluster/)
})

test('a server that does not answer is named', async () => {
  const missing = { name: 'shard3', primary: { host: '127.0.0.1', port: await freePort() }, replicas: [] }
  await expect(bootstrap(catalog(), [missing], credentials, realClock)).rejects.toThrow(/cannot ask shard3 .*ECONNREFUSED/)
})

test('two routers on one cluster see what the other makes', async () => {
  const usable = shards().slice(0, 1)
  await bootstrap(catalog(), usable, credentials, realClock)
  await bootstrap(catalog(), usable, credentials, realClock) // may be repeated
  const [first, second] = [await startRouter(), await startRouter()]
  const [a, b] = [await WireClient.connect({ port: first.port, database: 'postgres' }), await WireClient.connect({ port: second.port, database: 'postgres' })]
  try {
    const rows = async (client: WireClient, sql: string) => {
      const { error, rows: found } = await client.query(sql)
      expect(error?.message).toBeUndefined()
      return found
    }
    await rows(a, 'CREATE TABLE shared (id int PRIMARY KEY, v text)')
    await rows(b, "INSERT INTO shared SELECT g, 'x' FROM generate_series(1, 100) g")
    await rows(b, 'ALTER TABLE shared ADD w int DEFAULT 5')
    expect(await rows(a, 'SELECT count(*), sum(w) FROM shared')).toEqual([['100', '500']])
    await rows(a, 'DROP TABLE shared')
    expect((await b.query('SELECT * FROM shared')).error?.sqlstate).toBe('42P01')
    const pids = [await rows(a, 'SELECT pg_backend_pid()'), await rows(b, 'SELECT pg_backend_pid()')].map(String)
    expect(pids[0]).not.toBe(pids[1])
    expect(await rows(b, 'SELECT id, name, role, state FROM pgherd.shards')).toEqual([['1', 'shard1', 'primary', 'active']])
  } finally {
    a.close()
    b.close()
    await first.stop()
    await second.stop()
  }
})
