/** A table's definition as the shell has it, and the statements that make the same table on a shard. */
import { qualified, quoteIdent, quoteLiteral } from '../../base/quote.ts'
import type { Relation, Snapshot, TableGroup, TablePlacement } from '../../catalog/snapshot.ts'
import { leafName, markerOn } from '../../catalog/snapshot.ts'
import { rowsOfView } from './materialized-view.ts'
import type { SchemaChange } from './schema-change.ts'

export interface ConstraintDefinition {
  readonly name: string
  /** c check, p primary key, u unique, x exclusion, f foreign key, n not null, t trigger */
  readonly type: string
  readonly definition: string
  readonly columns: readonly string[]
  /** For a foreign key: the table it refers to, and its columns there. */
  readonly referenced: number
  readonly referencedName: string
  readonly referencedColumns: readonly string[]
}

export interface TableDefinition {
  readonly columns: readonly {
    readonly name: string
    readonly type: string
    readonly collation: string | null
    readonly notNull: boolean
    readonly default: string | null
    readonly generated: string
    readonly hasSequence: boolean
  }[]
  readonly constraints: readonly ConstraintDefinition[]
  readonly indexes: readonly { readonly name: string; readonly definition: string; readonly unique: boolean; readonly columns: readonly string[] }[]
  readonly triggers: readonly { readonly name: string; readonly definition: string; readonly enabled: string }[]
  readonly partitionKey: string | null
  /** For a partition: its parent and bound. */
  readonly parent: string | null
  readonly bound: string | null
  /** For a child by inheritance. */
  readonly inherits: readonly string[]
  readonly unlogged: boolean
  readonly owner: string
  readonly grants: readonly string[]
  readonly columnGrants: readonly string[]
}

/** `change` asks the shell, with an empty search_path. */
export function readDefinition(change: Pick<SchemaChange, 'askJson'>, oid: number): Promise<TableDefinition> {
  return change.askJson<TableDefinition>(definitionQuery(String(oid)))
}

/** The definition of the table with this oid, in JSON. Names in it are as the search_path has them. */
export function definitionQuery(oid: string): string {
  return `
    SELECT json_build_object(
      'columns', (SELECT coalesce(json_agg(json_build_object(
          'name', a.attname, 'type', format_type(a.atttypid, a.atttypmod), 'notNull', a.attnotnull,
          'collation', (SELECT quote_ident(n.nspname) || '.' || quote_ident(l.collname) FROM pg_collation l JOIN pg_namespace n ON n.oid = l.collnamespace
                        WHERE l.oid = a.attcollation AND a.attcollation <> t.typcollation),
          'default', pg_get_expr(d.adbin, d.adrelid), 'generated', a.attgenerated,
          'hasSequence', a.attidentity <> '' OR EXISTS (SELECT FROM pg_depend p JOIN pg_class s ON s.oid = p.refobjid AND s.relkind = 'S'
                         WHERE p.classid = 'pg_attrdef'::regclass AND p.objid = d.oid)) ORDER BY a.attnum), '[]')
        FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
      'constraints', (SELECT coalesce(json_agg(json_build_object(
          'name', k.conname, 'type', k.contype, 'definition', pg_get_constraintdef(k.oid),
          'columns', (SELECT coalesce(json_agg(a.attname ORDER BY u.n), '[]') FROM unnest(k.conkey) WITH ORDINALITY u (attnum, n)
                      JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.attnum),
          'referenced', k.confrelid::int8, 'referencedName', CASE WHEN k.confrelid <> 0 THEN k.confrelid::regclass::text END,
          'referencedColumns', (SELECT coalesce(json_agg(a.attname ORDER BY u.n), '[]') FROM unnest(k.confkey) WITH ORDINALITY u (attnum, n)
                      JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.attnum)) ORDER BY k.oid), '[]')
        FROM pg_constraint k WHERE k.conrelid = c.oid AND k.conparentid = 0 AND k.coninhcount = 0 AND k.contype IN ('c', 'p', 'u', 'x', 'f')),
      'indexes', (SELECT coalesce(json_agg(json_build_object('name', ic.relname, 'definition', pg_get_indexdef(i.indexrelid), 'unique', i.indisunique,
          'columns', (SELECT coalesce(json_agg(a.attname), '[]') FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum = ANY (i.indkey::int2[]) AND a.attnum > 0))
          ORDER BY i.indexrelid), '[]')
        FROM pg_index i JOIN pg_class ic ON ic.oid = i.indexrelid
        WHERE i.indrelid = c.oid AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x'))
          AND NOT EXISTS (SELECT FROM pg_inherits h WHERE h.inhrelid = i.indexrelid)),
      'triggers', (SELECT coalesce(json_agg(json_build_object('name', g.tgname, 'definition', pg_get_triggerdef(g.oid), 'enabled', g.tgenabled) ORDER BY g.tgname), '[]') FROM pg_trigger g WHERE g.tgrelid = c.oid AND NOT g.tgisinternal AND g.tgparentid = 0),
      'partitionKey', CASE WHEN c.relkind = 'p' THEN pg_get_partkeydef(c.oid) END,
      'parent', CASE WHEN c.relispartition THEN (SELECT h.inhparent::regclass::text FROM pg_inherits h WHERE h.inhrelid = c.oid) END,
      'bound', CASE WHEN c.relispartition THEN pg_get_expr(c.relpartbound, c.oid) END,
      'inherits', (SELECT coalesce(json_agg(h.inhparent::regclass::text ORDER BY h.inhseqno), '[]') FROM pg_inherits h WHERE h.inhrelid = c.oid AND NOT c.relispartition),
      'unlogged', c.relpersistence = 'u',
      'owner', pg_get_userbyid(c.relowner),
      'grants', (SELECT coalesce(json_agg(format('GRANT %s ON %s TO %s', x.privilege_type, '%TABLE%',
                   CASE WHEN x.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(x.grantee)) END)), '[]')
                 FROM aclexplode(c.relacl) x WHERE x.grantee <> c.relowner),
      'columnGrants', (SELECT coalesce(json_agg(format('GRANT %s (%I) ON %s TO %s', x.privilege_type, a.attname, '%TABLE%',
                   CASE WHEN x.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(x.grantee)) END)), '[]')
                 FROM pg_attribute a, aclexplode(a.attacl) x WHERE a.attrelid = c.oid AND NOT a.attisdropped))
    FROM pg_class c WHERE c.oid = ${oid}`
}

/** A column as CREATE TABLE and ADD COLUMN take it; sequences are the catalog's. */
export function columnText(column: TableDefinition['columns'][number]): string {
  const collation = column.collation === null ? '' : ` COLLATE ${column.collation}`
  const value =
    column.generated === 's'
      ? ` GENERATED ALWAYS AS (${column.default}) STORED`
      : column.generated === 'v'
        ? ` GENERATED ALWAYS AS (${column.default}) VIRTUAL`
        : column.default === null || column.hasSequence
          ? ''
          : ` DEFAULT ${column.default}`
  return `${quoteIdent(column.name)} ${column.type}${collation}${value}${column.notNull ? ' NOT NULL' : ''}`
}

/** Statements that make an empty table on a shard, and its marker; foreign keys come later (foreignKeyStatements). */
export function createStatements(relation: Relation, definition: TableDefinition, group: TableGroup | undefined, shard: number): string[] {
  if (relation.table === undefined) return []
  const dropCopy = `SELECT pgherd.drop_copy(${quoteLiteral(qualified(relation.schema, relation.name))})`
  return [dropCopy, ...tableStatements(relation, definition, group, shard), markerStatement(relation, group, shard)]
}

/** What of a relation says how its table on a shard is called, and which parts it has there. */
type NamedTable = Pick<Relation, 'schema' | 'name'> & { readonly table: Pick<TablePlacement, 'id' | 'kind' | 'keyColumn'> | undefined }

export function tableStatements(relation: NamedTable, definition: TableDefinition, group: TableGroup | undefined, shard: number): string[] {
  const { table } = relation
  if (table === undefined) return []
  const name = qualified(relation.schema, relation.name)
  const columns = definition.columns.map(columnText)
  const partition =
    table.kind === 'distributed'
      ? ` PARTITION BY HASH (${quoteIdent(table.keyColumn ?? '')})`
      : definition.partitionKey === null
        ? ''
        : ` PARTITION BY ${definition.partitionKey}`
  // A crash of one server would empty a part of the table, or one copy: only a table that is whole may be unlogged.
  const unlogged = definition.unlogged && table.kind === 'single' ? 'UNLOGGED ' : ''
  const inherits = definition.inherits.length === 0 ? '' : ` INHERITS (${definition.inherits.join(', ')})`
  const statements =
    definition.parent === null
      ? [`CREATE ${unlogged}TABLE ${name} (${columns.join(', ')})${inherits}${partition}`]
      : [`CREATE ${unlogged}TABLE ${name} PARTITION OF ${definition.parent} ${definition.bound}${partition}`]
  for (const constraint of definition.constraints) {
    if (constraint.type !== 'f') statements.push(`ALTER TABLE ${name} ADD CONSTRAINT ${quoteIdent(constraint.name)} ${constraint.definition}`)
  }
  for (const index of definition.indexes) statements.push(index.definition.replace(/ ON ONLY /, ' ON '))
  if (table.kind === 'distributed') {
    for (const [bucket, owner] of (group?.owners ?? []).entries()) {
      if (owner !== shard) continue
      statements.push(`CREATE TABLE ${leafName(table.id, bucket)} PARTITION OF ${name} FOR VALUES WITH (MODULUS ${group?.owners.length}, REMAINDER ${bucket})`)
    }
  }
  statements.push(...grantStatements(relation, definition, group, shard))
  return statements
}

const enabling: Readonly<Record<string, string>> = { D: 'DISABLE', R: 'ENABLE REPLICA', A: 'ENABLE ALWAYS' }

/** Triggers come last: rows that are moved must not fire them. */
export function triggerStatements(relation: Pick<Relation, 'schema' | 'name'>, definition: TableDefinition): string[] {
  return definition.triggers.flatMap((trigger) => {
    const state = enabling[trigger.enabled]
    const change = state === undefined ? [] : [`ALTER TABLE ${qualified(relation.schema, relation.name)} ${state} TRIGGER ${quoteIdent(trigger.name)}`]
    return [trigger.definition, ...change]
  })
}

/** The shell's own table takes rows without firing its triggers until `resume`. */
export function pauseTriggers(relation: Relation, definition: TableDefinition): { pause: string; resume: string } {
  if (definition.triggers.length === 0) return { pause: '', resume: '' }
  const table = `ALTER TABLE ${qualified(relation.schema, relation.name)}`
  const states = definition.triggers.map(({ name, enabled }) => `${table} ${enabling[enabled] ?? 'ENABLE'} TRIGGER ${quoteIdent(name)}`)
  return { pause: `${table} DISABLE TRIGGER USER`, resume: states.join('; ') }
}

export function markerStatement({ table }: Relation, group: TableGroup | undefined, shard: number): string {
  if (table === undefined) return ''
  const marker = markerOn(shard, table, group)
  return `CREATE TABLE ${marker} (); GRANT SELECT, INSERT ON ${marker} TO PUBLIC`
}

/** What is granted on the table is granted on its leaves too: statements for one bucket name them. */
export function grantStatements(relation: NamedTable, definition: TableDefinition, group: TableGroup | undefined, shard: number): string[] {
  const { table } = relation
  const leaves = table?.kind !== 'distributed' ? [] : (group?.owners ?? []).flatMap((owner, bucket) => (owner === shard ? [leafName(table.id, bucket)] : []))
  return [qualified(relation.schema, relation.name), ...leaves].flatMap((name) => [...definition.grants, ...definition.columnGrants].map((grant) => grant.replace('%TABLE%', name)))
}

export function foreignKeyStatements(relation: Relation, constraint: ConstraintDefinition, referenced: Relation, group: TableGroup | undefined, shard: number): string[] {
  const add = (table: string, definition: string) => `ALTER TABLE ${table} ADD CONSTRAINT ${quoteIdent(constraint.name)} ${definition}`
  const { table } = relation
  if (table?.kind !== 'distributed' || referenced.table?.kind !== 'distributed') {
    return [add(qualified(relation.schema, relation.name), constraint.definition)]
  }
  // Leaf to leaf: equal keys are in equal buckets, and a leaf can then be attached elsewhere without a scan.
  const other = referenced.table
  return (group?.owners ?? []).flatMap((owner, bucket) => {
    if (owner !== shard) return []
    return [add(leafName(table.id, bucket), constraint.definition.replace(`REFERENCES ${constraint.referencedName}(`, `REFERENCES ${leafName(other.id, bucket)}(`))]
  })
}

/** The leaves of a distributed table on a shard. */
export function leavesOn(relation: Relation, snapshot: Snapshot, shard: number): string[] {
  const { table } = relation
  if (table?.kind !== 'distributed') return []
  const owners = snapshot.groups.get(table.group ?? 0)?.owners ?? []
  return owners.flatMap((owner, bucket) => (owner === shard ? [leafName(table.id, bucket)] : []))
}

/** Whether a foreign key is declared from leaf to leaf: between tables that are both distributed. */
export function isLeafToLeaf(relation: Relation, constraint: ConstraintDefinition, snapshot: Snapshot): boolean {
  return constraint.type === 'f' && relation.table?.kind === 'distributed' && snapshot.relationsByOid.get(constraint.referenced)?.table?.kind === 'distributed'
}

export function dropStatements(relation: Relation, group: TableGroup | undefined, shard: number): string[] {
  if (relation.table === undefined) return []
  const marker = markerOn(shard, relation.table, group)
  if (relation.relkind === 'm') {
    const { view, rows } = rowsOfView(relation)
    return [`DROP MATERIALIZED VIEW IF EXISTS ${view} CASCADE`, `DROP TABLE IF EXISTS ${rows} CASCADE`, `DROP TABLE IF EXISTS ${marker}`]
  }
  return [`DROP TABLE IF EXISTS ${qualified(relation.schema, relation.name)} CASCADE`, `DROP TABLE IF EXISTS ${marker}`]
}

/** The servers that hold a table's rows. */
export function holders(relation: Relation, change: SchemaChange): number[] {
  const { table } = relation
  if (table === undefined) return []
  return table.kind === 'single' ? [table.shard ?? 0] : change.shardIds
}

