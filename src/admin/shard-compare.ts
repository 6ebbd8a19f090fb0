/** What a new shard has in a database is compared with what it should have, before anything relies on it: objects with another shard's, tables with the shell's. */
import { SqlError } from '../base/errors.ts'
import { qualified, quoteIdent, quoteLiteral } from '../base/quote.ts'
import type { Relation } from '../catalog/snapshot.ts'
import type { SchemaChange } from '../executor/schema/schema-change.ts'
import { definitionQuery, isLeafToLeaf, readDefinition } from '../executor/schema/table-definition.ts'
import type { TableDefinition } from '../executor/schema/table-definition.ts'
import { cannotJoin, noExtensions, ofUser } from './shard-objects.ts'

/** Privileges are a set. */
const sorted = (acl: string) => `(SELECT string_agg(x::text, ',' ORDER BY x::text) FROM unnest(${acl}) x)`

/** Classes of objects that belong to a schema: the column that names the schema, and what has to be the same. */
const inSchemas: readonly (readonly [catalog: string, namespace: string, detail: string, condition?: string])[] = [
  ['pg_type', 'typnamespace', `concat_ws(' ', pg_get_userbyid(o.typowner), ${sorted('o.typacl')}, o.typtype, o.typnotnull, o.typdefault, format_type(o.typbasetype, o.typtypmod),
     (SELECT string_agg(l.enumlabel, ',' ORDER BY l.enumsortorder) FROM pg_enum l WHERE l.enumtypid = o.oid),
     (SELECT string_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod), ',' ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid = o.typrelid AND NOT a.attisdropped),
     (SELECT string_agg(k.conname || ' ' || pg_get_constraintdef(k.oid), ',' ORDER BY k.conname) FROM pg_constraint k WHERE k.contypid = o.oid))`,
   `o.typelem = 0 AND o.typtype <> 'p' AND (o.typrelid = 0 OR EXISTS (SELECT FROM pg_class c WHERE c.oid = o.typrelid AND c.relkind = 'c'))`],
  ['pg_proc', 'pronamespace', `concat_ws(' ', pg_get_userbyid(o.proowner), ${sorted('o.proacl')}, CASE WHEN o.prokind <> 'a' THEN md5(pg_get_functiondef(o.oid)) END)`,
   `NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = o.oid AND d.deptype = 'i')`],
  ['pg_operator', 'oprnamespace', `concat_ws(' ', pg_get_userbyid(o.oprowner), o.oprcode::regproc, o.oprcom::regoper, o.oprnegate::regoper, o.oprcanhash, o.oprcanmerge)`],
  ['pg_opclass', 'opcnamespace', `''`], ['pg_opfamily', 'opfnamespace', `''`], ['pg_conversion', 'connamespace', `''`],
  ['pg_collation', 'collnamespace', `concat_ws(' ', o.collprovider, o.collcollate, o.collctype, o.collisdeterministic)`],
  ['pg_ts_config', 'cfgnamespace', `''`], ['pg_ts_dict', 'dictnamespace', `''`], ['pg_ts_parser', 'prsnamespace', `''`], ['pg_ts_template', 'tmplnamespace', `''`],
]

const besides: readonly (readonly [catalog: string, detail: string])[] = [
  ['pg_cast', `concat_ws(' ', o.castmethod, o.castcontext, o.castfunc::regprocedure)`], ['pg_language', `''`], ['pg_foreign_data_wrapper', `''`], ['pg_foreign_server', `''`],
  ['pg_user_mapping', `''`], ['pg_transform', `''`], ['pg_event_trigger', `''`], ['pg_am', `''`],
]

const line = (catalog: string, detail: string) => `(SELECT i.type || ' ' || i.identity FROM pg_identify_object('${catalog}'::regclass, o.oid, 0) i) || ' ' || ${detail}`

const objectsText = [
  ...inSchemas.map(([catalog, namespace, detail, condition = 'true']) => `SELECT ${line(catalog, detail)} AS line FROM ${catalog} o JOIN pg_namespace n ON n.oid = o.${namespace} WHERE ${ofUser('n.nspname')} AND ${noExtensions(catalog, 'o.oid')} AND ${condition}`),
  ...besides.map(([catalog, detail]) => `SELECT ${line(catalog, detail)} FROM ${catalog} o WHERE o.oid >= 16384 AND ${noExtensions(catalog, 'o.oid')}`),
  `SELECT 'schema ' || o.nspname || ' ' || concat_ws(' ', pg_get_userbyid(o.nspowner), ${sorted('o.nspacl')}) FROM pg_namespace o WHERE ${ofUser('o.nspname')}`,
  `SELECT 'extension ' || o.extname || ' ' || o.extversion || ' ' || o.extnamespace::regnamespace FROM pg_extension o`,
  `SELECT 'default privileges of ' || concat_ws(' ', pg_get_userbyid(o.defaclrole), o.defaclnamespace::regnamespace, o.defaclobjtype, ${sorted('o.defaclacl')}) FROM pg_default_acl o`,
].join(' UNION ALL ')

export async function compareObjects(source: number, target: number, change: SchemaChange): Promise<void> {
  const read = async (shard: number) => new Set((await change.onShard(shard, objectsText)).rows.map(([text]) => text ?? ''))
  const [wanted, made] = [await read(source), await read(target)]
  const missing = [...wanted].filter((one) => !made.has(one))
  const extra = [...made].filter((one) => !wanted.has(one))
  const [first] = [...missing, ...extra]
  if (first === undefined) return
  throw cannotJoin(change.context.database, `${missing.length > 0 ? 'it cannot be given' : 'it has, and no other shard has,'} ${first}`)
}

export async function compareTables(relations: readonly Relation[], target: number, change: SchemaChange): Promise<void> {
  for (const relation of relations) {
    const name = qualified(relation.schema, relation.name)
    const { rows } = await change.onShard(target, definitionQuery(`${quoteLiteral(name)}::regclass`))
    const made = JSON.parse(rows[0]?.[0] ?? 'null') as TableDefinition | null
    const wanted = factsOf(await readDefinition(change, relation.oid), relation, change)
    const found = made === null ? 'nothing' : factsOf(made, relation, change)
    if (found !== wanted) throw new SqlError('XX000', `table ${name} is not on the new shard as the catalog has it`, { detail: `${found} is not ${wanted}` })
    if (relation.table?.kind === 'reference') await compareRows(relation, target, change)
  }
}

/** What must be the same. A shard has no sequences, and no foreign keys between leaves that are not there. */
function factsOf(definition: TableDefinition, relation: Relation, change: SchemaChange): string {
  const sequences = new Set(relation.columns.filter(({ sequence }) => sequence !== undefined).map(({ name }) => name))
  return JSON.stringify({
    columns: definition.columns.map((column) => ({ ...column, hasSequence: false, default: sequences.has(column.name) ? null : column.default })),
    constraints: definition.constraints.filter((one) => !isLeafToLeaf(relation, { ...one, referenced: shellOid(one.referencedName, change) }, change.snapshot)).map(({ name, type, definition: text, columns }) => ({ name, type, text, columns })).toSorted(byText),
    indexes: definition.indexes.map((index) => ({ ...index, definition: index.definition.replace(/ ON ONLY /, ' ON ') })).toSorted(byText),
    triggers: definition.triggers,
    owner: definition.owner,
    grants: [...definition.grants, ...definition.columnGrants].toSorted(),
  })
}

const byText = (a: unknown, b: unknown) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1)

const shellOid = (name: string | null, { snapshot }: SchemaChange) => [...snapshot.relations.values()].find((one) => name === qualified(one.schema, one.name) || name === `${one.schema}.${one.name}`)?.oid ?? 0

async function compareRows(relation: Relation, target: number, change: SchemaChange): Promise<void> {
  const columns = relation.columns.map(({ name }) => `t.${quoteIdent(name)}`).join(', ')
  const sum = `SELECT count(*), coalesce(sum(hashtextextended(ROW(${columns})::text, 0)), 0) FROM ${qualified(relation.schema, relation.name)} t`
  const [[wanted], [made]] = [(await change.onCatalog(sum)).rows, (await change.onShard(target, sum)).rows]
  if (wanted?.join() !== made?.join()) throw new SqlError('XX000', `the rows of ${relation.name} are not on the new shard as the catalog has them`, { detail: `${made?.join()} is not ${wanted?.join()}` })
}
