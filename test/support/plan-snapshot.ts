/** A schema for golden plans: two distributed tables of one group, one of another, a reference table and two single ones. */
import type { Builtins, Column, Relation, Snapshot, TablePlacement } from '../../src/catalog/snapshot.ts'
import { relationKey } from '../../src/catalog/snapshot.ts'

const builtins: Builtins = {
  volatile: new Set(['random', 'gen_random_uuid', 'clock_timestamp', 'nextval', 'setval', 'currval', 'pg_advisory_lock', 'set_config']),
  stable: new Set(['now']),
  aggregates: new Set(['count', 'sum', 'avg', 'min', 'max', 'string_agg']),
  all: new Set(['random', 'gen_random_uuid', 'clock_timestamp', 'nextval', 'now', 'count', 'sum', 'avg', 'min', 'max', 'string_agg', 'lower', 'length', 'generate_series', 'row_number', 'pg_advisory_lock']),
  relations: new Set(['pg_class', 'pg_attribute', 'pg_am', 'pg_stat_user_tables']),
  informationSchema: new Set(['tables']),
  ownerColumns: new Map([
    [relationKey('pg_catalog', 'pg_class'), 'relnamespace'],
    [relationKey('pg_catalog', 'pg_attribute'), 'attrelid'],
    [relationKey('pg_catalog', 'pg_stat_user_tables'), 'schemaname'],
    [relationKey('information_schema', 'tables'), 'table_schema'],
  ]),
}

function column(name: string, number: number, type: string, more: Partial<Column> = {}): Column {
  return { name, number, typeOid: 0, type, baseType: type, collation: undefined, notNull: false, default: undefined, sequence: undefined, identity: '', generated: false, ...more }
}

let nextOid = 20_000

function relation(name: string, columns: readonly string[], table: Partial<TablePlacement>, more: Partial<Relation> = {}): Relation {
  const oid = nextOid++
  return {
    oid,
    schema: 'public',
    name,
    relkind: 'r',
    columns: columns.map((text, i) => {
      const [own = '', type = 'integer'] = text.split(' ')
      const sequence = type === 'serial' ? `public.${name}_${own}_seq` : undefined
      return column(own, i + 1, type === 'serial' ? 'integer' : type, { sequence, default: sequence === undefined ? undefined : `nextval('${sequence}'::regclass)` })
    }),
    primaryKey: [(columns[0] ?? '').split(' ')[0] ?? ''],
    viewDefinition: undefined,
    view: undefined,
    triggers: [],
    table: { id: oid - 19_999, kind: 'single', keyColumn: undefined, keyType: undefined, group: undefined, shard: undefined, layout: 1, byDefault: true, ...table },
    ...more,
  }
}

const byInt = (key: string): Partial<TablePlacement> => ({ kind: 'distributed', keyColumn: key, keyType: 'int4', group: 1 })

const relations = [
  relation('customers', ['id', 'name text', 'country text'], byInt('id')),
  relation('orders', ['id serial', 'customer_id', 'total numeric', 'placed timestamptz'], byInt('customer_id')),
  relation('events', ['key text', 'payload text'], { kind: 'distributed', keyColumn: 'key', keyType: 'text', group: 2 }),
  relation('countries', ['code text', 'name text'], { kind: 'reference' }),
  relation('log', ['at timestamptz', 'line text'], { kind: 'single', shard: 1 }),
  relation('notes', ['id', 'line text'], { kind: 'single', shard: 2 }),
  relation('rich', ['id', 'name text'], {}, { relkind: 'v', table: undefined, view: { isUpdatable: true, hasTriggers: false, options: [] }, viewDefinition: 'SELECT customers.id, customers.name FROM public.customers WHERE (customers.country = \'CH\'::text)' }),
]

export const planSnapshot: Snapshot = {
  database: 'golden',
  version: 1,
  members: [1, 2],
  shards: [1, 2].map((id) => ({ id, name: `shard${id}`, host: '127.0.0.1', port: 5430 + id })),
  servers: [],
  schemas: new Set(['public', 'pg_catalog']),
  relations: new Map(relations.map((one) => [relationKey(one.schema, one.name), one])),
  relationsByOid: new Map(relations.map((one) => [one.oid, one])),
  groups: new Map([
    [1, { id: 1, keyType: 'int4', owners: Array.from({ length: 32 }, (_, i) => 1 + (i % 2)), layouts: new Map() }],
    [2, { id: 2, keyType: 'text', owners: Array.from({ length: 32 }, (_, i) => 2 - (i % 2)), layouts: new Map() }],
  ]),
  markers: new Map(),
  isMoving: false,
  functions: new Map([
    ['reads_orders', [{ schema: 'public', name: 'reads_orders', volatility: 'v', kind: 'f', touchesTables: 'it names orders', usesTime: false }]],
    ['tomorrow', [{ schema: 'public', name: 'tomorrow', volatility: 's', kind: 'f', touchesTables: undefined, usesTime: true }]],
  ]),
  builtins,
  timeTriggers: false,
  ownEquality: false,
  text: { isUtf8: true, byBytes: true },
}
