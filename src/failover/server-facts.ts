/** What a shard's servers say of themselves and of each other. */
import type pg from 'pg'
import type { LogPosition } from '../coordination/log-position.ts'
import { readPosition } from '../coordination/log-position.ts'
import { readConninfo } from './conninfo.ts'
import { readStandbyNames } from './synchronous.ts'

export interface Follower {
  readonly name: string
  readonly isStreaming: boolean
  /** What it has said to have on disk. */
  readonly flushed: LogPosition | undefined
}

export interface PrimaryFacts {
  readonly position: LogPosition
  /** Undefined where somebody else has set synchronous_standby_names. */
  readonly waitedFor: readonly string[] | undefined
  readonly followers: readonly Follower[]
}

/** Undefined when the server is none. */
export async function askPrimary(client: pg.Client): Promise<PrimaryFacts | undefined> {
  const { rows } = await client.query<{ position: string | null; names: string; followers: { name: string; state: string; flushed: string | null }[] | null }>(`
    SELECT CASE WHEN NOT pg_is_in_recovery() THEN pg_current_wal_insert_lsn()::text END AS position,
           current_setting('synchronous_standby_names') AS names,
           (SELECT json_agg(json_build_object('name', application_name, 'state', state, 'flushed', flush_lsn::text)) FROM pg_stat_replication) AS followers`)
  const position = readPosition(rows[0]?.position ?? '')
  if (position === undefined) return undefined
  const followers = (rows[0]?.followers ?? []).map(({ name, state, flushed }) => ({ name, isStreaming: state === 'streaming', flushed: readPosition(flushed ?? '') }))
  return { position, waitedFor: readStandbyNames(rows[0]?.names ?? ''), followers }
}

export interface ReplicaFacts {
  /** How much of the log it has. */
  readonly position: LogPosition
  readonly isReceiving: boolean
  /** How it says whom it follows; undefined where that is not understood. */
  readonly conninfo: ReadonlyMap<string, string> | undefined
  readonly slot: string
  /** By which its primary knows it. */
  readonly name: string
}

/** Undefined when the server is none. */
export async function askReplica(client: pg.Client): Promise<ReplicaFacts | undefined> {
  const { rows } = await client.query<{ follows: boolean; position: string | null; receives: boolean; conninfo: string; slot: string; name: string }>(`
    SELECT pg_is_in_recovery() AS follows, greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())::text AS position,
           EXISTS (SELECT FROM pg_stat_wal_receiver WHERE status = 'streaming') AS receives,
           current_setting('primary_conninfo') AS conninfo, current_setting('primary_slot_name') AS slot, coalesce(nullif(current_setting('cluster_name'), ''), 'walreceiver') AS name`)
  const [row] = rows
  const position = readPosition(row?.position ?? '')
  if (row?.follows !== true || position === undefined) return undefined
  const conninfo = readConninfo(row.conninfo)
  return { position, isReceiving: row.receives, conninfo, slot: row.slot, name: conninfo?.get('application_name') ?? row.name }
}
