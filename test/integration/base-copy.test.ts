/** A replica made of a server that runs and is written to. */
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import pg from 'pg'
import { afterAll, beforeAll, test } from 'vitest'
import { copyRunning } from '../../src/embedded/base-copy.ts'
import { findBinaries } from '../../src/embedded/binaries.ts'
import { freePort } from '../../src/embedded/free-port.ts'
import { PostgresServer } from '../../src/embedded/postgres-server.ts'
import { serverUser } from '../../src/embedded/server-user.ts'
import { until } from '../crash/support/until.ts'

const user = serverUser()
const root = fs.mkdtempSync(path.join(os.tmpdir(), 'pgherd-test-'))
let [primary, replica]: PostgresServer[] = []

const connect = async (server: PostgresServer | undefined) => {
  const client = new pg.Client({ host: '127.0.0.1', port: server?.port ?? 0, user: 'postgres', database: 'postgres' })
  await client.connect()
  return client
}

beforeAll(async () => {
  fs.chmodSync(root, 0o755)
  user.own(root)
  const binaries = findBinaries(user)
  primary = new PostgresServer(binaries, user, path.join(root, 'one'), await freePort())
  replica = new PostgresServer(binaries, user, path.join(root, 'two'), await freePort())
  await primary.init()
  await primary.start()
})

afterAll(async () => {
  await replica?.stop()
  await primary?.stop()
  fs.rmSync(root, { recursive: true, force: true })
})

test('it has what was committed before, during and after the copy', async () => {
  const [setup, writer] = [await connect(primary), await connect(primary)]
  await setup.query('CREATE TABLE t (id serial PRIMARY KEY, filler text)')
  await setup.query(`INSERT INTO t (filler) SELECT repeat('x', 500) FROM generate_series(1, 20000)`)
  const state = { stopped: false }
  const load = (async () => {
    for (let i = 0; !state.stopped; i++) {
      await writer.query(`INSERT INTO t (filler) VALUES ('during')`)
      await writer.query(`UPDATE t SET filler = filler || 'y' WHERE id = $1`, [1 + (i % 20000)])
      // Files come and go.
      if (i % 10 === 0) await writer.query('CREATE TABLE IF NOT EXISTS gone (id int); DROP TABLE gone')
    }
  })()
  if (primary === undefined || replica === undefined) throw new Error('not started')
  await copyRunning(primary, replica.dataDir, 'copied')
  replica.follow(primary.port, 'copied')
  await replica.start()
  state.stopped = true
  await load
  await writer.query(`INSERT INTO t (filler) VALUES ('after')`)
  const reader = await connect(replica)
  const digest = async (client: pg.Client) => (await client.query<{ d: string }>('SELECT count(*) || sum(hashtext(t::text))::text AS d FROM t')).rows[0]?.d
  const wanted = await digest(writer)
  await until('the replica has all', async () => (await digest(reader)) === wanted)
  await Promise.all([setup, writer, reader].map((client) => client.end()))
})
