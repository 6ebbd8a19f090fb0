/**
 * Sizes and statistics that PostgreSQL keeps of tables are the shards' to tell: the shell's tables are empty.
 *
 * A fetch brings what each shard says of its tables, one row a table, to the catalog, where functions of schema pgherd add
 * up what the shards say:
 *
 *   pg_table_size(c.oid)       ->   pgherd.pg_table_size('pgherd_gsizes', c.oid)
 *   pg_stat_user_tables s      ->   (SELECT r.* FROM pg_stat_user_tables v, jsonb_populate_record(v, pgherd.shard_facts('pgherd_g...', v.relid)) r) AS s
 *
 * A reference table's copy on the catalog speaks for itself.
 */
import { quoteLiteral } from '../base/quote.ts'
import type { Relation, Snapshot } from '../catalog/snapshot.ts'
import type { AnyNode } from '../sql/ast.ts'
import { names, walk } from '../sql/ast.ts'
import { nameEnd, nextToken } from '../sql/scanner.ts'
import type { Edit, SourceText } from '../sql/source-text.ts'
import type { Fetch } from './plan.ts'

/** What shards are asked for: sizes, or the rows of one of the system's tables. */
export type ShardFact = 'sizes' | 'databases' | 'tablespaces' | (typeof statisticsViews)[number] | 'pg_class'

const statisticsViews = ['pg_stat_all_tables', 'pg_statio_all_tables', 'pg_stat_all_indexes', 'pg_statio_all_indexes'] as const

const sizeFunctions: ReadonlyMap<string, ShardFact> = new Map([
  ['pg_relation_size', 'sizes'],
  ['pg_table_size', 'sizes'],
  ['pg_indexes_size', 'sizes'],
  ['pg_total_relation_size', 'sizes'],
  ['pg_database_size', 'databases'],
  ['pg_tablespace_size', 'tablespaces'],
])

const temporary = (fact: ShardFact) => `pgherd_g${fact}`

/** Calls of functions that measure, with the fact that each needs. */
export function sizeCalls(node: AnyNode): { fact: ShardFact; location: number }[] {
  const calls: { fact: ShardFact; location: number }[] = []
  walk(node, (tree, key) => {
    if (key !== 'FuncCall') return
    const parts = names(tree.funcname as AnyNode[])
    const fact = sizeFunctions.get(parts.at(-1) ?? '')
    if (fact !== undefined && (parts.length === 1 || parts[0] === 'pg_catalog')) calls.push({ fact, location: (tree.location as number | undefined) ?? 0 })
  })
  return calls
}

export function replaceSizeCall(source: SourceText, { fact, location }: { fact: ShardFact; location: number }): Edit[] {
  const { raw } = source
  const end = nameEnd(raw, location)
  const open = nextToken(raw, end)?.end ?? end
  const [name = ''] = /[a-z_]+$/i.exec(raw.slice(location, end).replaceAll('"', '')) ?? []
  return [
    { start: location, end, text: `pgherd.${name}` },
    { start: open, end: open, text: `'${temporary(fact)}', ` },
  ]
}

const classStatistics = /^(reltuples|relpages|relallvisible|relallfrozen)$/

/** The fact that a use of the system's table `name` needs. pg_class is mostly asked for what is the same on the shell. */
export function factOf(name: string, node: AnyNode): ShardFact | undefined {
  if (name === 'pg_class') return mentionsClassStatistics(node) ? 'pg_class' : undefined
  return statisticsViews.find((view) => view === name.replace('_user_', '_all_'))
}

function mentionsClassStatistics(node: AnyNode): boolean {
  let found = false
  walk(node, (tree, key) => {
    if (key !== 'ColumnRef') return
    const fields = tree.fields as AnyNode[]
    found ||= fields.some((field) => field.A_Star !== undefined) || classStatistics.test(names(fields).at(-1) ?? '')
  })
  return found
}

/** The system's table with the shards' numbers in place of the shell's. */
export function overlaidRelation(fact: ShardFact, name: string, systemColumns: readonly string[], where: string): string {
  const own = systemColumns.map((column) => `v.${column}, `).join('')
  const id = fact === 'pg_class' ? 'oid' : /indexes$/.test(fact) ? 'indexrelid' : 'relid'
  const record = `pg_catalog.jsonb_populate_record(v, pgherd.shard_facts('${temporary(fact)}', v.${id}))`
  return `(SELECT ${own}r.* FROM pg_catalog.${name} v CROSS JOIN LATERAL ${record} r WHERE ${where} AND v.${/indexes$/.test(fact) ? 'indexrelname' : 'relname'} !~~ 'pgherd\\_%')`
}

export function factFetch(fact: ShardFact, snapshot: Snapshot): Fetch {
  const columns = factsRelation.columns.map((column) => column.name)
  return { temporary: temporary(fact), relation: factsRelation, columns, where: [], primaryKey: [], shards: snapshot.shards.map((shard) => shard.id), markers: [], source: shardQuery(fact, snapshot) }
}

const textColumn = { typeOid: 25, type: 'text', baseType: 'text', collation: undefined, notNull: false, default: undefined, sequence: undefined, identity: '', generated: false } as const

/** The view of the shell that gives the fetched rows their types. */
const factsRelation: Relation = {
  oid: 0,
  schema: 'pgherd',
  name: 'shard_facts',
  relkind: 'v',
  columns: [
    { ...textColumn, name: 'schema', number: 1 },
    { ...textColumn, name: 'name', number: 2 },
    { ...textColumn, name: 'facts', number: 3, typeOid: 3802, type: 'jsonb' },
  ],
  primaryKey: [],
  viewDefinition: undefined,
  view: undefined,
        triggers: [],
  table: undefined,
}

function shardQuery(fact: ShardFact, snapshot: Snapshot): string {
  switch (fact) {
    case 'databases':
      return `SELECT '', datname, jsonb_build_object('size', pg_database_size(oid)) FROM pg_database
        WHERE has_database_privilege(oid, 'CONNECT') OR pg_has_role('pg_read_all_stats', 'USAGE')`
    case 'tablespaces':
      return `SELECT '', spcname, jsonb_build_object('size', pg_tablespace_size(oid)) FROM pg_tablespace
        WHERE has_tablespace_privilege(oid, 'CREATE') OR pg_has_role('pg_read_all_stats', 'USAGE') OR oid = (SELECT dattablespace FROM pg_database WHERE datname = current_database())`
    case 'sizes':
      return `SELECT n.nspname, c.relname, jsonb_build_object(${['main', 'fsm', 'vm', 'init'].map((fork) => `'${fork}', sum(pg_relation_size(l.oid, '${fork}'))`).join(', ')},
        'table', sum(pg_table_size(l.oid)), 'indexes', sum(pg_indexes_size(l.oid)), 'total', sum(pg_total_relation_size(l.oid))) ${leaves('', snapshot)} GROUP BY 1, 2`
    case 'pg_class':
      return `SELECT n.nspname, c.relname, jsonb_strip_nulls(jsonb_build_object('reltuples', sum(k.reltuples) FILTER (WHERE k.reltuples >= 0), 'relpages', sum(k.relpages),
        'relallvisible', sum(k.relallvisible))) ${leaves('JOIN pg_class k ON k.oid = l.oid', snapshot)} GROUP BY 1, 2`
    default: {
      const id = /indexes$/.test(fact) ? 'indexrelid' : 'relid'
      const rows = `SELECT n.nspname, c.relname, f.key, ${mergedValue} AS value ${leaves(
        `JOIN ${fact} s ON s.${id} = l.oid CROSS JOIN LATERAL jsonb_each(to_jsonb(s) - '{relid,indexrelid,schemaname,relname,indexrelname}'::text[]) f (key, value)`,
        snapshot,
      )} AND jsonb_typeof(f.value) <> 'null' GROUP BY 1, 2, 3`
      return `SELECT nspname, relname, jsonb_object_agg(key, value) FROM (${rows}) x GROUP BY 1, 2`
    }
  }
}

/** Numbers are added; of times the last one counts. */
const mergedValue = `CASE WHEN bool_or(jsonb_typeof(f.value) = 'number') THEN to_jsonb(sum((f.value #>> '{}')::numeric) FILTER (WHERE jsonb_typeof(f.value) = 'number')) ELSE to_jsonb(max(f.value #>> '{}')) END`

/** Users' tables and indexes on a shard (c), each with itself or the leaves that hold its rows (l). */
function leaves(join: string, snapshot: Snapshot): string {
  const references = [...snapshot.relations.values()].filter((relation) => relation.table?.kind === 'reference')
  const names = references.map((relation) => `(${quoteLiteral(relation.schema)}::name, ${quoteLiteral(relation.name)}::name)`)
  const exclude =
    names.length === 0
      ? ''
      : `AND NOT EXISTS (SELECT FROM pg_class t JOIN pg_namespace tn ON tn.oid = t.relnamespace WHERE (tn.nspname, t.relname) IN (${names.join(', ')})
          AND (t.oid = c.oid OR t.oid = (SELECT i.indrelid FROM pg_index i WHERE i.indexrelid = c.oid)))`
  return `FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    CROSS JOIN LATERAL (SELECT c.oid WHERE c.relkind NOT IN ('p', 'I') UNION ALL
      SELECT i.inhrelid FROM pg_inherits i JOIN pg_class k ON k.oid = i.inhrelid WHERE i.inhparent = c.oid AND k.relnamespace = 'pgherd_data'::regnamespace) l (oid)
    ${join}
    WHERE c.relkind IN ('r', 'p', 'i', 'I', 'm') AND n.nspname NOT IN ('information_schema', 'pgherd', 'pgherd_data') AND n.nspname !~ '^pg_' ${exclude}`
}
