/** What a bench must know of its table, as the shell has it. */
import { refuse } from '../../base/errors.ts'
import type { Relation } from '../../catalog/snapshot.ts'
import type { Connection } from '../../shard/connection.ts'
import { query } from '../../shard/query.ts'

export interface TableRules {
  /** Statements that give a copy (named by %TABLE%) the table's CHECK and unique rules, under their own names. */
  readonly statements: readonly string[]
  /** Columns whose values must be unique, alone or together. */
  readonly uniqueColumns: ReadonlySet<string>
  /** A unique index of expressions or of some rows: any column may matter to it. */
  readonly uniqueByExpression: boolean
  readonly referencedBy: readonly ForeignKey[]
  readonly rowTypeOid: number
}

/** A foreign key that refers to the table. */
export interface ForeignKey {
  readonly name: string
  readonly child: number
  readonly childName: string
  readonly childColumns: readonly string[]
  readonly columns: readonly string[]
  /** a no action, r restrict, c cascade, n set null, d set default */
  readonly onUpdate: string
  readonly onDelete: string
}

interface Row {
  constraints: { name: string; type: string; definition: string; deferred: boolean }[]
  indexes: { name: string; definition: string }[]
  uniqueColumns: string[]
  uniqueByExpression: boolean
  referencedBy: ForeignKey[]
  triggers: number
  rowTypeOid: number
}

export async function readTableRules(relation: Relation, connection: Connection): Promise<TableRules> {
  const { rows } = await query(connection, rulesQuery(relation.oid))
  const row = JSON.parse(rows[0]?.[0] ?? '{}') as Row
  if (row.triggers > 0) throw refuse(`cannot run this kind of statement on "${relation.name}", which has triggers`, 'Write its parts as statements of their own, in a transaction.')
  // The rows that are copied are the table's already: only new ones are checked. What is checked at COMMIT is the shards' to check.
  const constraints = row.constraints
    .filter((one) => !one.deferred)
    .map((one) => `ALTER TABLE %TABLE% ADD CONSTRAINT ${one.name} ${one.definition}${one.type === 'c' && !/ NOT VALID$/.test(one.definition) ? ' NOT VALID' : ''}`)
  const indexes = row.indexes.map(({ name, definition }) => `CREATE UNIQUE INDEX ${name} ON %TABLE%${definition.slice(definition.indexOf(' USING '))}`)
  return {
    statements: [...constraints, ...indexes],
    uniqueColumns: new Set(row.uniqueColumns),
    uniqueByExpression: row.uniqueByExpression,
    referencedBy: row.referencedBy,
    rowTypeOid: row.rowTypeOid,
  }
}

const columnsOf = (table: string, numbers: string) =>
  `(SELECT coalesce(json_agg(a.attname ORDER BY u.n), '[]') FROM unnest(${numbers}) WITH ORDINALITY u (attnum, n) JOIN pg_attribute a ON a.attrelid = ${table} AND a.attnum = u.attnum)`

const rulesQuery = (oid: number) => `
  SELECT json_build_object(
    'constraints', (SELECT coalesce(json_agg(json_build_object('name', quote_ident(k.conname), 'type', k.contype, 'definition', pg_get_constraintdef(k.oid), 'deferred', k.condeferred)
                      ORDER BY k.oid), '[]') FROM pg_constraint k WHERE k.conrelid = ${oid} AND k.contype IN ('c', 'p', 'u', 'x')),
    'indexes', (SELECT coalesce(json_agg(json_build_object('name', quote_ident(c.relname), 'definition', pg_get_indexdef(i.indexrelid)) ORDER BY c.oid), '[]')
                FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
                WHERE i.indrelid = ${oid} AND i.indisunique AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x'))),
    'uniqueColumns', (SELECT coalesce(json_agg(DISTINCT a.attname), '[]') FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey::int2[])
                      WHERE i.indrelid = ${oid} AND (i.indisunique OR i.indisexclusion)),
    'uniqueByExpression', EXISTS (SELECT FROM pg_index i WHERE i.indrelid = ${oid} AND (i.indisunique OR i.indisexclusion) AND (i.indexprs IS NOT NULL OR i.indpred IS NOT NULL)),
    'referencedBy', (SELECT coalesce(json_agg(json_build_object('name', k.conname, 'child', k.conrelid::int8, 'childName', k.conrelid::regclass::text,
                       'childColumns', ${columnsOf('k.conrelid', 'k.conkey')}, 'columns', ${columnsOf('k.confrelid', 'k.confkey')},
                       'onUpdate', k.confupdtype, 'onDelete', k.confdeltype)), '[]')
                     FROM pg_constraint k WHERE k.confrelid = ${oid} AND k.contype = 'f' AND k.conparentid = 0),
    'triggers', (SELECT count(*) FROM pg_trigger g WHERE g.tgrelid = ${oid} AND NOT g.tgisinternal),
    'rowTypeOid', (SELECT c.reltype::int8 FROM pg_class c WHERE c.oid = ${oid}))`
