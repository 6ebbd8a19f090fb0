/**
 * Whether and where a session's reads go to replicas, and what they must see: all that the session has committed.
 *
 * How far a primary's log was after the session's last write there is asked when it first matters: a session that never reads from
 * replicas pays nothing.
 */
import { limits } from '../base/limits.ts'
import type { ServerAddress } from '../catalog/server-address.ts'
import type { LogPosition } from '../coordination/log-position.ts'
import { positionText, readPosition } from '../coordination/log-position.ts'
import type { ReplicaChoice } from '../coordination/replica-watch.ts'
import type { ReplicaReads } from '../executor/read-replica.ts'
import { query } from '../shard/query.ts'
import type { OwnValues, ReadFrom } from './own-settings.ts'
import { readFrom, readLag, readToken } from './own-settings.ts'
import type { Session } from './session.ts'

export class SessionReplicas implements ReplicaReads {
  private readonly session: Session
  private readonly seen = new Map<number, LogPosition>()
  private settingsRead: OwnValues | undefined
  private from: ReadFrom = 'primary'
  private lagMsMax: number = limits.replicaLagMsMax

  constructor(session: Session) {
    this.session = session
  }

  /** This, where the statement that runs next may read from replicas. */
  get inUse(): ReplicaReads | undefined {
    const { transaction } = this.session
    if (this.settingsRead !== this.session.own) this.readSettings(this.session.own)
    // Replicas have no moment in common.
    if (this.from === 'primary' || this.session.consistency !== 'shard') return undefined
    const may = transaction.active ? transaction.readOnly : this.from === 'replica' || transaction.readOnlyNow
    return may ? this : undefined
  }

  async choose(primary: ServerAddress): Promise<ReplicaChoice | undefined> {
    await this.note(primary)
    return this.session.services.replicas.choose(primary.id, this.lagMsMax, this.seen.get(primary.id) ?? 0n)
  }

  /** What another session, perhaps of another router, has to SET pgherd.read_token to in order to see what this one has committed. */
  async token(): Promise<string> {
    await Promise.all(this.session.services.store.shards.map((shard) => this.note(shard)))
    return [...this.seen].map(([shard, position]) => `${shard}:${positionText(position)}`).join(',')
  }

  private async note(primary: ServerAddress): Promise<void> {
    const { transaction, services, database, user } = this.session
    if (!transaction.written.delete(primary.id)) return
    try {
      const connection = await services.pool.take(primary, database, user)
      const { rows } = await query(connection, 'SELECT pg_current_wal_insert_lsn()').finally(() => services.pool.release(connection))
      this.see(primary.id, readPosition(rows[0]?.[0] ?? '') ?? 0n)
    } catch (error) {
      transaction.written.add(primary.id)
      throw error
    }
  }

  private see(shard: number, position: LogPosition): void {
    if (position > (this.seen.get(shard) ?? 0n)) this.seen.set(shard, position)
  }

  private readSettings(own: OwnValues): void {
    this.settingsRead = own
    this.from = readFrom(own['pgherd.read_from'] ?? 'primary')
    this.lagMsMax = readLag(own['pgherd.replica_lag_max'] ?? '')
    for (const [shard, position] of readToken(own['pgherd.read_token'] ?? '')) this.see(shard, position)
  }
}
