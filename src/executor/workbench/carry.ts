/**
 * Does to a table what a statement did to its bench.
 *
 * First rows go, those that were deleted and those whose new key is in another bucket; then rows change where they are, in
 * the order in which the statement changed them; then rows come, new ones and those that moved. In this order no row meets
 * another in a unique index that it did not meet on the bench, where PostgreSQL has found the same order to be free of
 * duplicates. What a row meets that the bench does not have is found by the shards.
 */
import { SqlError } from '../../base/errors.ts'
import { limits } from '../../base/limits.ts'
import { qualified, quoteIdent, quoteLiteral } from '../../base/quote.ts'
import { bucketOfNull, bucketOfText } from '../../catalog/bucket-hash.ts'
import { catalogId } from '../../catalog/server-address.ts'
import { leafName } from '../../catalog/snapshot.ts'
import type { ExecutionContext } from '../context.ts'
import { noArguments, serverById } from '../context.ts'
import { noteMove } from '../moved-rows.ts'
import { NullSink } from '../result-sink.ts'
import { runOnServer } from '../run-on-server.ts'
import { storedText } from '../stored-key.ts'
import { tagCount } from '../tags.ts'
import type { MadeBench } from './benches.ts'
import { changesOf, logOf, stageOf, writableColumns } from './benches.ts'
import { guardReferences } from './guard-references.ts'
import type { Batch } from './row-batches.ts'
import { BatchSink } from './row-batches.ts'

/** A row where it is: its shard, its leaf's OID there, its place in the leaf; for a reference table its primary key. */
interface Change {
  readonly tid: string
  readonly identity: readonly (string | undefined)[]
  readonly values: readonly (string | undefined)[]
}

export class Carrier {
  private readonly bench: MadeBench
  private readonly context: ExecutionContext
  private readonly table: string
  private readonly columns: readonly string[]
  /** Columns that tell a row of a reference table on every server. */
  private readonly identity: readonly string[]

  /** Shards on which a note says that rows move. */
  private readonly noted = new Set<number>()

  constructor(bench: MadeBench, context: ExecutionContext) {
    this.bench = bench
    this.context = context
    this.table = qualified(bench.relation.schema, bench.relation.name)
    this.columns = writableColumns(bench.relation)
    this.identity = bench.relation.table?.kind === 'reference' ? bench.relation.primaryKey : []
  }

  /** Brings the log and the places of its rows together. Gives whether anything happened. */
  async collect(): Promise<boolean> {
    const { bench, columns } = this
    const { primaryKey } = bench.relation
    const row = (of: string, names: readonly string[]) => `ROW(${names.map((name) => `${of}.${quoteIdent(name)}`).join(', ')})`
    const found = 's.pgherd_shard, s.pgherd_leaf, s.pgherd_tid'
    const byKey = `FROM ${logOf(bench)} l LEFT JOIN ${stageOf(bench)} s ON ${primaryKey.map((name) => `s.${quoteIdent(name)} = (l.old_row).${quoteIdent(name)}`).join(' AND ')}`
    // Rows that are the same in every column can stand for each other.
    const byContent = `
      FROM (SELECT *, row_number() OVER (PARTITION BY content ORDER BY n) AS turn
            FROM (SELECT *, CASE WHEN op <> 'INSERT' THEN ${row('(old_row)', columns)}::text END AS content FROM ${logOf(bench)}) x) l
      LEFT JOIN (SELECT *, row_number() OVER (PARTITION BY content) AS turn
                 FROM (SELECT pgherd_shard, pgherd_leaf, pgherd_tid, ${row('s', columns)}::text AS content FROM ${stageOf(bench)} s) x) s
      ON s.content = l.content AND s.turn = l.turn`
    const text = `CREATE TEMPORARY TABLE ${changesOf(bench).slice('pg_temp.'.length)} ON COMMIT DROP AS
      SELECT l.n, l.op, ${found}, l.old_row, l.new_row ${primaryKey.length > 0 ? byKey : byContent}`
    const end = await this.onCatalog(text)
    const lost = new CountSink()
    await this.onCatalog(`COPY (SELECT FROM ${changesOf(bench)} WHERE op <> 'INSERT' AND pgherd_tid IS NULL) TO STDOUT`, lost)
    if (lost.count > 0) throw new SqlError('XX000', 'a changed row could not be found again')
    return tagCount(end) > 0
  }

  async removeRows(): Promise<void> {
    const { referencedBy } = this.bench.rules
    const referenced = [...new Set(referencedBy.flatMap((one) => one.columns))]
    const sink = new BatchSink<Change & { moved: boolean }>(
      limits.insertBatchRowsMax,
      (line) => {
        const [op, shard = '', leaf = '', tid = '', oldKey, newKey, ...rest] = line
        const moved = op === 'UPDATE' && this.bucket(oldKey) !== this.bucket(newKey)
        if (op === 'UPDATE' && !moved) return undefined
        const [identity, values] = [rest.slice(0, this.identity.length), rest.slice(this.identity.length)]
        return { key: this.placeOf(shard, leaf, oldKey), row: { tid, identity, values, moved } }
      },
      async (batch) => {
        const moved = batch.rows.filter((row) => row.moved)
        if (moved.length > 0) await this.note(batch.key)
        if (moved.length > 0) await guardReferences(this.bench, referenced, moved.map((row) => row.values), Number(batch.key.split(' ')[0]), this.context)
        const rows = batch.key === everywhere ? this.valuesList(batch.rows, []) : `(SELECT unnest('{${batch.rows.map((row) => `"${row.tid}"`).join(',')}}'::tid[]) AS tid) AS v`
        await this.write(batch, `DELETE FROM ${this.targetOf(batch.key)} AS t USING ${rows} WHERE ${this.condition(batch.key)}`)
      },
      this.isOnCatalog,
    )
    await this.read("op <> 'INSERT'", [...this.identity.map((name) => `(old_row).${quoteIdent(name)}`), ...referenced.map((name) => `(old_row).${quoteIdent(name)}`)], sink)
  }

  async changeRows(): Promise<void> {
    const { rules, sets } = this.bench
    const names = sets.filter((name) => this.columns.includes(name))
    if (names.length === 0) return
    // Several rows of one UPDATE change in an order that is PostgreSQL's to choose.
    const ordered = rules.uniqueByExpression || names.some((name) => rules.uniqueColumns.has(name))
    const list = names.map(quoteIdent)
    const sink = new BatchSink<Change>(
      ordered ? 1 : limits.insertBatchRowsMax,
      (line) => {
        const [, shard = '', leaf = '', tid = '', oldKey, newKey, ...rest] = line
        if (this.bucket(oldKey) !== this.bucket(newKey)) return undefined
        return { key: this.placeOf(shard, leaf, oldKey), row: { tid, identity: rest.slice(0, this.identity.length), values: rest.slice(this.identity.length) } }
      },
      (batch) => {
        const set = list.map((name, i) => `${name} = v.c${i}`).join(', ')
        return this.write(batch, `UPDATE ${this.targetOf(batch.key)} AS t SET ${set} FROM ${this.valuesList(batch.rows, names)} WHERE ${this.condition(batch.key)}`)
      },
      this.isOnCatalog,
    )
    await this.read("op = 'UPDATE'", [...this.identity.map((name) => `(old_row).${quoteIdent(name)}`), ...list.map((name) => `(new_row).${name}`)], sink)
  }

  async addRows(): Promise<void> {
    const list = this.columns.map(quoteIdent)
    const sink = new BatchSink<Change & { moved: boolean }>(
      limits.insertBatchRowsMax,
      (line) => {
        const [op, , , , oldKey, newKey, ...values] = line
        const moved = op === 'UPDATE'
        if (moved && this.bucket(oldKey) === this.bucket(newKey)) return undefined
        return { key: this.shardOf(newKey), row: { tid: '', identity: [], values, moved } }
      },
      async (batch) => {
        if (batch.rows.some((row) => row.moved)) await this.note(batch.key)
        const rows = batch.rows.map((row) => `(${row.values.map(literal).join(', ')})`)
        return this.write(batch, `INSERT INTO ${this.table} (${list.join(', ')}) VALUES ${rows.join(', ')}`)
      },
      this.isOnCatalog,
    )
    await this.read("op <> 'DELETE'", list.map((name) => `(new_row).${name}`), sink)
  }

  /** Streams the changes: what happened, where, the key before and after, and more columns. */
  private async read(condition: string, more: readonly string[], sink: BatchSink<never> | BatchSink<Change> | BatchSink<Change & { moved: boolean }>): Promise<void> {
    const key = this.bench.relation.table?.keyColumn
    const keys = key === undefined ? ['NULL', 'NULL'] : [`(old_row).${quoteIdent(key)}`, `(new_row).${quoteIdent(key)}`]
    const columns = ['op', 'pgherd_shard', 'pgherd_leaf', 'pgherd_tid', ...keys, ...more].map((column, i) => `${column} AS c${i}`)
    await this.onCatalog(`COPY (SELECT ${columns.join(', ')} FROM ${changesOf(this.bench)} WHERE ${condition} ORDER BY n) TO STDOUT`, sink)
    await sink.finish()
  }

  /** A reference table's rows are on the catalog too. */
  private get isOnCatalog(): boolean {
    return this.bench.relation.table?.kind === 'reference'
  }

  private onCatalog(text: string, sink = new NullSink()) {
    return runOnServer(this.context.catalog, { text, markers: [], writes: false, cannotPrepare: true }, noArguments, sink, { ...this.context, text: '' })
  }

  private bucket(key: string | undefined): number {
    const { table, columns } = this.bench.relation
    if (table?.kind !== 'distributed' || table.keyType === undefined || key === undefined) return bucketOfNull
    const owners = this.context.snapshot.groups.get(table.group ?? 0)?.owners ?? []
    const type = columns.find((column) => column.name === table.keyColumn)?.baseType ?? ''
    const bucket = bucketOfText(table.keyType, storedText(key, type), owners.length)
    if (bucket === undefined) throw new SqlError('XX000', `no bucket for a value of type ${table.keyType}`)
    return bucket
  }

  private shardOf(key: string | undefined): string {
    const { table } = this.bench.relation
    if (table?.kind === 'reference') return everywhere
    const owners = this.context.snapshot.groups.get(table?.group ?? 0)?.owners ?? []
    return `${table?.kind === 'distributed' ? (owners[this.bucket(key)] ?? 0) : (table?.shard ?? 0)}`
  }

  /** Rows of one place go together: `shard leaf`, or everywhere. */
  private placeOf(shard: string, leaf: string, key: string | undefined): string {
    const { table } = this.bench.relation
    if (table?.kind === 'reference') return everywhere
    return `${shard} ${table?.kind === 'distributed' ? `b${this.bucket(key)}` : leaf}`
  }

  private targetOf(place: string): string {
    const bucket = / b(\d+)$/.exec(place)?.[1]
    return bucket === undefined ? this.table : leafName(this.bench.relation.table?.id ?? 0, Number(bucket))
  }

  private condition(place: string): string {
    if (place === everywhere) return this.identity.map((name, i) => `t.${quoteIdent(name)} = v.i${i}`).join(' AND ')
    const leaf = / (\d+)$/.exec(place)?.[1]
    return `${leaf === undefined ? '' : `t.tableoid = ${leaf} AND `}t.ctid = v.tid`
  }

  private valuesList(rows: readonly Change[], names: readonly string[]): string {
    const typeOf = (name: string) => this.bench.relation.columns.find((column) => column.name === name)?.type ?? 'text'
    const typed = (value: string | undefined, type: string) => `${literal(value)}::${type}`
    const list = rows.map((row) => {
      const identity = this.identity.map((name, i) => typed(row.identity[i], typeOf(name)))
      return `(${[`'${row.tid === '' ? '(0,0)' : row.tid}'::tid`, ...identity, ...names.map((name, i) => typed(row.values[i], typeOf(name)))].join(', ')})`
    })
    return `(VALUES ${list.join(', ')}) AS v (${['tid', ...this.identity.map((_, i) => `i${i}`), ...names.map((_, i) => `c${i}`)].join(', ')})`
  }

  private async note(place: string): Promise<void> {
    const shard = Number(place.split(' ')[0])
    const [marker] = this.bench.markers
    if (marker === undefined || this.noted.has(shard)) return
    this.noted.add(shard)
    await noteMove(shard, marker, this.context)
  }

  private async write(batch: Batch<unknown>, text: string): Promise<void> {
    const { context } = this
    const ids = batch.key === everywhere ? [catalogId, ...context.snapshot.shards.map((shard) => shard.id)] : [Number(batch.key.split(' ')[0])]
    for (const id of ids) {
      const markers = id === catalogId ? [] : this.bench.markers
      const end = await runOnServer(serverById(context, id), { text, markers, writes: true }, noArguments, new NullSink(), { ...context, text: '' })
      if (tagCount(end) !== batch.rows.length) throw new SqlError('40001', 'could not serialize access: a row was changed meanwhile', { hint: 'Try again.' })
    }
  }
}

const everywhere = 'everywhere'

const literal = (value: string | undefined) => (value === undefined ? 'NULL' : quoteLiteral(value))

class CountSink extends NullSink {
  count = 0

  override copyData(): boolean {
    this.count++
    return true
  }
}
