/**
 * Takes notes of moved rows away (executor/moved-rows.ts). A note is asked for by transactions that were open when it was committed: one
 * that all who run now began after is of no use to anybody.
 */
import type { Credentials, ServerAddress } from '../catalog/server-address.ts'
import { dataSchema } from '../catalog/snapshot.ts'
import { withAdmin } from '../coordination/admin-client.ts'
import type { Logger } from '../observability/logger.ts'

/** Notes as a pass has found them, and when that was by the server's clock. */
interface Seen {
  readonly notes: readonly string[]
  readonly at: string
}

export class ForgetMoves {
  private readonly shards: () => readonly ServerAddress[]
  private readonly credentials: Credentials
  private readonly log: Logger
  private seen = new Map<string, Seen>()

  constructor(shards: () => readonly ServerAddress[], credentials: Credentials, log: Logger) {
    this.shards = shards
    this.credentials = credentials
    this.log = log
  }

  /** One pass: what an earlier one has seen goes, if nobody can need it. */
  async run(): Promise<void> {
    const next = new Map<string, Seen>()
    for (const shard of this.shards()) {
      try {
        const names = await withAdmin(shard, 'postgres', this.credentials, async (client) => (await client.query<{ datname: string }>('SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate')).rows)
        for (const { datname } of names) await this.pass(shard, datname, next)
      } catch (error) {
        this.log.debug(`notes of moved rows on ${shard.name}: ${(error as Error).message}`)
      }
    }
    this.seen = next
  }

  private async pass(shard: ServerAddress, database: string, next: Map<string, Seen>): Promise<void> {
    await withAdmin(shard, database, this.credentials, async (client) => {
      await client.query("SET lock_timeout = '100ms'")
      const { rows } = await client.query<{ marker: string }>(
        `SELECT c.oid::regclass::text AS marker FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = '${dataSchema}' AND c.relkind = 'r' AND c.relname ~ '^m[0-9]+_v[0-9]+$' AND pg_relation_size(c.oid) > 0`,
      )
      for (const { marker } of rows) {
        const key = `${shard.id} ${database} ${marker}`
        const before = this.seen.get(key)
        if (before !== undefined) {
          await client.query(
            `DELETE FROM ${marker} WHERE xmin::text = ANY ($1)
             AND NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start <= $2)`,
            [before.notes, before.at],
          )
        }
        const found = await client.query<{ notes: string[]; at: string }>(`SELECT array_agg(xmin::text) AS notes, clock_timestamp()::text AS at FROM ${marker}`)
        const [left] = found.rows
        if (left !== undefined && left.notes !== null && left.notes.length > 0) next.set(key, left)
      }
    })
  }
}
