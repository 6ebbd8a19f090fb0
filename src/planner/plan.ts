/**
 * Plans: what to run where, frozen and symbolic until Bind.
 *
 * A plan holds nothing of one call. Where it depends on a value, it names the parameter; where it depends on a bucket,
 * its text has a hole. So a plan can be cached, printed and compared.
 */
import type { KeyType, Relation } from '../catalog/snapshot.ts'
import type { RouterFact } from './router-facts.ts'

/** Where the value of a key comes from. */
export type KeySource =
  | { readonly kind: 'constant'; readonly text: string }
  | { readonly kind: 'parameter'; readonly number: number }
  | { readonly kind: 'null' }

export type OneShardRoute =
  | { readonly kind: 'bucket'; readonly group: number; readonly keyType: KeyType; readonly key: KeySource }
  | { readonly kind: 'shard'; readonly shard: number }
  /** Reference tables only: any shard has the answer. */
  | { readonly kind: 'any' }

/** A text with holes for the names of leaves: pieces[0] leaf(tableIds[0]) pieces[1] ... */
export interface LeafText {
  readonly pieces: readonly string[]
  /** timeHole stands for the transaction's time. */
  readonly tableIds: readonly number[]
}

export const timeHole = -1

/**
 * What a text for one server says of the time. A server's own now() is right while it is the only one that was asked in
 * the transaction; on any other the time must be written into the text, and where it can't be, the statement is refused.
 */
export interface TimeUse<Text> {
  /** The text with a hole for each use of the time; undefined when there is none. */
  readonly timed: Text | undefined
  /** Uses the time where no hole can be: inside a function, or as 'now'. */
  readonly hiddenTime: boolean
}

/** A statement, whole, on the one server that has all its rows. */
export interface OneShardPlan extends TimeUse<LeafText> {
  readonly kind: 'one-shard'
  readonly rule: string
  readonly route: OneShardRoute
  readonly text: LeafText
  /** Tables whose layout must be what the plan thinks it is; leaves need none, their names say it. */
  readonly markers: readonly string[]
  /** Of the tables whose leaves it names: for replicas, which may not have heard yet whose a leaf is. */
  readonly leafMarkers: readonly string[]
  readonly writes: boolean
  /** At most one row, by its primary key: it ends at once, so it may share a connection. */
  readonly isPointRead: boolean
}

export interface KeyList {
  readonly group: number
  readonly keyType: KeyType
  readonly sources: readonly KeySource[]
}

/** A text that may need the transaction's time, the same on all shards: a hole for each use. */
export interface TimedText {
  readonly pieces: readonly string[]
}

/** The same statement on several shards at once; their rows one after the other, their counts added. */
export interface ScatterPlan {
  readonly kind: 'scatter'
  readonly rule: string
  readonly shards: readonly number[]
  /** Keys that the statement is restricted to: only the shards of their buckets take part. */
  readonly keys: KeyList | undefined
  readonly text: TimedText
  readonly markers: readonly string[]
  readonly writes: boolean
  /** FOR UPDATE, FOR SHARE. */
  readonly locks: boolean
  /** Aggregates of the whole, from those of the shards; undefined where rows are just put together. */
  readonly combine: readonly CombineFunction[] | undefined
}

/** How one column of the shards' single rows becomes the answer's. */
export type CombineFunction = 'sum-of-counts' | 'min-integer' | 'max-integer'

/** How values of a column compare, when they come in binary format. Text comes as its bytes in UTF-8, in an order that is theirs. */
export type OrderType = 'integer' | 'float' | 'numeric' | 'bool' | 'bytes'

export interface MergeKey {
  readonly type: OrderType
  readonly descending: boolean
  readonly nullsFirst: boolean
}

/** A number of rows: a constant, or a parameter's value, where NULL is none. */
export type RowCount = { readonly kind: 'constant'; readonly rows: number } | { readonly kind: 'parameter'; readonly number: number }

/** Each shard's rows come in order and are merged; or in any order, and the first are enough. */
export interface MergePlan {
  readonly kind: 'merge'
  readonly rule: string
  readonly shards: readonly number[]
  readonly keys: ScatterPlan['keys']
  readonly text: TimedText
  readonly markers: readonly string[]
  /** Its rows are locked: they come in the order that they had before, where a lock has waited for a change of them. */
  readonly locks: boolean
  /** The columns of the answer; behind them the text has one for each key of the order. */
  readonly columns: number
  readonly order: readonly MergeKey[]
  readonly limit: RowCount | undefined
  readonly offset: RowCount | undefined
}

/** A write whose other tables are elsewhere: their rows are brought to every shard that has rows of the target. */
export interface BroadcastPlan {
  readonly kind: 'broadcast'
  readonly rule: string
  readonly fetches: readonly Fetch[]
  /** Text with a hole for each table that was brought (or the time): pieces[0] table(fetches[uses[0]]) pieces[1] ... */
  readonly pieces: readonly string[]
  readonly uses: readonly number[]
  readonly shards: readonly number[]
  readonly markers: readonly string[]
}

/** A write to reference tables, or a lock of their rows: on the catalog and on every shard. */
export interface EverywherePlan {
  readonly kind: 'everywhere'
  /** What is written, quoted and qualified; undefined where rows are just locked. */
  readonly table: string | undefined
  readonly rule: string
  readonly text: TimedText
  readonly markers: readonly string[]
}

/** The rows of one table (all, or those that a condition lets through) that a gather brings to the catalog. */
export interface Fetch {
  /** The temporary table, without its schema. */
  readonly temporary: string
  readonly relation: Relation
  readonly columns: readonly string[]
  /** Conditions over the table's columns, all of which must hold; they may name parameters ($n). */
  readonly where: readonly string[]
  /** Declared on the temporary table once it is filled; empty for none. */
  readonly primaryKey: readonly string[]
  readonly shards: readonly number[]
  readonly markers: readonly string[]
  /** A query that each shard answers in place of the table's rows. */
  readonly source?: string
  /** The rows are the router's own. */
  readonly ofRouter?: RouterFact
}

/** A query that shards answer, whose rows come to the catalog in place of tables'. */
export interface QueryFetch {
  /** The temporary table, without its schema. Its columns are c1, c2, ... */
  readonly temporary: string
  readonly rule: string
  readonly query: TimedText
  /** Of each column the user's table and column that it is a copy of; zeros for none. */
  readonly columns: readonly { readonly tableOid: number; readonly number: number }[]
  /** The numbers of the parameters that the query uses. */
  readonly parameters: readonly number[]
  readonly shards: readonly number[]
  readonly keys: ScatterPlan['keys']
  readonly markers: readonly string[]
}

/** Rows of distributed tables come to the catalog; the statement runs there, in PostgreSQL. */
export interface GatherPlan extends TimeUse<TimedText> {
  readonly kind: 'gather'
  readonly rule: string
  readonly fetches: readonly (Fetch | QueryFetch)[]
  readonly text: string
  /** True when the rest changes the catalog (a temporary table, a sequence, an advisory lock). */
  readonly writes: boolean
  readonly pins: boolean
  /** The rest reads reference tables, from the catalog's copies. */
  readonly readsReference: boolean
}

/** On the catalog alone: introspection, expressions without tables, sequences, temporary tables. */
export interface CatalogPlan extends TimeUse<TimedText> {
  readonly kind: 'catalog'
  readonly rule: string
  readonly text: string
  readonly writes: boolean
  /** The session must keep the catalog connection that this ran on (temporary table, session lock, currval). */
  readonly pins: boolean
}

/** One row of an INSERT ... VALUES: the texts of its values, and its key. */
export interface InsertRow {
  readonly values: readonly string[]
  /** Undefined where the key is the value of a sequence: see InsertRowsPlan.sequences. */
  readonly key: KeySource | undefined
}

/** INSERT ... VALUES: each row to the shard of its bucket, values of sequences filled in. */
export interface InsertRowsPlan {
  readonly kind: 'insert-rows'
  readonly rule: string
  readonly relation: Relation
  readonly alias: string | undefined
  readonly columns: readonly string[]
  readonly rows: readonly InsertRow[]
  /** Columns, by their place in `columns`, that the router takes from a sequence, in the rows where `rows` says so. */
  readonly sequences: readonly { readonly column: number; readonly sequence: string; readonly rows: readonly number[] }[]
  readonly keyColumn: number
  /** Omitted columns whose default is the time: rows on several shards must have the same. */
  readonly timeDefaults: readonly TimeDefault[]
  /** Values and tail have holes (of one character each) for the time. */
  readonly usesTime: boolean
  /** Everything behind the rows: ON CONFLICT, RETURNING. */
  readonly tail: string
  readonly returning: boolean
  /** False with ON CONFLICT: rows may be left out, so their order can't be told. */
  readonly everyRowReturns: boolean
  /** ON CONFLICT ON CONSTRAINT: leaves have other names for it. */
  readonly namesConstraint: boolean
  readonly markers: readonly string[]
}

/** A column whose default is the time, as text with holes for it. */
export interface TimeDefault {
  readonly column: string
  readonly pieces: readonly string[]
}

/** INSERT of rows that the catalog computes: any source, any default. */
export interface InsertSelectPlan extends TimeUse<TimedText> {
  readonly kind: 'insert-select'
  readonly rule: string
  readonly relation: Relation
  readonly alias: string | undefined
  readonly fetches: readonly Fetch[]
  /** Inserts into the temporary table `pg_temp.pgherd_rows`, made like the target with its defaults. */
  readonly text: string
  readonly timeDefaults: readonly TimeDefault[]
  readonly tail: TimedText
  readonly returning: boolean
  readonly markers: readonly string[]
  readonly pins: boolean
}

/** A table that a statement writes, of which the catalog gets a copy with the table's own rules. */
export interface Bench {
  /** The copy's name, without its schema. */
  readonly temporary: string
  readonly relation: Relation
  /** Rows that exist already may change: those that may are locked, and copied. */
  readonly changes: boolean
  /** Only rows for which all of these hold can change. */
  readonly where: readonly string[]
  /** Only rows with these keys can change. */
  readonly keys: KeyList | undefined
  /** Columns that a row which exists already may get new values in. */
  readonly sets: readonly string[]
  readonly shards: readonly number[]
  readonly markers: readonly string[]
}

export interface BenchView {
  readonly temporary: string
  readonly relation: Relation
  /** What follows its name in CREATE VIEW. */
  readonly text: string
  readonly defaults: readonly { readonly column: string; readonly text: string }[]
}

/**
 * Any write: the statement runs on the catalog, over copies of the tables that it writes and reads, and what it did to the
 * copies is then done to the tables.
 */
export interface WorkbenchPlan extends TimeUse<TimedText> {
  readonly kind: 'workbench'
  readonly rule: string
  readonly benches: readonly Bench[]
  /** Views over a bench, from the bench up. */
  readonly views: readonly BenchView[]
  readonly fetches: readonly Fetch[]
  readonly text: string
  readonly timeDefaults: readonly { readonly temporary: string; readonly defaults: readonly TimeDefault[] }[]
  readonly pins: boolean
}

/** UPDATE of one row's key: on its shard when the new key is in the old one's bucket, which Bind tells. */
export interface RekeyPlan {
  readonly kind: 'rekey'
  readonly rule: string
  readonly newKey: KeySource
  readonly stays: OneShardPlan
  readonly moves: WorkbenchPlan
}

export type QueryPlan =
  | OneShardPlan
  | ScatterPlan
  | MergePlan
  | BroadcastPlan
  | EverywherePlan
  | GatherPlan
  | CatalogPlan
  | InsertRowsPlan
  | InsertSelectPlan
  | WorkbenchPlan
  | RekeyPlan

export const rowsTable = 'pgherd_rows'

export function renderLeafText(text: LeafText, bucket: number | undefined, time = ''): string {
  let out = text.pieces[0] ?? ''
  for (const [i, id] of text.tableIds.entries()) out += `${id === timeHole ? `'${time}'::timestamptz` : `pgherd_data.t${id}_b${bucket}`}${text.pieces[i + 1]}`
  return out
}

export function planWrites(plan: QueryPlan): boolean {
  switch (plan.kind) {
    case 'merge':
      return false
    case 'one-shard':
    case 'scatter':
    case 'gather':
    case 'catalog':
      return plan.writes
    default:
      return true
  }
}
