/** Tables get their placement, or change it: metadata on the catalog, tables on shards, and their rows. */
import { refuse, SqlError } from '../../base/errors.ts'
import { qualified, quoteIdent, quoteLiteral } from '../../base/quote.ts'
import { settleAll } from '../../base/settle-all.ts'
import { proposeOwners, proposeShard } from '../../catalog/ring.ts'
import type { Relation, TablePlacement } from '../../catalog/snapshot.ts'
import { dataSchema, markerOn } from '../../catalog/snapshot.ts'
import { RowsSink } from '../result-sink.ts'
import { RowRouter } from '../row-router.ts'
import { runStatement } from '../statement-exchange.ts'
import { readDataRow } from '../../protocol/row-description.ts'
import { serverById } from '../context.ts'
import { encodeCopyLine } from '../copy-format.ts'
import type { Wanted } from './choose-placement.ts'
import { asWanted, boundTogether, choose, keepable, keyProblem } from './choose-placement.ts'
import type { SchemaChange } from './schema-change.ts'
import { lockTable } from './table-lock.ts'
import { createViewStatements } from './materialized-view.ts'
import { createStatements, foreignKeyStatements, grantStatements, holders, markerStatement, pauseTriggers, readDefinition, triggerStatements } from './table-definition.ts'

export const defaultBuckets = 32
const copyRowsBatch = 5000

/** A new table: its kind is chosen, or as wanted, and it is made on its shards. */
export async function placeNewTable(oid: number, asked: Wanted | undefined, change: SchemaChange, notice: (message: string) => void): Promise<void> {
  const relation = change.snapshot.relationsByOid.get(oid)
  if (relation === undefined) throw new SqlError('XX000', 'a new table is not in the snapshot')
  const definition = await readDefinition(change, oid)
  const wanted = asked ?? choose(relation, definition, change)
  const bound = await boundTogether(relation, wanted, change)
  if (bound !== undefined) {
    if (wanted.kind === 'reference' || asked?.kind === 'distributed') throw refuse(`cannot place "${relation.name}": ${bound.reason}`)
    await makeSingleTogether(bound.relations, bound.reason, change, notice)
    return
  }
  if (wanted.kind === 'single' && wanted.reason !== undefined) noticeSingle(relation, wanted.reason, notice)
  await insertPlacement(relation, wanted, asked === undefined, change)
  await createOnShards([oid], change)
}

/** A new materialized view on its shard, without rows. */
export async function placeMaterializedView(relation: Relation, shard: number, change: SchemaChange): Promise<Relation> {
  await insertPlacement(relation, { kind: 'single', shard, reason: undefined }, true, change)
  const placed = (await change.reload()).relationsByOid.get(relation.oid) as Relation
  const definition = await readDefinition(change, relation.oid)
  await change.onShard(shard, [...createViewStatements(placed), ...grantStatements(placed, definition, undefined, shard), markerStatement(placed, undefined, shard)].join('; '))
  return placed
}

function noticeSingle(relation: Relation, reason: string, notice: (message: string) => void): void {
  notice(`table "${relation.name}" stays on one shard: ${reason}`)
}

/**
 * After a change of its definition a table may have to be placed otherwise. Gives true if it was made anew from the shell;
 * `before` then gave the old tables the columns that the rows are to have.
 */
export async function reconsider(relation: Relation, change: SchemaChange, notice: (message: string) => void, before: () => Promise<void> = async () => undefined): Promise<boolean> {
  const { table } = relation
  if (table === undefined) return false
  const definition = await readDefinition(change, relation.oid)
  const current = asWanted(table)
  const wanted = table.byDefault ? choose(relation, definition, change) : current
  if (!table.byDefault && table.kind === 'distributed') await refuseBrokenKey(relation, change)
  const target: Wanted = wanted.kind === 'single' && table.kind === 'single' ? { kind: 'single', shard: table.shard ?? 0, reason: undefined } : (wanted as Wanted)
  const bound = await boundTogether(relation, target, change)
  if (bound !== undefined) {
    const stuck = bound.relations.find((one) => one.table !== undefined && !one.table.byDefault && one.table.kind === 'distributed')
    if (stuck !== undefined || table.kind === 'reference') {
      throw refuse(`cannot keep this constraint: ${bound.reason}`, 'Distribute both tables by the columns of the foreign key, or make one a reference table.')
    }
    const anew = bound.relations.some((one) => one.table?.kind !== 'single' || one.table.shard !== bound.relations[0]?.table?.shard)
    if (anew) await before()
    if (anew) await makeSingleTogether(bound.relations, bound.reason, change, notice)
    return anew && bound.relations.some((one) => one.oid === relation.oid)
  }
  if (isPlacedAs(table, target)) return false
  if (target.kind === 'single' && target.reason !== undefined) noticeSingle(relation, target.reason, notice)
  await before()
  await convert([{ relation, wanted: target }], true, change)
  return true
}

const isPlacedAs = (table: TablePlacement, wanted: Wanted) =>
  wanted.kind === table.kind && (wanted.kind !== 'distributed' || (wanted.key === table.keyColumn && wanted.keyType === table.keyType))

/** Whether its definition lets a table stay as it is placed; `reconsider` would move it, or refuse. */
export async function staysPlaced(relation: Relation, change: SchemaChange): Promise<boolean> {
  const { table } = relation
  if (table === undefined) return true
  const definition = await readDefinition(change, relation.oid)
  if (table.byDefault) return isPlacedAs(table, choose(relation, definition, change))
  return table.kind !== 'distributed' || keyProblem(definition, table.keyColumn ?? '') === undefined
}

async function refuseBrokenKey(relation: Relation, change: SchemaChange): Promise<void> {
  const problem = keyProblem(await readDefinition(change, relation.oid), relation.table?.keyColumn ?? '')
  if (problem !== undefined) throw refuse(`cannot keep this constraint: ${problem}`, 'Include the shard key, or call undistribute_table() first.')
}

async function makeSingleTogether(relations: readonly Relation[], reason: string, change: SchemaChange, notice: (message: string) => void): Promise<void> {
  const known = relations.filter((one) => one.table?.kind === 'single').map((one) => one.table?.shard ?? 0)
  const [first] = relations
  const shard = known[0] ?? proposeShard(`${first?.schema}.${first?.name}`, change.shardsForNew)
  const wanted: Wanted = { kind: 'single', shard, reason }
  const moving = relations.filter((one) => one.table !== undefined && (one.table.kind !== 'single' || one.table.shard !== shard))
  const fresh = relations.filter((one) => one.table === undefined)
  for (const one of [...fresh, ...moving]) noticeSingle(one, reason, notice)
  for (const one of fresh) await insertPlacement(one, wanted, true, change)
  await createTables(fresh.map((one) => one.oid), change)
  if (moving.length > 0) await convert(moving.map((relation) => ({ relation, wanted })), true, change)
  await addForeignKeys(relations.map((one) => one.oid), change)
}

async function insertPlacement(relation: Relation, wanted: Wanted, byDefault: boolean, change: SchemaChange): Promise<void> {
  const group = wanted.kind === 'distributed' ? await groupFor(wanted.keyType, change) : undefined
  const values = [
    String(relation.oid),
    quoteLiteral(wanted.kind),
    wanted.kind === 'distributed' ? quoteLiteral(wanted.key) : 'NULL',
    wanted.kind === 'distributed' ? quoteLiteral(wanted.keyType) : 'NULL',
    group === undefined ? 'NULL' : String(group),
    wanted.kind === 'single' ? String(wanted.shard) : 'NULL',
    String(byDefault),
  ]
  await change.onCatalog(
    `DELETE FROM pgherd.placement WHERE oid = ${relation.oid};
     INSERT INTO pgherd.placement (oid, kind, key_column, key_type, group_id, shard_id, by_default) VALUES (${values.join(', ')})`,
  )
}

/** The group of all tables with keys of this type; a new one has its buckets spread by the ring. */
async function groupFor(keyType: string, change: SchemaChange): Promise<number> {
  const known = [...change.snapshot.groups.values()].find((group) => group.keyType === keyType)
  if (known !== undefined) return known.id
  const { rows } = await change.onCatalog(
    `INSERT INTO pgherd.table_group (key_type, bucket_count) VALUES (${quoteLiteral(keyType)}, ${defaultBuckets}) RETURNING id`,
  )
  const id = Number(rows[0]?.[0])
  const owners = proposeOwners(`group ${id}`, defaultBuckets, change.shardsForNew)
  await change.onCatalog(`INSERT INTO pgherd.bucket (group_id, bucket, shard_id) VALUES ${owners.map((shard, bucket) => `(${id}, ${bucket}, ${shard})`).join(', ')}`)
  await change.reload()
  return id
}

async function createOnShards(oids: readonly number[], change: SchemaChange): Promise<void> {
  await createTables(oids, change)
  await addForeignKeys(oids, change)
}

async function createTables(oids: readonly number[], change: SchemaChange): Promise<void> {
  if (oids.length === 0) return
  const snapshot = await change.reload()
  for (const oid of oids) {
    const relation = snapshot.relationsByOid.get(oid) as Relation
    const definition = await readDefinition(change, oid)
    const group = snapshot.groups.get(relation.table?.group ?? 0)
    await Promise.all(holders(relation, change).map((shard) => change.onShard(shard, createStatements(relation, definition, group, shard).join(';\n'))))
  }
}

/** Foreign keys of these tables, and of others to them, where they are not there yet. */
export async function addForeignKeys(oids: readonly number[], change: SchemaChange): Promise<void> {
  const { snapshot } = change
  for (const relation of snapshot.relations.values()) {
    if (relation.table === undefined) continue
    const definition = await readDefinition(change, relation.oid)
    for (const constraint of definition.constraints) {
      if (constraint.type !== 'f' || !(oids.includes(relation.oid) || oids.includes(constraint.referenced))) continue
      const referenced = snapshot.relationsByOid.get(constraint.referenced)
      if (referenced === undefined || !keepable(asWanted(relation.table), constraint, referenced)) {
        throw refuse(`foreign key "${constraint.name}" is between tables that are not co-located`)
      }
      const group = snapshot.groups.get(relation.table.group ?? 0)
      for (const shard of holders(relation, change)) {
        const { rows } = await change.onShard(
          shard,
          `SELECT FROM pg_constraint WHERE conname = ${quoteLiteral(constraint.name)} AND contype = 'f'
             AND conrelid IN (${quoteLiteral(qualified(relation.schema, relation.name))}::regclass,
                              coalesce((SELECT inhrelid FROM pg_inherits WHERE inhparent = ${quoteLiteral(qualified(relation.schema, relation.name))}::regclass LIMIT 1), 0))`,
        )
        if (rows.length === 0) await change.onShard(shard, foreignKeyStatements(relation, constraint, referenced, group, shard).join(';\n'))
      }
    }
  }
}

export interface Conversion {
  readonly relation: Relation
  readonly wanted: Wanted
  /** What a column becomes of the old row, where it is not itself. */
  readonly expressions?: ReadonlyMap<string, string>
}

/** Gives tables another placement, with their rows. The tables cannot be written meanwhile. */
export async function convert(list: readonly Conversion[], byDefault: boolean, change: SchemaChange): Promise<void> {
  const old = list.map(({ relation }) => relation)
  for (const relation of old) {
    await lockTable(relation, change)
    // The marker first, as the statements do that read it and then the table: in the other order both could wait for each other.
    const { table } = relation
    const group = change.snapshot.groups.get(table?.group ?? 0)
    const away = (shard: number) => `DROP TABLE ${table === undefined ? '' : markerOn(shard, table, group)};
      ALTER TABLE ${qualified(relation.schema, relation.name)} RENAME TO ${quoteIdent(oldName(relation))};
      ALTER TABLE ${qualified(relation.schema, oldName(relation))} SET SCHEMA ${dataSchema}`
    await settleAll(holders(relation, change).map((shard) => change.onShard(shard, away(shard))))
  }
  for (const { relation, wanted } of list) await insertPlacement(relation, wanted, byDefault, change)
  await createTables(old.map((relation) => relation.oid), change)
  for (const { relation, expressions } of list) {
    const { pause, resume } = pauseTriggers(relation, await readDefinition(change, relation.oid))
    if (pause !== '') await change.onCatalog(pause)
    await moveRows(relation, expressions, change)
    if (resume !== '') await change.onCatalog(resume)
  }
  for (const relation of old) await change.onShards(holders(relation, change), `DROP TABLE ${dataSchema}.${quoteIdent(oldName(relation))} CASCADE`)
  await addForeignKeys(old.map((relation) => relation.oid), change)
  for (const { oid } of old) {
    const now = change.snapshot.relationsByOid.get(oid) as Relation
    await change.onShards(holders(now, change), triggerStatements(now, await readDefinition(change, oid)).join('; '))
  }
}

const oldName = (relation: Relation) => `old_${relation.table?.id}`

async function moveRows(old: Relation, expressions: ReadonlyMap<string, string> | undefined, change: SchemaChange): Promise<void> {
  const relation = change.snapshot.relationsByOid.get(old.oid) as Relation
  const columns = relation.columns.filter((column) => !column.generated).map((column) => column.name)
  const list = columns.map((name) => expressions?.get(name) ?? quoteIdent(name)).join(', ')
  const context = { ...change.context, snapshot: change.snapshot }
  if (old.table?.kind === 'reference') {
    // Its copy on the catalog goes; what is left of the table there is the shell.
    const source = 'pgherd_move'
    await change.onCatalog(`DECLARE ${source} NO SCROLL CURSOR FOR SELECT ${list} FROM ${qualified(old.schema, old.name)}`)
    await pour(0, source, relation, columns, context)
    await change.onCatalog(`CLOSE ${source}; DELETE FROM ${qualified(old.schema, old.name)}`)
    return
  }
  for (const shard of holders(old, change)) {
    await change.onShard(shard, `DECLARE pgherd_move NO SCROLL CURSOR FOR SELECT ${list} FROM ${dataSchema}.${quoteIdent(oldName(old))}`)
    await pour(shard, 'pgherd_move', relation, columns, context)
    await change.onShard(shard, 'CLOSE pgherd_move')
  }
}

/** Rows out of a cursor on one server and into the table, in batches: the same connection may be source and target. */
async function pour(shard: number, cursor: string, relation: Relation, columns: readonly string[], context: SchemaChange['context']): Promise<void> {
  for (;;) {
    const lease = await context.transaction.lease(serverById(context, shard))
    const sink = new RowsSink()
    await runStatement(lease.connection, { prelude: lease.prelude, text: `FETCH ${copyRowsBatch} FROM ${cursor}` }, sink)
    if (sink.rows.length === 0) return
    const router = new RowRouter(relation, columns, [], context)
    try {
      await router.open()
      for (const row of sink.rows) {
        const line = encodeCopyLine(readDataRow(row, 0))
        if (!router.send(line, 0, line.length)) await router.drained()
      }
    } catch (error) {
      await router.abort()
      throw error
    }
    await router.finish()
    if (sink.rows.length < copyRowsBatch) return
  }
}

