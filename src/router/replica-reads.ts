/**
 * Whether and where a session's reads go to replicas, and what they must see: all that the session has committed.
 *
 * How far a primary's log was after the session's last write there is asked when it first matters: a session that never reads from
 * replicas pays nothing.
 */
import { SqlError } from '../base/errors.ts'
import { limits } from '../base/limits.ts'
import type { ServerAddress } from '../catalog/server-address.ts'
import type { LogPosition } from '../coordination/log-position.ts'
import { positionText, readPosition } from '../coordination/log-position.ts'
import type { ReplicaChoice } from '../coordination/replica-watch.ts'
import type { ReplicaReads } from '../executor/read-replica.ts'
import { query } from '../shard/query.ts'
import type { Settings } from '../transaction/settings.ts'
import type { Session } from './session.ts'

export class SessionReplicas implements ReplicaReads {
  private readonly session: Session
  private readonly seen = new Map<number, LogPosition>()
  private settingsRead: Settings | undefined
  private from: ReadFrom = 'primary'
  private lagMsMax: number = limits.replicaLagMsMax

  constructor(session: Session) {
    this.session = session
  }

  /** This, where the statement that runs next may read from replicas. */
  get inUse(): ReplicaReads | undefined {
    const { transaction } = this.session
    if (this.settingsRead !== transaction.settings) this.readSettings(transaction.settings)
    if (this.from === 'primary') return undefined
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

  private readSettings(settings: Settings): void {
    this.settingsRead = settings
    this.from = readFrom(valueOf(settings, 'pgherd.read_from') ?? 'primary')
    this.lagMsMax = readLag(valueOf(settings, 'pgherd.replica_lag_max') ?? `${limits.replicaLagMsMax}`)
    for (const [shard, position] of readToken(valueOf(settings, 'pgherd.read_token') ?? '')) this.see(shard, position)
  }
}

type ReadFrom = 'primary' | 'replica' | 'replica_if_read_only'

function readFrom(value: string): ReadFrom {
  if (value === 'primary' || value === 'replica' || value === 'replica_if_read_only') return value
  throw new SqlError('22023', `invalid value for parameter "pgherd.read_from": "${value}"`, { hint: 'Available values: primary, replica, replica_if_read_only.' })
}

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1000, min: 60_000 }

function readLag(value: string): number {
  const [, number, unit = 'ms'] = /^\s*(\d+)\s*(ms|s|min)?\s*$/.exec(value) ?? []
  const ms = Number(number) * (unitMs[unit] ?? NaN)
  if (ms >= 1 && ms <= limits.replicaSampleKeepMs) return ms
  throw new SqlError('22023', `invalid value for parameter "pgherd.replica_lag_max": "${value}"`, { hint: `Give a time from 1ms to ${limits.replicaSampleKeepMs / 1000}s.` })
}

function readToken(value: string): (readonly [number, LogPosition])[] {
  return value.split(',').filter((part) => part !== '').map((part) => {
    const [, shard, text = ''] = /^(\d+):(.+)$/.exec(part) ?? []
    const position = readPosition(text)
    if (shard === undefined || position === undefined) throw new SqlError('22023', `invalid value for parameter "pgherd.read_token": "${value}"`, { hint: 'SELECT pgherd.read_token() gives one.' })
    return [Number(shard), position] as const
  })
}

const readers: Readonly<Record<string, (value: string) => unknown>> = { 'pgherd.read_from': readFrom, 'pgherd.replica_lag_max': readLag, 'pgherd.read_token': readToken }

/** Throws 22023 for a value that a setting of replica reads cannot have. */
export function checkReplicaSetting(name: string, value: string): void {
  readers[name]?.(value)
}

/** From the statement that set it. */
function valueOf(settings: Settings, name: string): string | undefined {
  const [, quoted, bare] = /(?:=|\bto\b)\s*(?:'([^']*)'|(\w+))\s*$/i.exec(settings.get(name) ?? '') ?? []
  return quoted ?? bare
}
