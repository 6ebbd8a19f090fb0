/** Single tables that have to be on one shard, tied by foreign keys or parts of each other: they move together. */
import type pg from 'pg'
import { qualified } from '../base/quote.ts'
import { MoveImpossible } from './move-job.ts'

export interface SingleTable {
  readonly oid: number
  /** In pgherd.placement. */
  readonly id: number
  readonly schema: string
  readonly name: string
  /** Both, quoted where PostgreSQL quotes them. */
  readonly text: string
  /** pg_class.relkind: a partitioned table, p, has no rows of its own. */
  readonly relkind: string
  readonly isPartition: boolean
  readonly shard: number
  readonly layout: number
}

/** Asks how tables are made (see executor/schema/single-copy.ts); `ask` sees the shell, with an empty search_path. */
export type SingleCopyStatements = (tables: readonly SingleTable[], ask: (sql: string) => Promise<string | undefined>) => Promise<string[]>

/** With `$1`, the number of one of them; parents come before their partitions. */
const unitQuery = `
  WITH RECURSIVE singles AS (
    SELECT p.id, c.oid, n.nspname, c.relname, c.relkind, c.relispartition, c.relpersistence, p.shard_id, p.layout
    FROM pgherd.placement p JOIN pg_class c ON c.oid = p.oid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE p.kind = 'single'),
  edges AS (SELECT conrelid AS a, confrelid AS b FROM pg_constraint WHERE contype = 'f' UNION SELECT inhrelid, inhparent FROM pg_inherits),
  unit AS (
    SELECT oid FROM singles WHERE id = $1
    UNION SELECT s.oid FROM unit u JOIN edges e ON u.oid IN (e.a, e.b) JOIN singles s ON s.oid IN (e.a, e.b)),
  depths AS (
    SELECT oid, 0 AS depth FROM unit UNION SELECT i.inhrelid, d.depth + 1 FROM depths d JOIN pg_inherits i ON i.inhparent = d.oid)
  SELECT s.oid::int8::float8 AS oid, s.id, s.nspname AS schema, s.relname AS name, s.oid::regclass::text AS text, s.relkind, s.relispartition AS "isPartition", s.shard_id AS shard, s.layout,
    s.relpersistence = 'u' AS unlogged, EXISTS (SELECT FROM pg_inherits i WHERE s.oid = i.inhrelid AND NOT s.relispartition) AS inherits,
    s.relkind = 'p' AND EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = s.oid AND k.contype = 'f') AS "hasPartitionedKey"
  FROM singles s JOIN unit USING (oid) ORDER BY (SELECT max(depth) FROM depths d WHERE d.oid = s.oid), s.oid`

type UnitRow = SingleTable & { readonly unlogged: boolean; readonly inherits: boolean; readonly hasPartitionedKey: boolean }

/** None when the table is no more, or single no more. `catalog` is a client of the database on the catalog. */
export async function readUnit(catalog: pg.Client, table: number): Promise<readonly SingleTable[]> {
  return readRows(catalog, table)
}

/** Throws MoveImpossible when there is none, it is not on the shard `source`, or one of them is what replication does not take along. */
export async function readMovableUnit(catalog: pg.Client, table: number, source: number): Promise<readonly SingleTable[]> {
  const rows = await readRows(catalog, table)
  if (rows.length === 0) throw new MoveImpossible('the table was dropped, or is not single any more')
  for (const row of rows) {
    const { schema, name, relkind } = row
    const problem = (why: string) => new MoveImpossible(`${qualified(schema, name)} cannot be moved while it is in use: ${why}`)
    if (row.shard !== source) throw new MoveImpossible(`${qualified(schema, name)} is on shard ${row.shard}`)
    if (relkind === 'm') throw problem('it is a materialized view; drop it and make it again')
    if (row.unlogged) throw problem('it is unlogged; ALTER TABLE ... SET LOGGED first')
    if (row.inherits) throw problem('it inherits from another table')
    if (row.hasPartitionedKey) throw problem('it is partitioned and has a foreign key')
  }
  return rows
}

async function readRows(catalog: pg.Client, table: number): Promise<UnitRow[]> {
  return (await catalog.query<UnitRow>(unitQuery, [table])).rows
}

/** What lives whole on a shard: one table of each unit, by its number in pgherd.placement, the first made first. */
export async function unitsOn(catalog: pg.Client, shard: number): Promise<{ readonly table: number; readonly tables: readonly SingleTable[] }[]> {
  const { rows } = await catalog.query<{ id: number }>(`SELECT id FROM pgherd.placement WHERE kind = 'single' AND shard_id = $1 ORDER BY id`, [shard])
  const units: { table: number; tables: readonly SingleTable[] }[] = []
  const seen = new Set<number>()
  for (const { id } of rows) {
    if (seen.has(id)) continue
    const tables = await readUnit(catalog, id)
    for (const table of tables) seen.add(table.id)
    units.push({ table: id, tables })
  }
  return units
}
