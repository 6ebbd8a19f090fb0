/** What a server says of itself to who has just connected to it, whoever that is: is it a primary, on which timeline, since when? */
import type { ServerIdentity } from '../catalog/server-address.ts'
import type { QueryResult } from './query.ts'

/** Names of settings that a server has for all its roles. They are read from their table, as of now, and not from the session. */
export const fencedSetting = 'pgherd.fenced_timeline'
export const catalogSetting = 'pgherd.catalog_timeline'

/**
 * The timeline is that of the log which is being written: that of the last checkpoint is behind after a promotion. One statement of five columns, in the order of
 * `readIdentity`.
 */
export const identityQuery = `SELECT pg_catalog.pg_is_in_recovery(),
  CASE WHEN pg_catalog.pg_is_in_recovery() THEN 0
       ELSE ('x' || pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8))::pg_catalog.bit(32)::pg_catalog.int8 END,
  ${timelineIn(fencedSetting)}, ${timelineIn(catalogSetting)},
  pg_catalog.date_part('epoch', pg_catalog.pg_postmaster_start_time())`

function timelineIn(setting: string): string {
  return `coalesce((SELECT pg_catalog.max(pg_catalog.split_part(one, '=', 2)::pg_catalog.int8) FROM pg_catalog.pg_db_role_setting, pg_catalog.unnest(setconfig) one
    WHERE setdatabase = 0 AND setrole = 0 AND pg_catalog.starts_with(one, '${setting}=')), 0)`
}

/** Throws when the row is not one of `identityQuery`. */
export function readIdentity(row: QueryResult['rows'][number] | undefined): ServerIdentity {
  const [isInRecovery, timeline, fencedTimeline, catalogTimeline, startedAt] = row ?? []
  if (startedAt === undefined) throw new Error('a server did not say what it is')
  return { isInRecovery: isInRecovery === 't', timeline: Number(timeline), fencedTimeline: Number(fencedTimeline), catalogTimeline: Number(catalogTimeline), startedAt }
}
