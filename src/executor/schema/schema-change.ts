/**
 * A schema change under way: the shell first, so that PostgreSQL itself judges it, then the shards, all in one transaction.
 *
 * The row of schema_version is locked from the start, so changes of one database come one by one, whichever routers they
 * come from; and the snapshot that a change begins with is then the newest.
 */
import { SqlError } from '../../base/errors.ts'
import { settleAll } from '../../base/settle-all.ts'
import type { ServerAddress } from '../../catalog/server-address.ts'
import { catalogId } from '../../catalog/server-address.ts'
import type { Builtins, Snapshot } from '../../catalog/snapshot.ts'
import { shardsForNew } from '../../catalog/snapshot.ts'
import { loadSnapshot } from '../../coordination/load-snapshot.ts'
import { readErrorFields } from '../../protocol/error-fields.ts'
import { Backend } from '../../protocol/message-types.ts'
import type { SqlErrorFields } from '../../base/errors.ts'
import type { QueryResult } from '../../shard/query.ts'
import { request } from '../../shard/query.ts'
import type { ExecutionContext } from '../context.ts'

let uncommitted = 0

export class SchemaChange {
  readonly context: ExecutionContext
  /** Tables whose locks on shards it has (table-lock.ts). */
  readonly locked = new Set<number>()
  /** Before the change; newer after each `reload`. */
  snapshot: Snapshot
  private readonly builtins: Builtins
  /** Tells the client what the shell had to say. */
  readonly onNotice: (fields: SqlErrorFields) => void

  private constructor(context: ExecutionContext, builtins: Builtins, onNotice: (fields: SqlErrorFields) => void) {
    this.context = context
    this.snapshot = context.snapshot
    this.builtins = builtins
    this.onNotice = onNotice
  }

  /** Inside a transaction. Waits for a change under way; where that has made the snapshot at hand an old one, the newest is loaded. */
  static async begin(context: ExecutionContext, builtins: Builtins, onNotice: (fields: SqlErrorFields) => void): Promise<SchemaChange> {
    const change = new SchemaChange(context, builtins, onNotice)
    const { rows } = await change.onCatalog('UPDATE pgherd.schema_version SET version = version + 1 RETURNING version - 1; NOTIFY pgherd_schema')
    const before = Number(rows[0]?.[0])
    if (context.snapshot.version >= 0 && before !== context.snapshot.version) await change.reload()
    return change
  }

  get shards(): readonly ServerAddress[] {
    return this.snapshot.shards
  }

  get shardIds(): number[] {
    return this.shards.map((shard) => shard.id)
  }

  /** The shards that new tables and buckets may go to. */
  get shardsForNew(): number[] {
    return shardsForNew(this.snapshot)
  }

  /** Runs statements on the shell; its notices go to the client. */
  onCatalog(sql: string, onNotice = this.onNotice): Promise<QueryResult> {
    return this.run(this.context.catalog, sql, onNotice)
  }

  async onShard(id: number, sql: string): Promise<QueryResult> {
    const server = id === catalogId ? this.context.catalog : this.shards.find((shard) => shard.id === id)
    if (server === undefined) throw new SqlError('XX000', `no shard ${id}`)
    try {
      return await this.run(server, sql, () => undefined)
    } catch (error) {
      throw error instanceof SqlError ? await this.context.names.translateError(error, server, this.snapshot, this.context.user) : error
    }
  }

  async onShards(ids: readonly number[], sql: string): Promise<void> {
    if (sql !== '') await settleAll(ids.map((id) => this.onShard(id, sql)))
  }

  /** One value from the shell, with every name in it qualified. */
  async ask(sql: string): Promise<string | undefined> {
    const { rows } = await this.onCatalog(`SAVEPOINT pgherd_ask; SET LOCAL search_path = ''; ${sql}; ROLLBACK TO pgherd_ask; RELEASE pgherd_ask`)
    return rows[0]?.[0]
  }

  async askJson<T>(sql: string): Promise<T> {
    return JSON.parse((await this.ask(sql)) ?? 'null') as T
  }

  /** The schema as this transaction has made it. Its version is none that anything else is kept under. */
  async reload(): Promise<Snapshot> {
    const { database, servers } = this.snapshot
    const load = (known: typeof servers) => loadSnapshot((sql) => this.ask(sql), database, known, this.builtins)
    let loaded = await load(servers)
    // A shard has joined that this router has not heard of. Having the row of schema_version, the change sees all that have.
    if (loaded.shards.length < loaded.members.length) loaded = await load((await this.context.refreshSchema()).servers)
    if (loaded.shards.length < loaded.members.length) throw new SqlError('55000', `a shard of this database has no server: ${loaded.members.filter((id) => !loaded.shards.some((shard) => shard.id === id)).join(', ')}`)
    this.snapshot = { ...loaded, version: -++uncommitted }
    return this.snapshot
  }

  private async run(server: ServerAddress, sql: string, onNotice: (fields: SqlErrorFields) => void): Promise<QueryResult> {
    const { transaction } = this.context
    const lease = await transaction.lease(server)
    if (lease.participant !== undefined) {
      lease.participant.wrote = true
      lease.participant.fresh = false
      lease.participant.cannotPrepare ||= server.id === catalogId
    }
    try {
      if (lease.prelude.length > 0) await request(lease.connection, (writer) => writer.begin('Q').cstring(lease.prelude.join('; ')).end())
      return await request(
        lease.connection,
        (writer) => writer.begin('Q').cstring(sql).end(),
        (type, buffer, start, end) => {
          if (type === Backend.noticeResponse) onNotice(readErrorFields(buffer, start, end))
        },
      )
    } finally {
      transaction.release(lease)
    }
  }
}
