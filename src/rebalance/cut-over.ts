/**
 * The cut-over: the moment at which a bucket changes its owner.
 *
 * Three transactions, one on each server, that commit in two phases. The catalog's holds the row of schema_version, so that no schema change
 * is under way; the source's holds the leaves, so that nothing is written there; the target then applies the last of the source's log, and the
 * copies are compared. What follows takes a few milliseconds: the source's leaves are detached and get other names, the target's are
 * attached, the markers of both shards' tables are replaced by those of the next layout, the catalog says who the owner is.
 *
 * Before, routers are told, and statements over many buckets that have begun nothing let it go first.
 *
 * Writers wait meanwhile, for `limits.cutoverMsMax` at most: past that everything is let go. Locks are waited for less than PostgreSQL waits before
 * it looks for deadlocks, so nobody is ended in one. A mover that stops in the middle is ended by PostgreSQL.
 */
import { settleAll } from '../base/settle-all.ts'
import { limits } from '../base/limits.ts'
import { quoteIdent } from '../base/quote.ts'
import type { ServerAddress } from '../catalog/server-address.ts'
import type { HoldNews } from '../coordination/group-holds.ts'
import { holdText } from '../coordination/group-holds.ts'
import type { Connection } from '../shard/connection.ts'
import { enterServer } from '../shard/enter-server.ts'
import type { QueryResult } from '../shard/query.ts'
import { query } from '../shard/query.ts'
import { commitBranches, newTransactionId } from '../transaction/commit.ts'
import { ServerBranch } from '../transaction/server-branch.ts'
import type { MovedTable, MovedTables, Markers } from './moved-tables.ts'
import { markersOf, nextLayout, readMovedTables } from './moved-tables.ts'
import { wholeSum } from './compare-copies.ts'
import { boundCheck, goneCheck, referencedTriggers } from './copy-bucket.ts'
import type { BucketToMove, MoveJob } from './move-job.ts'
import { MoveTaken } from './move-record.ts'

/** Nothing has changed; it may be tried again, after another copy if the tables are not as they were. */
export interface NotCutOver {
  readonly reason: string
  readonly copyAgain: boolean
  readonly heldMs: number
}

export interface CutOver {
  readonly heldMs: number
  readonly rows: number | undefined
}

class Abandoned extends Error {
  readonly copyAgain: boolean
  constructor(reason: string, copyAgain = false) {
    super(reason)
    this.copyAgain = copyAgain
  }
}

export interface CutOverOptions {
  /** Of the tables that were copied. */
  readonly digest: string
  /** The copies are compared once more while nothing is written. */
  readonly compareHeld: boolean
  readonly lockMs: number
  /** Locks both shards at once: that suits readers of all shards, one after the other suits writers. */
  readonly atOnce: boolean
  /**
   * Locks nothing until nobody uses the tables on the source, while routers let no transaction begin with them: where many transactions use several of the tables,
   * in another order than they are locked here, each would wait for what the other has.
   */
  readonly quietly: boolean
}

/** Throws what leaves it open whether it has committed. */
export async function cutOver(job: MoveJob, options: CutOverOptions): Promise<CutOver | NotCutOver> {
  const attempt = new Attempt(job)
  try {
    await attempt.open()
    return await attempt.run(options)
  } catch (error) {
    const { code, message } = error as Error & { code?: string }
    if (error instanceof Abandoned || code === lockNotAvailable || code === queryCanceled || code === deadlockDetected) {
      return { reason: message, copyAgain: error instanceof Abandoned && error.copyAgain, heldMs: attempt.heldUntilNow }
    }
    throw error
  } finally {
    await attempt.close()
    await tell(job, 'free').catch(() => undefined) // they go on by themselves
  }
}

async function tell(job: MoveJob, kind: HoldNews['kind']): Promise<void> {
  if (job.moved.kind !== 'bucket') return
  const catalog = await job.sessions.on(job.catalog)
  await catalog.query(`SELECT pg_notify('pgherd_schema', $1)`, [holdText({ kind, group: job.moved.group })])
}

const lockNotAvailable = '55P03'
const queryCanceled = '57014'
const deadlockDetected = '40P01'

class Attempt {
  private readonly job: MoveJob
  private readonly connections: Connection[] = []
  private heldSince: number | undefined
  private isCommitting = false

  constructor(job: MoveJob) {
    this.job = job
  }

  get heldUntilNow(): number {
    return this.heldSince === undefined ? 0 : this.job.clock.ticks() - this.heldSince
  }

  async open(): Promise<void> {
    const { job } = this
    for (const server of [job.catalog, job.source, job.target]) this.connections.push(await this.connect(server))
  }

  /** What has not committed by now never will. */
  async close(): Promise<void> {
    if (!this.isCommitting) await Promise.all(this.connections.map((connection) => query(connection, 'ROLLBACK').catch(() => undefined)))
    for (const connection of this.connections) connection.close()
  }

  async run({ digest, compareHeld, lockMs, atOnce, quietly }: CutOverOptions): Promise<CutOver> {
    const { job } = this
    const [catalog] = this.connections as [Connection, Connection, Connection]
    const begin = `SET search_path = ''; BEGIN; SET LOCAL lock_timeout = ${lockMs}; SET LOCAL idle_in_transaction_session_timeout = ${2 * limits.cutoverMsMax}`
    await Promise.all(this.connections.map((connection) => query(connection, begin)))
    await this.on(catalog, 'UPDATE pgherd.schema_version SET version = version + 1')
    const { rows: held } = await this.on(catalog, `SELECT FROM pgherd.move WHERE id = ${job.id} AND fence = ${job.record.fence} AND stage = 'cutting-over' AND wanted = 'done' FOR UPDATE`)
    if (held.length === 0) throw new Abandoned('it is not wanted any more')
    // From here on no schema changes, so this is how the tables are.
    const bucket = await readMovedTables(job)
    if (bucket.digest !== digest) throw new Abandoned('the schema was changed, or a replica promoted', true)
    const { tables } = bucket
    await this.announce(quietly)
    if (quietly) await this.untilQuiet(bucket)
    job.onStep('locks')
    const rows = tables.length === 0 ? undefined : await this.swap(bucket, compareHeld, atOnce)
    await this.decide(catalog, bucket)
    this.checkTime()
    job.onStep('commit')
    this.isCommitting = true
    const servers = [job.catalog, job.source, job.target]
    const branches = this.connections.map((connection, i) => new ServerBranch({ server: servers[i] as ServerAddress, wrote: true, cannotPrepare: i === 0, connection }))
    await commitBranches(branches, { id: newTransactionId(job.clock), database: job.database, isAsked: false }, job.commit)
    return { heldMs: this.heldUntilNow, rows }
  }

  /** From here on routers hold statements over whole tables of the group (coordination/group-holds.ts): those under way end, and are followed by none. */
  private async announce(quietly: boolean): Promise<void> {
    const { job } = this
    this.heldSince = job.clock.ticks()
    await tell(job, quietly ? 'hold-all' : 'hold')
    await job.clock.sleep(limits.cutoverNoticeMs)
  }

  private async untilQuiet({ tables }: MovedTables): Promise<void> {
    const { job } = this
    const source = await job.sessions.on(job.source)
    const names = tables.flatMap(({ leaf, parent }) => [leaf, ...(parent === undefined ? [] : [parent])])
    const users = `SELECT FROM pg_locks WHERE locktype = 'relation' AND relation IN (SELECT to_regclass(name) FROM unnest($1::text[]) name)
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) LIMIT 1`
    while ((await source.query(users, [names])).rowCount !== 0) {
      if (this.heldUntilNow > limits.cutoverQuietMsMax) throw new Abandoned('transactions that use its tables did not end')
      this.checkTime()
      await job.clock.sleep(limits.cutoverLookMs)
    }
  }

  /** Gives the number of rows that were compared. */
  private async swap(bucket: MovedTables, compareHeld: boolean, atOnce: boolean): Promise<number | undefined> {
    const { job } = this
    const { tables } = bucket
    const [, source, target] = this.connections as [Connection, Connection, Connection]
    // In the order of those that statements take: one shard after the other, a marker and then its table, a leaf and then its parent.
    const markers = (shard: ServerAddress) => tables.flatMap((table) => markersOf(table, shard, bucket, job).before ?? [])
    const leaves = [...tables.map(({ leaf }) => leaf), ...tables.flatMap(({ parent }) => (parent === undefined ? [] : [`ONLY ${parent}`]))]
    const onSource = () => this.lock(source, [...markers(job.source), ...leaves])
    const onTarget = () => this.lock(target, markers(job.target))
    if (atOnce) await settleAll([onSource(), onTarget()])
    else for (const lock of job.source.id < job.target.id ? [onSource, onTarget] : [onTarget, onSource]) await lock()
    await this.untilApplied()
    job.onStep('applied')
    const rows = compareHeld ? await this.compare(tables, source, target) : undefined
    const next = (shard: ServerAddress) => tables.flatMap((table) => nextMarker(table, markersOf(table, shard, bucket, job)))
    await settleAll([this.leave(bucket, source, next(job.source)), this.arrive(bucket, target, next(job.target))])
    return rows
  }

  private async lock(connection: Connection, tables: readonly string[]): Promise<void> {
    if (tables.length > 0) await this.on(connection, `LOCK TABLE ${tables.join(', ')} IN ACCESS EXCLUSIVE MODE`)
  }

  /** The source's leaves are no partitions any more, and nobody finds them. */
  private async leave({ tables }: MovedTables, source: Connection, markers: readonly string[]): Promise<void> {
    const statements = tables.flatMap(({ parent, leaf, goneName }) => [
      ...(parent === undefined ? [] : [`ALTER TABLE ${parent} DETACH PARTITION ${leaf}`]),
      `ALTER TABLE ${leaf} RENAME TO ${goneName}`,
    ])
    for (const { parent, isPartition, gone } of tables) {
      if (parent === undefined && !isPartition) statements.push(`ALTER TABLE ${gone} ADD CONSTRAINT ${goneCheck(this.job.id)} CHECK (true) NOT VALID`)
    }
    await this.on(source, [...statements, ...markers].join('; '))
    // They are to be in nobody's way until they are dropped.
    await this.setReferencedTriggers(source, tables, ({ gone }) => gone, 'DISABLE')
  }

  private async arrive({ tables, modulus }: MovedTables, target: Connection, markers: readonly string[]): Promise<void> {
    const { id, moved } = this.job
    const statements = tables.flatMap(({ parent, leaf, isPartition }) => [
      ...(parent === undefined || moved.kind !== 'bucket' ? [] : [`ALTER TABLE ${parent} ATTACH PARTITION ${leaf} FOR VALUES WITH (MODULUS ${modulus}, REMAINDER ${moved.bucket})`]),
      ...(parent === undefined && isPartition ? [] : [`ALTER TABLE ${leaf} DROP CONSTRAINT ${boundCheck(id)}`]),
    ])
    await this.on(target, [...statements, ...markers].join('; '))
    if (moved.kind === 'table') await this.setReferencedTriggers(target, tables, ({ leaf }) => leaf, 'ENABLE')
  }

  private async setReferencedTriggers(server: Connection, tables: readonly MovedTable[], nameOf: (table: MovedTable) => string, state: 'ENABLE' | 'DISABLE'): Promise<void> {
    for (const table of tables) {
      for (const { name, referenced, isBetweenLeaves } of table.facts.foreignKeys) {
        if (isBetweenLeaves) continue
        const { rows } = await this.on(server, referencedTriggers(nameOf(table), name))
        for (const [trigger] of rows) await this.on(server, `ALTER TABLE ${referenced} ${state} TRIGGER ${trigger}`)
      }
    }
  }

  private async decide(catalog: Connection, bucket: MovedTables): Promise<void> {
    const { id, moved, record } = this.job
    await (moved.kind === 'bucket' ? this.giveBucket(catalog, moved, bucket) : this.giveTables(catalog, bucket))
    const cleaning = `UPDATE pgherd.move SET stage = 'cleaning', changed_at = clock_timestamp(), error = NULL, lag_bytes = 0 WHERE id = ${id} AND fence = ${record.fence} RETURNING 1`
    const { rows: mine } = await this.on(catalog, cleaning)
    if (mine.length !== 1) throw new MoveTaken(id)
    await this.on(catalog, 'NOTIFY pgherd_schema')
  }

  private async giveBucket(catalog: Connection, { group, bucket }: BucketToMove, { layouts }: MovedTables): Promise<void> {
    const { source, target } = this.job
    const owner = `UPDATE pgherd.bucket SET shard_id = ${target.id} WHERE group_id = ${group} AND bucket = ${bucket} AND shard_id = ${source.id} RETURNING 1`
    const { rows } = await this.on(catalog, owner)
    if (rows.length !== 1) throw new Abandoned(`shard ${source.id} does not have bucket ${bucket} any more`)
    for (const shard of [source.id, target.id]) {
      await this.on(catalog, `INSERT INTO pgherd.shard_layout VALUES (${group}, ${shard}, ${nextLayout(shard, layouts)}) ON CONFLICT (group_id, shard_id) DO UPDATE SET layout = excluded.layout`)
    }
  }

  private async giveTables(catalog: Connection, { tables }: MovedTables): Promise<void> {
    const { source, target } = this.job
    const ids = tables.map((table) => table.id).join(', ')
    const { rows } = await this.on(catalog, `UPDATE pgherd.placement SET shard_id = ${target.id}, layout = layout + 1 WHERE id IN (${ids}) AND kind = 'single' AND shard_id = ${source.id} RETURNING 1`)
    if (rows.length !== tables.length) throw new Abandoned(`shard ${source.id} does not have the tables any more`)
  }

  /** All that was written to the leaves is on the target, and visible there. */
  private async untilApplied(): Promise<void> {
    const { job } = this
    const source = await job.sessions.on(job.source)
    // A commit, so that the log is written up to here: what sends it to the target reads no further than that.
    await source.query(`SELECT pg_logical_emit_message(true, 'pgherd.move', '')`)
    const { rows } = await source.query<{ position: string }>('SELECT pg_current_wal_flush_lsn()::text AS position')
    for (;;) {
      const { rowCount } = await source.query('SELECT FROM pg_replication_slots WHERE slot_name = $1 AND confirmed_flush_lsn >= $2::pg_lsn', [job.name, rows[0]?.position])
      if (rowCount === 1) return
      this.checkTime()
      await job.clock.sleep(limits.cutoverLookMs)
    }
  }

  private async compare(tables: readonly MovedTable[], source: Connection, target: Connection): Promise<number> {
    const filled = tables.filter(({ hasRows }) => hasRows)
    const text = filled.map((table) => `SELECT * FROM (${wholeSum(table)}) s`).join(' UNION ALL ')
    const [here, there] = await Promise.all([this.on(source, text), this.on(target, text)])
    for (const [i, table] of filled.entries()) {
      const [a, b] = [here.rows[i], there.rows[i]]
      if (a?.[0] !== b?.[0] || a?.[1] !== b?.[1]) throw new Abandoned(`the copy of ${table.leaf} has ${b?.[0]} rows with checksum ${b?.[1]}, not ${a?.[0]} with ${a?.[1]}`, true)
    }
    return here.rows.reduce((sum, [count]) => sum + Number(count), 0)
  }

  /** Whatever takes longer than there is time is cancelled by the server. */
  private on(connection: Connection, text: string): Promise<QueryResult> {
    const left = Math.max(1, Math.ceil(this.checkTime()))
    query(connection, `SET LOCAL statement_timeout = ${left}`).catch(() => undefined) // what follows fails as well
    return query(connection, text)
  }

  private checkTime(): number {
    this.job.signal.throwIfAborted()
    const left = limits.cutoverMsMax - this.heldUntilNow
    if (left <= 0) throw new Abandoned(`it took longer than ${limits.cutoverMsMax} ms`)
    return left
  }

  private async connect(server: ServerAddress): Promise<Connection> {
    const { credentials, database, clock } = this.job
    return enterServer({ server, user: credentials.user, credentials, database, clock })
  }
}

/** Whoever owns the table may drop its marker. */
function nextMarker({ facts }: MovedTable, { before, after }: Markers): string[] {
  const make = (marker: string) => [`CREATE TABLE ${marker} ()`, `ALTER TABLE ${marker} OWNER TO ${quoteIdent(facts.owner)}`, `GRANT SELECT, INSERT ON ${marker} TO PUBLIC`]
  return [...(before === undefined ? [] : [`DROP TABLE ${before}`]), ...(after === undefined ? [] : make(after))]
}

export const isCutOver = (outcome: CutOver | NotCutOver): outcome is CutOver => !('reason' in outcome)

