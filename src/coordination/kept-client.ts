/** A connection of the control plane to one database that is kept for what comes next. Opened when it is first needed; closed by who has it. */
import type pg from 'pg'
import type { Clock } from '../base/clock.ts'
import type { Credentials, ServerAddress } from '../catalog/server-address.ts'
import { adminClient } from './admin-client.ts'

interface KeptClientOptions {
  readonly server: ServerAddress
  readonly database: string
  readonly credentials: Credentials
  /** Connecting and each query fail when they take longer. */
  readonly answerMsMax: number
  /** A server that has not answered is not asked again for so long. */
  readonly awayMs: number
  readonly clock: Clock
}

export class KeptClient {
  private readonly options: KeptClientOptions
  private client: Promise<pg.Client> | undefined
  private awayUntil = 0

  constructor(options: KeptClientOptions) {
    this.options = options
  }

  /** Throws what the work throws; then the connection is another one next time. */
  async ask<T>(work: (client: pg.Client) => Promise<T>): Promise<T> {
    const { server, database, credentials, answerMsMax, awayMs, clock } = this.options
    if (clock.ticks() < this.awayUntil) throw new Error(`${server.name} did not answer a moment ago`)
    this.client ??= adminClient(server, database, credentials, answerMsMax)
    const { client } = this
    try {
      return await work(await client)
    } catch (error) {
      this.awayUntil = clock.ticks() + awayMs
      if (this.client === client) this.close()
      throw error
    }
  }

  close(): void {
    const { client } = this
    this.client = undefined
    client?.then((open) => open.end()).catch(() => undefined) // it may never have been open, or be gone
  }
}
