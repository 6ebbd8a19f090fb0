/** The simulation's stand-in for PostgreSQL keeps the promises that the real one keeps (test/integration/transaction-contract.test.ts). */
import { afterAll, beforeAll } from 'vitest'
import { realClock } from '../../src/base/clock.ts'
import { SimulatedBranch } from '../sim/server/branch.ts'
import { SimulatedGateServer } from '../sim/server/gate-server.ts'
import { Session } from '../sim/server/session.ts'
import { SimulatedTransactionServer } from '../sim/server/transaction-server.ts'
import { World } from '../sim/world.ts'
import { Process } from '../sim/world/process.ts'
import { transactionContract } from '../support/transaction-contract.ts'

const world = new World(1, 1, false)
const client = new Process('client', world.scheduler, world.random)
const postgres = world.catalog
const over = new AbortController()
let pump: Promise<void>

/** Simulated time goes as fast as ours here. */
async function run(): Promise<void> {
  const began = realClock.now()
  while (!over.signal.aborted) {
    const until = realClock.now() - began
    while (await world.step(until));
    world.scheduler.now = Math.max(world.now, until)
    await realClock.sleep(1)
  }
}

beforeAll(() => {
  pump = run()
})

afterAll(async () => {
  over.abort()
  await pump
})

transactionContract('the stand-in for PostgreSQL', () => ({
  server: new SimulatedTransactionServer(world.network, client, postgres),
  gate: new SimulatedGateServer(world.network, client, postgres),
  database: 'app',
  begin: async (id) => {
    const connection = world.network.connect(client, postgres, () => new Session(postgres))
    const branch = new SimulatedBranch(postgres.id, connection, false)
    await connection.request('write', (session) => session.add(id, `row ${id}`, 1))
    return {
      branch,
      rollback: () => branch.rollback(),
      fail: () => connection.request('fail', (session) => session.statement(() => Promise.reject(new Error('division by zero')))).catch(() => undefined),
    }
  },
  isVisible: (id) => Promise.resolve(postgres.rows.has(`row ${id}`)),
  sleep: (ms) => realClock.sleep(ms),
}))
