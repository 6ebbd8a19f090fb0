/** The tables that a move takes along, as the source has them: a group's leaves of one bucket, or single tables. */
import type { Hash } from 'node:crypto'
import { createHash } from 'node:crypto'
import type pg from 'pg'
import { qualified, quoteIdent, quoteLiteral } from '../base/quote.ts'
import type { ServerAddress } from '../catalog/server-address.ts'
import { dataSchema, leafName, markerOn } from '../catalog/snapshot.ts'
import type { BucketToMove, SinglesToMove, MoveJob } from './move-job.ts'
import { MoveImpossible } from './move-job.ts'
import { readMovableUnit } from './single-tables.ts'

export interface MovedTable {
  readonly id: number
  /** Quoted and qualified. Undefined for a single table. */
  readonly parent: string | undefined
  /** The single table itself, where there is no parent. */
  readonly leaf: string
  /** False for a partitioned table, whose rows are in its partitions, which are single tables too. */
  readonly hasRows: boolean
  readonly isPartition: boolean
  /** What the source's leaf is called from the cut-over on, until it is dropped: alone, and qualified. */
  readonly goneName: string
  readonly gone: string
  /** An expression: rows with the same one are compared together. */
  readonly key: string
  readonly layout: number
  readonly facts: LeafFacts
}

export interface MovedTables {
  readonly tables: readonly MovedTable[]
  /** Of the group; 0 for single tables. */
  readonly modulus: number
  /** By shard; see pgherd.shard_layout. */
  readonly layouts: ReadonlyMap<number, number>
  /** Another one tells that a schema change, or another primary, has come in between. */
  readonly digest: string
}

interface ForeignKey {
  readonly name: string
  readonly definition: string
  /** Quoted and qualified. */
  readonly referenced: string
  /** Between leaves: not inherited from the parents. */
  readonly isBetweenLeaves: boolean
}

/** What a leaf on a shard is like, in JSON of the server. */
export interface LeafFacts {
  readonly columns: readonly { readonly name: string; readonly type: string; readonly comparable: boolean }[]
  readonly foreignKeys: readonly ForeignKey[]
  readonly owner: string
  readonly grants: readonly string[]
  readonly hasIdentity: boolean
  /** Of the primary key; all where there is none. */
  readonly keyColumns: readonly string[]
}

const factsQuery = (leaf: string) => `
  SELECT json_build_object(
    'columns', (SELECT json_agg(json_build_object('name', a.attname, 'type', format_type(a.atttypid, a.atttypmod), 'number', a.attnum, 'notNull', a.attnotnull,
        'generated', a.attgenerated, 'storage', a.attstorage, 'compression', a.attcompression, 'collation', a.attcollation::regcollation::text, 'default', pg_get_expr(d.adbin, d.adrelid),
        'comparable', EXISTS (SELECT FROM pg_operator o JOIN pg_amop m ON m.amopopr = o.oid WHERE o.oprname = '=' AND o.oprleft = coalesce(nullif(t.typbasetype, 0), t.oid))
          OR t.typtype IN ('e', 'c', 'r', 'm') OR t.typcategory = 'A' OR t.typname IN ('varchar', 'oidvector')) ORDER BY a.attnum)
      FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
      WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
    'foreignKeys', (SELECT coalesce(json_agg(json_build_object('name', k.conname, 'definition', pg_get_constraintdef(k.oid), 'referenced', k.confrelid::regclass::text,
        'isBetweenLeaves', k.conparentid = 0) ORDER BY k.conname, k.oid), '[]') FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'f'),
    'constraints', (SELECT json_agg(json_build_array(k.conname, pg_get_constraintdef(k.oid)) ORDER BY k.conname, k.oid) FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype <> 'f'),
    'indexes', (SELECT json_agg(pg_get_indexdef(i.indexrelid) ORDER BY i.indexrelid) FROM pg_index i WHERE i.indrelid = c.oid AND i.indisvalid),
    'owner', pg_get_userbyid(c.relowner),
    'grants', (SELECT coalesce(json_agg(g.grant ORDER BY g.grant), '[]') FROM (
        SELECT format('GRANT %s ON %s TO %s', x.privilege_type, '%TABLE%', CASE WHEN x.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(x.grantee)) END)
        FROM aclexplode(c.relacl) x WHERE x.grantee <> c.relowner
        UNION ALL SELECT format('GRANT %s (%I) ON %s TO %s', x.privilege_type, a.attname, '%TABLE%', CASE WHEN x.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(x.grantee)) END)
        FROM pg_attribute a, aclexplode(a.attacl) x WHERE a.attrelid = c.oid AND NOT a.attisdropped) g ("grant")),
    'hasIdentity', c.relreplident = 'i' OR (c.relreplident <> 'n' AND EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary AND i.indimmediate)),
    'keyColumns', (SELECT json_agg(a.attname ORDER BY a.attnum) FROM pg_attribute a
      WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        AND a.attnum = ANY (coalesce((SELECT i.indkey::int2[] FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary), ARRAY[a.attnum]))),
    'file', c.relfilenode, 'persistence', c.relpersistence, 'options', c.reloptions)::text AS facts
  FROM pg_class c WHERE c.oid = to_regclass(${quoteLiteral(leaf)})`

/** Throws when the source does not have them. */
export async function readMovedTables(job: MoveJob): Promise<MovedTables> {
  return job.moved.kind === 'bucket' ? readBucket(job, job.moved) : readSingles(job, job.moved)
}

/** Single tables are named as their users name them, on the source and on the target. */
async function readSingles(job: MoveJob, { table }: SinglesToMove): Promise<MovedTables> {
  const unit = await readMovableUnit(await job.sessions.on(job.catalog), table, job.source.id)
  const source = await job.sessions.on(job.source)
  const names = new Set(unit.map(({ text }) => text))
  const hash = await hashOfServers(job)
  const tables: MovedTable[] = []
  for (const { id, schema, name, relkind, isPartition, layout } of unit) {
    const leaf = qualified(schema, name)
    const read = await readFacts(leaf, job, source)
    hash.update(`${id} ${leaf} ${read.text}\n`)
    const foreignKeys = read.facts.foreignKeys.map((key) => ({ ...key, isBetweenLeaves: names.has(key.referenced) }))
    const key = `ROW(${read.facts.keyColumns.map(quoteIdent).join(', ')})`
    const goneName = `pgherd_gone${job.id}_t${id}`
    tables.push({ id, parent: undefined, leaf, hasRows: relkind === 'r', isPartition, goneName, gone: qualified(schema, goneName), key, layout, facts: { ...read.facts, foreignKeys } })
  }
  return { tables, modulus: 0, layouts: new Map(), digest: hash.digest('hex') }
}

async function readBucket(job: MoveJob, moved: BucketToMove): Promise<MovedTables> {
  const catalog = await job.sessions.on(job.catalog)
  const { rows } = await catalog.query<{ id: number; layout: number; key: string; schema: string; name: string; modulus: number }>(
    `SELECT p.id, p.layout, p.key_column AS key, n.nspname AS schema, c.relname AS name, g.bucket_count AS modulus
     FROM pgherd.placement p JOIN pgherd.table_group g ON g.id = p.group_id JOIN pg_class c ON c.oid = p.oid JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE p.group_id = $1 ORDER BY p.id`,
    [moved.group],
  )
  const { rows: raised } = await catalog.query<{ shard: number; layout: number }>('SELECT shard_id AS shard, layout FROM pgherd.shard_layout WHERE group_id = $1', [moved.group])
  const source = await job.sessions.on(job.source)
  const tables: MovedTable[] = []
  const hash = await hashOfServers(job)
  for (const { id, layout, key, schema, name } of rows) {
    const leaf = leafName(id, moved.bucket)
    const { text, facts } = await readFacts(leaf, job, source)
    hash.update(`${id} ${schema}.${name} ${key} ${text}\n`)
    const goneName = `gone${job.id}_t${id}_b${moved.bucket}`
    tables.push({ id, parent: qualified(schema, name), leaf, hasRows: true, isPartition: true, goneName, gone: `${dataSchema}.${goneName}`, key: quoteIdent(key), layout, facts })
  }
  return { tables, modulus: rows[0]?.modulus ?? 0, layouts: new Map(raised.map((row) => [row.shard, row.layout])), digest: hash.digest('hex') }
}

/**
 * Another one tells that a replica has been promoted. One that had not received all that was acknowledged for the copy has lost it for good: the
 * source would not send it again.
 */
async function timelineOf(client: pg.Client): Promise<string | undefined> {
  return (await client.query<{ timeline: string }>('SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) AS timeline')).rows[0]?.timeline
}

async function readFacts(leaf: string, job: MoveJob, source: pg.Client): Promise<{ readonly text: string; readonly facts: LeafFacts }> {
  const text = (await source.query<{ facts: string }>(factsQuery(leaf))).rows[0]?.facts
  if (text === undefined) throw new Error(`${job.source.name} does not have ${leaf}`)
  return { text, facts: JSON.parse(text) as LeafFacts }
}

async function hashOfServers(job: MoveJob): Promise<Hash> {
  const hash = createHash('md5')
  for (const server of [job.source, job.target]) hash.update(`${await timelineOf(await job.sessions.on(server))}\n`)
  return hash
}

/** Without a key to find a row by, a change of it is found by comparing all of its columns. */
export function refuseIncomparable({ tables }: MovedTables): void {
  for (const { parent, leaf, hasRows, facts } of tables) {
    const column = facts.hasIdentity || !hasRows ? undefined : facts.columns.find(({ comparable }) => !comparable)
    if (column === undefined) continue
    throw new MoveImpossible(`rows of ${parent ?? leaf} cannot be told apart while they are moved: it has no primary key, and column ${quoteIdent(column.name)} is of type ${column.type}, which has no equality`)
  }
}

export interface Markers {
  readonly before: string | undefined
  readonly after: string | undefined
}

/** The table's marker on a shard of the move, before the cut-over and after it. A single table has one where it is. */
export function markersOf(table: MovedTable, shard: ServerAddress, { layouts }: MovedTables, { source, target }: MoveJob): Markers {
  const { id, layout, parent } = table
  const named = (number: number) => markerOn(shard.id, { id, layout: number }, undefined)
  if (parent === undefined) return { before: shard.id === source.id ? named(layout) : undefined, after: shard.id === target.id ? named(layout + 1) : undefined }
  return { before: named(layouts.get(shard.id) ?? layout), after: named(nextLayout(shard.id, layouts)) }
}

export const nextLayout = (shard: number, layouts: ReadonlyMap<number, number>) => (layouts.get(shard) ?? 1) + 1
