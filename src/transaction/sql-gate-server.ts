/** The gate of one server, on connections of the control plane's own that are kept while they are in use. */
import type pg from 'pg'
import type { Clock } from '../base/clock.ts'
import { limits } from '../base/limits.ts'
import type { Credentials, ServerAddress } from '../catalog/server-address.ts'
import { catalogId } from '../catalog/server-address.ts'
import { adminClient } from '../coordination/admin-client.ts'
import type { GateHold, GateServer } from './commit-gate.ts'

const lockNotAvailable = '55P03'

interface KeptClient {
  readonly client: pg.Client
  readonly stopTimer: () => void
}

export class SqlGateServer implements GateServer {
  readonly id: number
  readonly name: string
  private readonly address: ServerAddress
  private readonly credentials: Credentials
  private readonly clock: Clock
  private readonly kept = new Map<string, KeptClient>()

  constructor(address: ServerAddress, credentials: Credentials, clock: Clock) {
    this.id = address.id
    this.name = address.name
    this.address = address
    this.credentials = credentials
    this.clock = clock
  }

  async hold(database: string): Promise<GateHold | undefined> {
    const kept = this.takeKept(database)
    // One that was kept may have been closed by its server meanwhile.
    const again = kept === undefined ? undefined : await this.holdOn(kept, database).catch(() => null)
    return again === null || kept === undefined ? this.holdOn(await adminClient(this.address, database, this.credentials, limits.serverAnswerMsMax), database) : again
  }

  private async holdOn(client: pg.Client, database: string): Promise<GateHold | undefined> {
    try {
      await client.query(
        `BEGIN; SET LOCAL lock_timeout = ${limits.gateLockMsMax}; SET LOCAL idle_in_transaction_session_timeout = ${limits.gateHoldMsMax}; LOCK TABLE pgherd.commit_gate IN SHARE MODE`,
      )
      const members = this.id === catalogId ? await membersOf(client) : undefined
      return { members, release: () => this.end(client, database, 'COMMIT') }
    } catch (error) {
      if ((error as { code?: string }).code !== lockNotAvailable) {
        void client.end().catch(() => undefined)
        throw error
      }
      await this.end(client, database, 'ROLLBACK')
      return undefined
    }
  }

  /** Lets go of what is kept for a database, so that it can be dropped; or of all. */
  close(database?: string): void {
    for (const [name, { client, stopTimer }] of this.kept) {
      if (database !== undefined && name !== database) continue
      this.kept.delete(name)
      stopTimer()
      void client.end().catch(() => undefined)
    }
  }

  /** True when the transaction was there until now. */
  private async end(client: pg.Client, database: string, verb: 'COMMIT' | 'ROLLBACK'): Promise<boolean> {
    try {
      const { command } = await client.query(verb)
      this.keep(client, database)
      return command === verb
    } catch {
      void client.end().catch(() => undefined)
      return false
    }
  }

  private takeKept(database: string): pg.Client | undefined {
    const kept = this.kept.get(database)
    this.kept.delete(database)
    kept?.stopTimer()
    return kept?.client
  }

  private keep(client: pg.Client, database: string): void {
    const drop = () => {
      if (this.kept.get(database)?.client === client) this.kept.delete(database)
      void client.end().catch(() => undefined)
    }
    if (this.kept.has(database)) return drop()
    this.kept.set(database, { client, stopTimer: this.clock.after(limits.gateKeepMs, drop) })
  }
}

/** A statement of its own, after the gate is held: what it sees stays so. */
async function membersOf(client: pg.Client): Promise<readonly number[]> {
  const { rows } = await client.query<{ id: number }>(`SELECT shard_id AS id FROM pgherd.member WHERE state = 'in'`)
  return rows.map(({ id }) => id)
}
