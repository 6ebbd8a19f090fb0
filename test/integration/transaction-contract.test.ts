/** A real PostgreSQL keeps the promises that the simulation's stand-in keeps (test/unit/transaction-contract.test.ts). */
import { afterAll, beforeAll } from 'vitest'
import pg from 'pg'
import { realClock } from '../../src/base/clock.ts'
import { migrate } from '../../src/coordination/migrate.ts'
import { Connection } from '../../src/shard/connection.ts'
import { query } from '../../src/shard/query.ts'
import { ServerBranch } from '../../src/transaction/server-branch.ts'
import { SqlGateServer } from '../../src/transaction/sql-gate-server.ts'
import { SqlTransactionServer } from '../../src/transaction/sql-transaction-server.ts'
import { startPlainPostgres } from '../support/cluster.ts'
import type { TestServer } from '../support/cluster.ts'
import { transactionContract } from '../support/transaction-contract.ts'

const database = 'app'
const credentials = { user: 'postgres' }
let postgres: TestServer
let admin: pg.Client
let gate: SqlGateServer
const connections: Connection[] = []

const address = () => ({ id: 1, name: 'shard 1', host: '127.0.0.1', port: postgres.port })

async function connectTo(name: string): Promise<pg.Client> {
  const client = new pg.Client({ host: '127.0.0.1', port: postgres.port, user: 'postgres', database: name })
  await client.connect()
  return client
}

beforeAll(async () => {
  postgres = await startPlainPostgres()
  const first = await connectTo('postgres')
  await first.query(`CREATE DATABASE ${database}`)
  await first.end()
  admin = await connectTo(database)
  await migrate(admin, ['server'])
  await admin.query('CREATE TABLE written (id text)')
  gate = new SqlGateServer(address(), credentials, realClock)
})

afterAll(async () => {
  gate.close()
  for (const connection of connections) connection.close()
  await admin.end()
  await postgres.stop()
})

transactionContract('a real PostgreSQL', () => ({
  server: new SqlTransactionServer(address(), credentials),
  gate,
  database,
  begin: async (id) => {
    const server = address()
    const connection = await Connection.connect({ server, database, user: 'postgres', clock: realClock })
    connections.push(connection)
    await query(connection, `BEGIN; INSERT INTO written VALUES ('${id}')`)
    return {
      branch: new ServerBranch({ server, wrote: true, cannotPrepare: false, connection }),
      rollback: async () => void (await query(connection, 'ROLLBACK')),
      fail: () => query(connection, 'SELECT 1/0').then(() => Promise.reject(new Error('it did not fail')), () => undefined),
    }
  },
  isVisible: async (id) => (await admin.query('SELECT FROM written WHERE id = $1', [id])).rowCount === 1,
  sleep: (ms) => realClock.sleep(ms),
}))
