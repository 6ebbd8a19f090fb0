/** Positions in a server's write-ahead log (pg_lsn), as numbers that compare. */
export type LogPosition = bigint

/** Undefined for what is none: '0/3000060' is one. */
export function readPosition(text: string): LogPosition | undefined {
  const [, high, low] = /^([0-9A-F]{1,8})\/([0-9A-F]{1,8})$/i.exec(text) ?? []
  return high === undefined || low === undefined ? undefined : (BigInt(`0x${high}`) << 32n) | BigInt(`0x${low}`)
}

export function positionText(position: LogPosition): string {
  return `${(position >> 32n).toString(16).toUpperCase()}/${(position & 0xffff_ffffn).toString(16).toUpperCase()}`
}

/**
 * For a SELECT on a primary: the end of all that has been written. Before the first record of a page PostgreSQL counts the page's header as written,
 * and a replica that has replayed everything does not: after a change of the segment, or by chance, an idle primary's replicas would look late until
 * something is written. The header has 24 bytes, in the first page of a segment 40 (xlog_internal.h), and no record ends at its end.
 */
export const logEnd = `(SELECT CASE
    WHEN (lsn - '0/0') % current_setting('wal_block_size')::int = 24 THEN lsn - 24::numeric
    WHEN (lsn - '0/0') % (SELECT setting::int8 FROM pg_catalog.pg_settings WHERE name = 'wal_segment_size') = 40 THEN lsn - 40::numeric
    ELSE lsn END FROM pg_catalog.pg_current_wal_insert_lsn() lsn)::text`
