/**
 * What a router knows of one database: its tables and where they live. Frozen; a newer version is a new object.
 *
 * It may be behind the catalog. Statements that rely on it name what only exists as long as it is true (leaves, markers),
 * so that a stale one is refused by PostgreSQL, and planned again.
 */
import type { ServerAddress } from './server-address.ts'

export type KeyType = 'int2' | 'int4' | 'int8' | 'text' | 'varchar' | 'bpchar' | 'uuid' | 'numeric' | 'bytea'

export interface Column {
  readonly name: string
  readonly number: number
  readonly typeOid: number
  /** As in format_type(). */
  readonly type: string
  /** Of a domain the type that it is over; of others `type`. Undefined for a domain with a collation of its own. */
  readonly baseType: string | undefined
  /** The collation, qualified, when it is not the type's own. */
  readonly collation: string | undefined
  readonly notNull: boolean
  /** The default's text, if there is one. */
  readonly default: string | undefined
  /** The sequence, quoted and qualified, that gives the column its value when none is given. */
  readonly sequence: string | undefined
  readonly identity: '' | 'a' | 'd'
  readonly generated: boolean
}

export type TableKind = 'distributed' | 'reference' | 'single'

export interface Relation {
  readonly oid: number
  readonly schema: string
  readonly name: string
  /** pg_class.relkind: r table, p partitioned table, v view, m materialized view, S sequence, f foreign table, ... */
  readonly relkind: string
  readonly columns: readonly Column[]
  /** The columns of the primary key; empty when there is none. */
  readonly primaryKey: readonly string[]
  /** The SELECT of a view, with every name in it qualified. */
  readonly viewDefinition: string | undefined
  /** What matters to a write to a view; undefined for all others. */
  readonly view: ViewRules | undefined
  /** Undefined for what has no rows on shards: views, sequences, ... */
  readonly table: TablePlacement | undefined
  readonly triggers: readonly Trigger[]
}

export interface Trigger {
  readonly name: string
  /** BEFORE INSERT FOR EACH ROW: it may leave rows out. */
  readonly mayDropInserts: boolean
  /** Its function asks for the transaction's time. */
  readonly usesTime: boolean
}

export interface ViewRules {
  /** PostgreSQL can rewrite INSERT, UPDATE and DELETE to its table. */
  readonly isUpdatable: boolean
  readonly hasTriggers: boolean
  /** Of WITH (...): check_option=local, security_barrier=true, ... */
  readonly options: readonly string[]
}

export interface TablePlacement {
  /** The number that leaves and markers carry in their names. */
  readonly id: number
  readonly kind: TableKind
  readonly keyColumn: string | undefined
  readonly keyType: KeyType | undefined
  readonly group: number | undefined
  /** The shard of a single table. */
  readonly shard: number | undefined
  /** Counts the changes of the table's layout: part of the marker's name. */
  readonly layout: number
  /** True when nobody asked for this kind. */
  readonly byDefault: boolean
}

export interface TableGroup {
  readonly id: number
  readonly keyType: KeyType
  /** The shard of each bucket. */
  readonly owners: readonly number[]
  /** By shard, how often the group's buckets there were changed: the layout that its tables' markers there tell. Not there: theirs. */
  readonly layouts: ReadonlyMap<number, number>
}

export interface UserFunction {
  readonly schema: string
  readonly name: string
  readonly volatility: 'i' | 's' | 'v'
  /** f function, a aggregate, w window function, p procedure */
  readonly kind: string
  /** Undefined when the body is known to touch no table; else why it is not. */
  readonly touchesTables: string | undefined
  /** Its body, or that of a function it calls, asks for the transaction's time. */
  readonly usesTime: boolean
}

export interface ShardServer {
  readonly shard: number
  readonly name: string
  readonly role: 'primary' | 'replica'
  readonly host: string
  readonly port: number
  readonly state: string
  /** Of its shard: how often the primary has changed, and the primary's timeline and system identifier; 0 and '' when nobody has asked it yet. */
  readonly term: number
  readonly timeline: number
  readonly systemIdentifier: string
}

export interface Snapshot {
  readonly database: string
  readonly version: number
  /** The shards that the database is on, as the catalog says; `shards` has those of them whose address is known. */
  readonly members: readonly number[]
  readonly shards: readonly ServerAddress[]
  /** All servers of all shards, for pgherd.shards. */
  readonly servers: readonly ShardServer[]
  readonly schemas: ReadonlySet<string>
  /** By relationKey(schema, name). */
  readonly relations: ReadonlyMap<string, Relation>
  readonly relationsByOid: ReadonlyMap<number, Relation>
  readonly groups: ReadonlyMap<number, TableGroup>
  /** By a marker's name in plans, by shard: its name there, where that is another. */
  readonly markers: ReadonlyMap<string, ReadonlyMap<number, string>>
  /** A bucket is on its way to another shard, or has just come there: the next statement may find it gone, or not there yet. */
  readonly isMoving: boolean
  /** User functions by name, whatever their schema. */
  readonly functions: ReadonlyMap<string, readonly UserFunction[]>
  readonly builtins: Builtins
  /** A trigger on some table asks for the time. */
  readonly timeTriggers: boolean
  /** True when a user has made an operator named "=": then equality says nothing about keys. */
  readonly ownEquality: boolean
  /** Whether text is kept in UTF-8, and whether its order is that of the bytes where no collation is named. */
  readonly text: { readonly isUtf8: boolean; readonly byBytes: boolean }
}

/** What pg_catalog's functions are like, by name; a name counts as volatile when any of its forms is. */
export interface Builtins {
  readonly volatile: ReadonlySet<string>
  readonly stable: ReadonlySet<string>
  readonly aggregates: ReadonlySet<string>
  readonly all: ReadonlySet<string>
  /** Names of relations in pg_catalog, which are found before any other. */
  readonly relations: ReadonlySet<string>
  /** Names of relations in information_schema. */
  readonly informationSchema: ReadonlySet<string>
  /** By relationKey: the column of a system's relation that says whose a row is (its schema, its table, its database). */
  readonly ownerColumns: ReadonlyMap<string, string>
}

export const primariesOf = (servers: readonly ShardServer[]): ServerAddress[] =>
  servers.filter((server) => server.role === 'primary').map(({ shard, name, host, port }) => ({ id: shard, name, host, port }))

/** The shards that new tables and buckets may go to: not those that are to be emptied, where there are others. */
export function shardsForNew({ shards, servers }: Pick<Snapshot, 'shards' | 'servers'>): number[] {
  const ids = shards.map(({ id }) => id)
  const active = ids.filter((id) => servers.some(({ shard, state }) => shard === id && state === 'active'))
  return active.length > 0 ? active : ids
}

export function relationKey(schema: string, name: string): string {
  return `${schema}\0${name}`
}

export const dataSchema = 'pgherd_data'

export function leafName(tableId: number, bucket: number): string {
  return `${dataSchema}.t${tableId}_b${bucket}`
}

/**
 * A table, empty but for notes of rows that moved (executor/moved-rows.ts), that exists on a shard exactly as long as the table's
 * layout there is the one with this number. Plans have it by
 * this name; a shard whose buckets have changed has it by another (`markerOn`).
 */
export function markerName(table: Pick<TablePlacement, 'id' | 'layout'>): string {
  return `${dataSchema}.m${table.id}_v${table.layout}`
}

export function markerOn(shard: number, table: Pick<TablePlacement, 'id' | 'layout'>, group: TableGroup | undefined): string {
  return markerName({ id: table.id, layout: group?.layouts.get(shard) ?? table.layout })
}
