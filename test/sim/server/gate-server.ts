import { SqlError } from '../../../src/base/errors.ts'
import type { GateHold, GateServer } from '../../../src/transaction/commit-gate.ts'
import type { Connection, Network } from '../world/network.ts'
import type { Process } from '../world/process.ts'
import type { Postgres } from './postgres.ts'
import { Session } from './session.ts'

/** The gate of a stand-in. */
export class SimulatedGateServer implements GateServer {
  readonly id: number
  readonly name: string
  private readonly network: Network
  private readonly client: Process
  private readonly server: Postgres

  constructor(network: Network, client: Process, server: Postgres) {
    this.id = server.id
    this.name = server.process.name
    this.network = network
    this.client = client
    this.server = server
  }

  async hold(_database: string): Promise<GateHold | undefined> {
    const connection = this.network.connect(this.client, this.server, () => new Session(this.server))
    const isHeld = await connection.request('hold the gate', (session) => session.hold())
    return isHeld && { release: () => release(connection) }
  }
}

/** A server that has ended the transaction answers COMMIT with an error, or not at all. */
async function release(connection: Connection<Session>): Promise<boolean> {
  try {
    await connection.request('let go of the gate', async (session) => {
      if (!session.isOpen) throw new SqlError('25P03', 'the transaction was idle for too long')
      await session.commit({ throughGate: false, decision: undefined })
    })
    connection.leave()
    return true
  } catch {
    connection.close()
    return false
  }
}
