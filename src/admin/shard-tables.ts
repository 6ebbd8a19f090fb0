/** A database's tables on a new shard: reference tables with their rows, distributed tables without a leaf, all with their markers. */
import { qualified, quoteIdent } from '../base/quote.ts'
import { settleAll } from '../base/settle-all.ts'
import type { Relation } from '../catalog/snapshot.ts'
import { markerName } from '../catalog/snapshot.ts'
import { noArguments, serverById } from '../executor/context.ts'
import { CopySink, fillByCopy } from '../executor/gather.ts'
import { runOnServer } from '../executor/run-on-server.ts'
import type { SchemaChange } from '../executor/schema/schema-change.ts'
import { createStatements, foreignKeyStatements, readDefinition, triggerStatements } from '../executor/schema/table-definition.ts'
import { lockTables } from '../executor/schema/table-lock.ts'
import { makeAll } from './shard-objects.ts'

/** The tables that every shard of a database has, in the order in which they were made. */
export function tablesEverywhere({ snapshot }: SchemaChange): Relation[] {
  return [...snapshot.relations.values()].filter(({ table }) => table !== undefined && table.kind !== 'single').toSorted((a, b) => a.oid - b.oid)
}

export async function copyTables(target: number, change: SchemaChange): Promise<void> {
  const tables = tablesEverywhere(change)
  // Who writes a reference table locks it on the catalog first: what is there now is what all copies have, and stays so.
  for (const relation of tables.filter(isReference)) await change.onCatalog(`LOCK TABLE ${nameOf(relation)} IN SHARE ROW EXCLUSIVE MODE`)
  const texts: string[] = []
  for (const relation of tables) texts.push(await createText(relation, target, change))
  await makeAll(texts, target, change)
  for (const relation of tables.filter(isReference)) await copyRows(relation, target, change)
  const later: string[] = []
  for (const relation of tables) later.push(...(await lastStatements(relation, target, change)))
  await makeAll(later, target, change)
}

export const isReference = ({ table }: Relation) => table?.kind === 'reference'

const nameOf = ({ schema, name }: Relation) => qualified(schema, name)

async function createText(relation: Relation, target: number, change: SchemaChange): Promise<string> {
  const definition = await readDefinition(change, relation.oid)
  const group = change.snapshot.groups.get(relation.table?.group ?? 0)
  const owner = (table: string) => `ALTER TABLE ${table} OWNER TO ${quoteIdent(definition.owner)}`
  return [...createStatements(relation, definition, group, target), owner(nameOf(relation)), ...(relation.table === undefined ? [] : [owner(markerName(relation.table))])].join(';\n')
}

/** Foreign keys and triggers, which rows that are copied must not meet. */
async function lastStatements(relation: Relation, target: number, change: SchemaChange): Promise<string[]> {
  const definition = await readDefinition(change, relation.oid)
  const group = change.snapshot.groups.get(relation.table?.group ?? 0)
  const foreignKeys = definition.constraints.flatMap((constraint) => {
    const referenced = constraint.type === 'f' ? change.snapshot.relationsByOid.get(constraint.referenced) : undefined
    return referenced === undefined ? [] : foreignKeyStatements(relation, constraint, referenced, group, target)
  })
  return [...foreignKeys, ...triggerStatements(relation, definition)]
}

async function copyRows(relation: Relation, target: number, change: SchemaChange): Promise<void> {
  const columns = relation.columns.filter((column) => !column.generated).map(({ name }) => quoteIdent(name)).join(', ')
  if (columns === '') return
  const context = { ...change.context, snapshot: change.snapshot }
  const lease = await context.transaction.lease(serverById(context, target))
  const text = `COPY (SELECT ${columns} FROM ${nameOf(relation)}) TO STDOUT`
  await fillByCopy(lease, nameOf(relation), columns, (input) => runOnServer(context.catalog, { text, markers: [], writes: false }, noArguments, new CopySink(input), context))
}

/** The layout of reference tables is another from now on, so that new copies of them get its number. */
export async function raiseLayouts(change: SchemaChange): Promise<void> {
  await change.onCatalog(`UPDATE pgherd.placement SET layout = layout + 1 WHERE kind = 'reference'`)
}

/**
 * On these shards the markers of reference tables become those of the layout that is in the snapshot: whoever writes one without knowing of all shards
 * names a marker that is not there. Those who have used the old one are waited for.
 */
export async function replaceMarkers(shards: readonly number[], change: SchemaChange): Promise<void> {
  const tables = tablesEverywhere(change).flatMap((relation) => (relation.table?.kind === 'reference' ? [{ relation, table: relation.table }] : []))
  if (tables.length === 0) return
  const old = ({ table }: (typeof tables)[number]) => markerName({ id: table.id, layout: table.layout - 1 })
  await lockTables(shards.flatMap((shard) => tables.map((one) => ({ shard, table: old(one) }))), change)
  const statements: string[] = []
  for (const one of tables) {
    const { owner } = await readDefinition(change, one.relation.oid)
    const marker = markerName(one.table)
    statements.push(`DROP TABLE ${old(one)}; CREATE TABLE ${marker} (); ALTER TABLE ${marker} OWNER TO ${quoteIdent(owner)}; GRANT SELECT, INSERT ON ${marker} TO PUBLIC`)
  }
  await settleAll(shards.map((shard) => change.onShard(shard, statements.join('; '))))
}
