/** One of the two that are compared: a PostgreSQL, or the cluster behind its router; with a session for each name. */
import { WireClient } from '../support/wire-client.ts'
import type { Result } from '../support/wire-client.ts'
import { Waits } from './waits.ts'

const prefix = 'spec-'

export class Side {
  readonly port: number
  readonly database: string
  readonly waits: Waits
  private readonly control: WireClient
  private readonly sessions = new Map<string, WireClient>()

  private constructor(port: number, database: string, waits: Waits, control: WireClient) {
    this.port = port
    this.database = database
    this.waits = waits
    this.control = control
  }

  /** The servers on `serverPorts` are asked who waits for whom. */
  static async open(port: number, database: string, serverPorts: readonly number[]): Promise<Side> {
    const waits = await Waits.open(serverPorts, database, prefix)
    return new Side(port, database, waits, await WireClient.connect({ port, database }))
  }

  /** Runs what must succeed, beside all sessions. */
  async run(statements: readonly string[]): Promise<void> {
    for (const sql of statements) mustSucceed(sql, await this.control.query(sql))
  }

  /** After a spec, however it went: its sessions end, and what it has made goes. */
  async clear(statements: readonly string[]): Promise<void> {
    this.disconnect()
    for (const sql of statements) await this.control.query(sql)
  }

  async ask(sql: string): Promise<Result['rows']> {
    const result = await this.control.query(sql)
    mustSucceed(sql, result)
    return result.rows
  }

  /** Sessions of their own for one spec; the last one's end. */
  async connect(names: readonly string[]): Promise<void> {
    this.disconnect()
    for (const name of names) {
      const client = await WireClient.connect({ port: this.port, database: this.database })
      this.sessions.set(name, client)
      mustSucceed('application_name', await client.query(`SET application_name = '${prefix}${name}'`))
    }
  }

  query(session: string, sql: string): Promise<Result> {
    const client = this.sessions.get(session)
    if (client === undefined) throw new Error(`no session ${session}`)
    return client.query(sql)
  }

  async runIn(session: string, statements: readonly string[]): Promise<void> {
    for (const sql of statements) mustSucceed(sql, await this.query(session, sql))
  }

  disconnect(): void {
    for (const client of this.sessions.values()) client.close()
    this.sessions.clear()
  }

  async close(): Promise<void> {
    this.disconnect()
    this.control.close()
    await this.waits.close()
  }
}

function mustSucceed(sql: string, result: Result): void {
  if (result.error !== undefined) throw new Error(`${sql}: ${result.error.sqlstate} ${result.error.message}`)
}
