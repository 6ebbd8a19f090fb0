/**
 * A move's connections to the servers that it works on.
 *
 * What is done on shards cannot show the lock's fence, so each connection there holds an advisory lock with the move's name; who
 * goes on with a move ends the connection that has it. So a mover that was given up can do nothing more on a shard: its
 * connections are gone, and before it opens others it has to show its fence.
 */
import type pg from 'pg'
import { limits } from '../base/limits.ts'
import { quoteLiteral } from '../base/quote.ts'
import type { Credentials, ServerAddress } from '../catalog/server-address.ts'
import { catalogId } from '../catalog/server-address.ts'
import { adminClient } from '../coordination/admin-client.ts'

/** Rows are compared as texts: both servers have to write them in the same way. */
const sameTexts = `SET search_path = ''; SET datestyle = 'ISO, MDY'; SET timezone = 'UTC'; SET intervalstyle = 'postgres'; SET extra_float_digits = 1;
  SET bytea_output = 'hex'; SET xmlbinary = 'base64'; SET client_min_messages = warning; SET lock_timeout = ${limits.cutoverLockMsMin};
  SET synchronous_commit = 'local'; SET session_replication_role = 'origin'`

export class MoveSessions {
  private readonly name: string
  private readonly database: string
  private readonly credentials: Credentials
  private readonly opened = new Map<number, Promise<pg.Client>>()
  private isClosed = false

  constructor(name: string, database: string, credentials: Credentials) {
    this.name = name
    this.database = database
    this.credentials = credentials
  }

  /** Throws when the server cannot be reached, or is at work for the move's former mover and cannot be stopped. */
  on(server: ServerAddress): Promise<pg.Client> {
    const known = this.opened.get(server.id)
    if (known !== undefined) return known
    if (this.isClosed) throw new Error('the move was stopped')
    const opening = this.open(server)
    this.opened.set(server.id, opening)
    opening.catch(() => this.opened.delete(server.id))
    return opening
  }

  /** Ends what runs on shards, and lets nothing more begin there. */
  stopWork(): void {
    this.isClosed = true
    for (const [server, opening] of this.opened) if (server !== catalogId) end(opening)
  }

  close(): void {
    this.stopWork()
    for (const opening of this.opened.values()) end(opening)
  }

  private async open(server: ServerAddress): Promise<pg.Client> {
    const client = await adminClient(server, this.database, this.credentials)
    try {
      await client.query(sameTexts)
      if (server.id !== catalogId) await this.takeOver(client, server)
      if (this.isClosed) throw new Error('the move was stopped')
      return client
    } catch (error) {
      void client.end().catch(() => undefined)
      throw error
    }
  }

  private async takeOver(client: pg.Client, server: ServerAddress): Promise<void> {
    const key = `hashtextextended(${quoteLiteral(`pgherd.move ${this.name}`)}, 0)`
    const take = async () => (await client.query<{ mine: boolean }>(`SELECT pg_try_advisory_lock(${key}) AS mine`)).rows[0]?.mine === true
    if (await take()) return
    await client.query(
      `SELECT pg_terminate_backend(pid, ${limits.serverAnswerMsMax}) FROM pg_locks
       WHERE locktype = 'advisory' AND granted AND objsubid = 1 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
         AND ((classid::bigint << 32) | objid::bigint) = ${key}`,
    )
    if (!(await take())) throw new Error(`${server.name} is still at work for the former mover of ${this.name}`)
  }
}

function end(opening: Promise<pg.Client>): void {
  void opening.then((client) => client.end()).catch(() => undefined)
}
