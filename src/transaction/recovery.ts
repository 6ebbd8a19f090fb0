/**
 * Finishes what dead coordinators left prepared. Any router may do it, at any time, several at once: the lock that a pass
 * has (coordination/duty.ts) saves the work of many, and without Redis there is none.
 *
 * For each prepared transaction whose coordinator is gone: insert its id as 'aborted' at its decider. PostgreSQL's unique
 * index settles it. The insert waits for a decider still in flight; if it fails, the decider had committed: COMMIT
 * PREPARED. If it succeeds, the decider can never commit any more: ROLLBACK PREPARED. Taking a living coordinator for a
 * dead one costs that transaction, never atomicity.
 */
import type pg from 'pg'
import { limits } from '../base/limits.ts'
import { quoteLiteral } from '../base/quote.ts'
import type { Credentials, ServerAddress } from '../catalog/server-address.ts'
import { withAdmin } from '../coordination/admin-client.ts'
import type { CatalogFences } from '../coordination/fences.ts'
import { isStaleFence } from '../coordination/fences.ts'
import type { Lease } from '../coordination/locks.ts'
import type { Logger } from '../observability/logger.ts'
import type { CommitContext } from './commit.ts'

interface Prepared {
  readonly server: ServerAddress
  readonly name: string
  readonly database: string
  readonly id: string
  readonly decider: number
}

export class Recovery {
  private readonly servers: readonly ServerAddress[]
  private readonly credentials: Credentials
  private readonly context: CommitContext
  private readonly fences: CatalogFences
  private readonly log: Logger

  constructor(servers: readonly ServerAddress[], credentials: Credentials, fences: CatalogFences, context: CommitContext) {
    this.servers = servers
    this.credentials = credentials
    this.fences = fences
    this.context = context
    this.log = context.log
  }

  /** One pass over all servers. Servers that do not answer are left for the next. Throws when the lease is another's by now. */
  async run(lease: Lease | undefined): Promise<void> {
    const found = await Promise.all(this.servers.map((server) => this.preparedOn(server, limits.recoveryAgeMsMin)))
    const left = found.flatMap((list) => list ?? [])
    if (left.length === 0) return
    if (lease !== undefined) await this.assertNewest(lease)
    await Promise.all(
      left.map((prepared) =>
        this.finish(prepared, lease).catch((error: Error) => this.log.warn(`recovery of ${prepared.name} on ${prepared.server.name}: ${error.message}`)),
      ),
    )
  }

  /** A catalog that does not answer keeps nobody from finishing what is on the shards: the decider's index makes it right. */
  private async assertNewest(lease: Lease): Promise<void> {
    await this.fences.check(lease).catch((error: Error) => {
      if (isStaleFence(error)) throw error
      this.log.debug(`recovery: fence not checked: ${error.message}`)
    })
  }

  /** Undefined when the server does not answer. */
  private async preparedOn(server: ServerAddress, ageMs: number): Promise<Prepared[] | undefined> {
    const prefix = `pgherd:${this.context.clusterId}:`
    try {
      const rows = await withAdmin(server, 'postgres', this.credentials, async (client) => {
        const result = await client.query<{ gid: string; database: string }>(
          `SELECT gid, database FROM pg_prepared_xacts WHERE starts_with(gid, $1) AND prepared < clock_timestamp() - $2 * interval '1 ms'`,
          [prefix, ageMs],
        )
        return result.rows
      })
      return rows.flatMap(({ gid, database }) => {
        const [id, decider] = gid.slice(prefix.length).split(':')
        if (id === undefined || this.context.inFlight.has(id)) return []
        return [{ server, name: gid, database, id, decider: Number(decider) }]
      })
    } catch {
      return undefined
    }
  }

  private async finish(prepared: Prepared, lease: Lease | undefined): Promise<void> {
    lease?.lost.throwIfAborted()
    const decider = this.servers.find((server) => server.id === prepared.decider)
    if (decider === undefined) throw new Error(`its decider, server ${prepared.decider}, is not known`)
    const committed = await withAdmin(decider, prepared.database, this.credentials, (client) => outcome(client, prepared.id))
    const verb = committed ? 'COMMIT' : 'ROLLBACK'
    await withAdmin(prepared.server, prepared.database, this.credentials, (client) =>
      client.query(`${verb} PREPARED ${quoteLiteral(prepared.name)}`),
    ).catch((error: Error & { code?: string }) => {
      if (error.code !== '42704') throw error // another router was there first
    })
    this.log.info(`recovery: ${verb} PREPARED of ${prepared.id} on ${prepared.server.name}`)
  }
}

/** True when the transaction was committed; from then on, false means that it never can be. */
async function outcome(client: pg.Client, id: string): Promise<boolean> {
  // A decider that is still in flight may take its time: the next pass asks again, and others are not kept waiting.
  await client.query(`SET lock_timeout = '${limits.recoveryLockMsMax}ms'`)
  try {
    await client.query(`INSERT INTO pgherd.decision (id, outcome) VALUES ($1, 'aborted')`, [id])
    return false
  } catch (error) {
    if ((error as { code?: string }).code !== '23505') throw error
    const { rows } = await client.query<{ outcome: string }>('SELECT outcome FROM pgherd.decision WHERE id = $1', [id])
    return rows[0]?.outcome === 'committed'
  }
}
