/** Reads a database's snapshot from its shell. */
import type { Builtins, Column, KeyType, Relation, ShardServer, Snapshot, TableGroup, TableKind, TablePlacement, UserFunction, ViewRules } from '../catalog/snapshot.ts'
import { markerName, markerOn, relationKey } from '../catalog/snapshot.ts'

const relationsQuery = `
  SELECT c.oid::int8 AS oid, n.nspname AS schema, c.relname AS name, c.relkind,
         CASE WHEN c.relkind = 'v' THEN pg_get_viewdef(c.oid) END AS view_definition,
         CASE WHEN c.relkind = 'v' THEN json_build_object('isUpdatable', pg_relation_is_updatable(c.oid, false) = 28,
           'hasTriggers', EXISTS (SELECT FROM pg_trigger g WHERE g.tgrelid = c.oid), 'options', coalesce(c.reloptions, '{}')) END AS view,
         p.id, p.kind, p.key_column, p.key_type, p.group_id, p.shard_id, p.layout, p.by_default,
         (SELECT coalesce(json_agg(a.attname ORDER BY k.n), '[]') FROM pg_constraint pk, unnest(pk.conkey) WITH ORDINALITY k (attnum, n)
            JOIN pg_attribute a ON a.attnum = k.attnum WHERE pk.conrelid = c.oid AND pk.contype = 'p' AND a.attrelid = c.oid) AS primary_key,
         (SELECT coalesce(json_agg(json_build_object('name', t.tgname, 'type', t.tgtype, 'function', t.tgfoid::int8) ORDER BY t.tgname), '[]')
            FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal) AS triggers,
         (SELECT coalesce(json_agg(json_build_object(
              'name', a.attname, 'number', a.attnum, 'typeOid', a.atttypid::int8, 'type', format_type(a.atttypid, a.atttypmod),
              'baseType', (WITH RECURSIVE base AS (
                   SELECT t.oid, a.atttypmod AS typmod, t.typtype, t.typbasetype, t.typtypmod, t.typcollation FROM pg_type t WHERE t.oid = a.atttypid
                   UNION ALL SELECT t.oid, b.typtypmod, t.typtype, t.typbasetype, t.typtypmod, b.typcollation FROM base b JOIN pg_type t ON t.oid = b.typbasetype WHERE b.typtype = 'd')
                 SELECT format_type(b.oid, b.typmod) FROM base b WHERE b.typtype <> 'd' AND b.typcollation IN (0, 100)),
              'collation', (SELECT quote_ident(cn.nspname) || '.' || quote_ident(l.collname) FROM pg_collation l JOIN pg_namespace cn ON cn.oid = l.collnamespace
                            JOIN pg_type ty ON ty.oid = a.atttypid WHERE l.oid = a.attcollation AND a.attcollation <> ty.typcollation),
              'notNull', a.attnotnull, 'identity', a.attidentity, 'generated', a.attgenerated <> '',
              'default', pg_get_expr(d.adbin, d.adrelid),
              'sequence', (SELECT s.seq::regclass::text FROM (
                   SELECT dep.refobjid AS seq FROM pg_depend dep JOIN pg_class sc ON sc.oid = dep.refobjid AND sc.relkind = 'S'
                   WHERE dep.classid = 'pg_attrdef'::regclass AND dep.objid = d.oid
                     AND pg_get_expr(d.adbin, d.adrelid) ~ '^nextval\\(''([^'']|'''')+''::regclass\\)$'
                   UNION ALL
                   SELECT dep.objid FROM pg_depend dep JOIN pg_class sc ON sc.oid = dep.objid AND sc.relkind = 'S'
                   WHERE a.attidentity <> '' AND dep.classid = 'pg_class'::regclass AND dep.refclassid = 'pg_class'::regclass
                     AND dep.refobjid = c.oid AND dep.refobjsubid = a.attnum AND dep.deptype = 'i') s LIMIT 1))
            ORDER BY a.attnum), '[]')
          FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
          WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm', 'f')) AS columns
  FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pgherd.placement p ON p.oid = c.oid
  WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast', 'pgherd', 'pgherd_data')
    AND n.nspname !~ '^pg_(toast_)?temp_' AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f', 'i', 'I')`

/** A function counts as one that asks for the time when its body names what does, or another such function. */
const functionsQuery = `
  WITH RECURSIVE body AS (
    SELECT p.oid, p.proname, coalesce(pg_get_function_sqlbody(p.oid), p.prosrc) AS text
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
    WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'pgherd') AND l.lanname NOT IN ('c', 'internal')),
  timed AS (
    SELECT oid, proname FROM body
    WHERE text ~* '\\m(now|transaction_timestamp|current_(date|time|timestamp)|localtime|localtimestamp|age)\\M'
    UNION SELECT b.oid, b.proname FROM body b JOIN timed t ON position(t.proname::text IN b.text) > 0)
  SELECT p.oid::int8 AS oid, n.nspname AS schema, p.proname AS name, p.provolatile AS volatility, p.prokind AS kind, f.touches_tables,
         EXISTS (SELECT FROM timed t WHERE t.oid = p.oid) AS "usesTime"
  FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
  LEFT JOIN pgherd.function_note f ON f.oid = p.oid
  WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'pgherd')`

interface RelationRow {
  oid: number
  schema: string
  name: string
  relkind: string
  view_definition: string | null
  view: ViewRules | null
  id: number | null
  kind: TableKind | null
  key_column: string | null
  key_type: KeyType | null
  group_id: number | null
  shard_id: number | null
  layout: number
  by_default: boolean
  primary_key: string[]
  triggers: { name: string; type: number; function: number }[]
  columns: (Omit<Column, 'default' | 'sequence' | 'collation' | 'baseType'> & { baseType: string | null; default: string | null; sequence: string | null; collation: string | null })[]
}

/** Runs a query of one row and one column, and gives its text. */
export type AskOne = (sql: string) => Promise<string | undefined>

/** All questions must see one state of the catalog, with an empty search_path: the caller's transaction sees to both. */
export async function loadSnapshot(ask: AskOne, database: string, servers: readonly ShardServer[], builtins: Builtins): Promise<Snapshot> {
  const rowsOf = async <T>(sql: string): Promise<T[]> =>
    JSON.parse((await ask(`SELECT coalesce(json_agg(row_to_json(x)), '[]') FROM (${sql}) x`)) ?? '[]') as T[]
  const version = Number(await ask('SELECT version FROM pgherd.schema_version'))
  const members = (await rowsOf<{ shard: number }>(`SELECT shard_id AS shard FROM pgherd.member WHERE state = 'in' ORDER BY shard_id`)).map(({ shard }) => shard)
  const rows = await rowsOf<RelationRow>(relationsQuery)
  const groupRows = await rowsOf<{ id: number; key_type: KeyType; owners: number[]; layouts: [number, number][] }>(
    `SELECT g.id, g.key_type, array_agg(b.shard_id ORDER BY b.bucket) AS owners,
       (SELECT coalesce(json_agg(json_build_array(l.shard_id, l.layout)), '[]') FROM pgherd.shard_layout l WHERE l.group_id = g.id) AS layouts
     FROM pgherd.table_group g JOIN pgherd.bucket b ON b.group_id = g.id GROUP BY g.id`,
  )
  const groups = new Map(groupRows.map((row): [number, TableGroup] => [row.id, { id: row.id, keyType: row.key_type, owners: row.owners, layouts: new Map(row.layouts) }]))
  const moving = await ask(`SELECT count(*) FROM pgherd.move WHERE stage IN ('copying', 'catching-up', 'cutting-over', 'cleaning')`)
  const schemas = await rowsOf<{ nspname: string }>('SELECT nspname FROM pg_namespace')
  const functions = await rowsOf<UserFunction & { oid: number; touches_tables: string | null }>(functionsQuery)
  const timed = new Set(functions.filter((one) => one.usesTime).map((one) => one.oid))
  const relations = rows.map((row) => toRelation(row, timed))
  const equality = await ask(
    `SELECT count(*) FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace WHERE o.oprname = '=' AND n.nspname <> 'pg_catalog'`,
  )
  const text = await ask(
    `SELECT json_build_object('isUtf8', pg_encoding_to_char(encoding) = 'UTF8',
       'byBytes', datlocprovider = 'b' OR (datlocprovider = 'c' AND datcollate IN ('C', 'POSIX')))
     FROM pg_database WHERE datname = current_database()`,
  )
  const byName = new Map<string, UserFunction[]>()
  for (const { touches_tables, oid: _oid, ...row } of functions) {
    byName.set(row.name, [...(byName.get(row.name) ?? []), { ...row, touchesTables: touches_tables ?? undefined }])
  }
  return Object.freeze({
    database,
    version,
    members,
    shards: servers.filter((server) => server.role === 'primary' && members.includes(server.shard)).map(({ shard, name, host, port }) => ({ id: shard, name, host, port })),
    servers,
    schemas: new Set(schemas.map((row) => row.nspname)),
    relations: new Map(relations.map((relation) => [relationKey(relation.schema, relation.name), relation])),
    relationsByOid: new Map(relations.map((relation) => [relation.oid, relation])),
    groups,
    markers: markersOnShards(relations, groups),
    isMoving: moving !== '0',
    functions: byName,
    builtins,
    timeTriggers: relations.some((relation) => relation.triggers.some((trigger) => trigger.usesTime)),
    ownEquality: equality !== '0',
    text: JSON.parse(text ?? '{"isUtf8":false,"byBytes":false}') as Snapshot['text'],
  })
}

function markersOnShards(relations: readonly Relation[], groups: Snapshot['groups']): Snapshot['markers'] {
  return new Map(
    relations.flatMap(({ table }) => {
      const group = groups.get(table?.group ?? 0)
      if (table === undefined || group === undefined || group.layouts.size === 0) return []
      return [[markerName(table), new Map([...group.layouts.keys()].map((shard) => [shard, markerOn(shard, table, group)]))]]
    }),
  )
}

/** Bits of pg_trigger.tgtype: FOR EACH ROW, BEFORE, INSERT. */
const beforeInsertRow = 1 | 2 | 4

function toRelation(row: RelationRow, timed: ReadonlySet<number>): Relation {
  const table: TablePlacement | undefined =
    row.id === null || row.kind === null
      ? undefined
      : {
          id: row.id,
          kind: row.kind,
          keyColumn: row.key_column ?? undefined,
          keyType: row.key_type ?? undefined,
          group: row.group_id ?? undefined,
          shard: row.shard_id ?? undefined,
          layout: row.layout,
          byDefault: row.by_default,
        }
  return Object.freeze({
    oid: row.oid,
    schema: row.schema,
    name: row.name,
    relkind: row.relkind,
    columns: row.columns.map((column) => ({ ...column, baseType: column.baseType ?? undefined, default: column.default ?? undefined, sequence: column.sequence ?? undefined, collation: column.collation ?? undefined })),
    primaryKey: row.primary_key,
    view: row.view ?? undefined,
    viewDefinition: row.view_definition?.replace(/;\s*$/, ''),
    table,
    triggers: row.triggers.map(({ name, type, function: oid }) => ({ name, mayDropInserts: (type & beforeInsertRow) === beforeInsertRow, usesTime: timed.has(oid) })),
  })
}

/** A column that tells the owner of a row, the most telling first. */
const ownerColumns =
  'relnamespace typnamespace pronamespace connamespace attrelid adrelid indrelid seqrelid ev_class tgrelid schemaname datname table_schema view_schema constraint_schema sequence_schema routine_schema specific_schema trigger_schema domain_schema object_schema udt_schema schema_name'

const systemRelationsQuery = `
  SELECT json_agg(row_to_json(x)) FROM (
    SELECT n.nspname AS schema, c.relname AS name,
           CASE WHEN c.oid = 'pg_namespace'::regclass THEN 'oid' ELSE (
             SELECT k.name FROM unnest(string_to_array('${ownerColumns}', ' ')) WITH ORDINALITY k (name, n)
             JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = k.name ORDER BY k.n LIMIT 1) END AS owner
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname IN ('pg_catalog', 'information_schema') AND c.relkind IN ('r', 'v')) x`

export async function loadBuiltins(ask: AskOne): Promise<Builtins> {
  const rows = JSON.parse(
    (await ask(`SELECT json_agg(row_to_json(x)) FROM (
      SELECT p.proname AS name, max(p.provolatile::text) AS volatility, bool_or(p.prokind = 'a') AS aggregate
      FROM pg_proc p WHERE p.pronamespace = 'pg_catalog'::regnamespace GROUP BY p.proname) x`)) ?? '[]',
  ) as { name: string; volatility: string; aggregate: boolean }[]
  const relations = JSON.parse((await ask(systemRelationsQuery)) ?? '[]') as { schema: string; name: string; owner: string | null }[]
  const namesIn = (schema: string) => new Set(relations.filter((row) => row.schema === schema).map((row) => row.name))
  // i < s < v: of a name's forms the most volatile counts.
  const pick = (test: (row: (typeof rows)[number]) => boolean) => new Set(rows.filter(test).map((row) => row.name))
  return {
    volatile: pick((row) => row.volatility === 'v'),
    stable: pick((row) => row.volatility === 's'),
    aggregates: pick((row) => row.aggregate),
    all: pick(() => true),
    relations: namesIn('pg_catalog'),
    informationSchema: namesIn('information_schema'),
    ownerColumns: new Map(relations.flatMap(({ schema, name, owner }) => (owner === null ? [] : [[relationKey(schema, name), owner]]))),
  }
}
