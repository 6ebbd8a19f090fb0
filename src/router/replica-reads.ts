/**
 * Whether and where a session's reads go to replicas, and what they must see: all that the session has committed.
 *
 * Statements of a READ COMMITTED block see what is committed when they begin. So a block that has begun on a replica leaves it when it has become too
 * old, and goes on at the primary; unless rows of a cursor wait there.
 *
 * How far a primary's log was after the session's last write there is asked when it first matters: a session that never reads from
 * replicas pays nothing.
 */
import { SqlError } from '../base/errors.ts'
import { limits } from '../base/limits.ts'
import type { ServerAddress } from '../catalog/server-address.ts'
import type { LogPosition } from '../coordination/log-position.ts'
import { logEnd, positionText, readPosition } from '../coordination/log-position.ts'
import type { ReplicaChoice } from '../coordination/replica-watch.ts'
import type { ReplicaReads } from '../executor/read-replica.ts'
import { keepTime } from '../executor/transaction-time.ts'
import { query } from '../shard/query.ts'
import type { OwnValues, ReadFrom } from './own-settings.ts'
import { readFrom, readLag, readToken } from './own-settings.ts'
import { readsRows } from './reads-rows.ts'
import type { Session } from './session.ts'
import type { Statement } from '../sql/parse.ts'
import type { Participant } from '../transaction/transaction.ts'

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

  /** Whether the open block is on replicas. */
  get isOnReplicas(): boolean {
    const { transaction } = this.session
    return transaction.active && transaction.readOnly && this.participants.length > 0
  }

  /** Before a statement of a block that is on replicas: those that are too old for it are left. Throws 40001 where that cannot be. */
  async leaveOld(statement: Statement): Promise<void> {
    if (!readsRows(statement) || statement.node.FetchStmt !== undefined) return
    for (const participant of this.participants) {
      const { transaction } = this.session
      const { connection } = participant
      if (this.inUse !== undefined && !connection.isLost && (await this.isFresh(connection.server))) continue
      if (!this.keepsNothing(participant)) {
        throw new SqlError('40001', 'a replica that this transaction has a cursor on is older than its reads may be', { hint: 'Try the transaction again.' })
      }
      if (!this.mayLeave(participant)) await keepTime(this.session.executionContext(await this.session.currentSnapshot()))
      transaction.inUse.delete(connection)
      await transaction.dropFresh(participant)
    }
  }

  mayLeave(participant: Participant): boolean {
    const { clock, time } = this.session.transaction
    return this.keepsNothing(participant) && (time !== undefined || clock?.id !== participant.server.id)
  }

  private get participants(): readonly Participant[] {
    return [...this.session.transaction.participants.values()].filter(({ connection }) => connection.server.isReplica === true)
  }

  private keepsNothing({ server, portals }: Participant): boolean {
    const { transaction, cursors } = this.session
    return transaction.isolation.startsWith('read') && portals.size === 0 && ![...cursors.values()].some((cursor) => cursor.server === server.id)
  }

  private isFresh(replica: ServerAddress): Promise<boolean> {
    return this.session.services.replicas.isFresh(replica, this.lagMsMax, this.seen.get(replica.id) ?? 0n)
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
      const connection = await services.pool.take(primary, database, user, transaction.waits)
      const { rows } = await query(connection, `SELECT ${logEnd}`).finally(() => services.pool.release(connection))
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
