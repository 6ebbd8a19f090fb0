/** A new serial or identity column: rows that are there get its first values. */
import { qualified, quoteIdent, quoteLiteral } from '../../base/quote.ts'
import type { Column, Relation } from '../../catalog/snapshot.ts'
import type { SchemaChange } from '../../executor/schema/schema-change.ts'
import type { TableDefinition } from '../../executor/schema/table-definition.ts'
import { holders, pauseTriggers } from '../../executor/schema/table-definition.ts'

/** The sequence belongs to the column, which nobody sees yet: its values can be counted out, one stretch to each shard. */
export async function fillFromSequence(relation: Relation, column: Column, definition: TableDefinition, change: SchemaChange): Promise<void> {
  const table = qualified(relation.schema, relation.name)
  const name = quoteIdent(column.name)
  const sequence = quoteLiteral(column.sequence ?? '')
  // Filling is no UPDATE that anybody sent.
  const { pause, resume } = pauseTriggers(relation, definition)
  const paused = pause === '' ? '' : `${pause}; `
  const resumed = resume === '' ? '' : `; ${resume}`
  for (const shard of holders(relation, change)) {
    const { rows } = await change.onShard(shard, `SELECT count(*) FROM ${table}`)
    const count = Number(rows[0]?.[0])
    if (count === 0) continue
    const first = (await change.onCatalog(`SELECT nextval(${sequence}::regclass)`)).rows[0]?.[0] ?? ''
    const step = (await change.onCatalog(`SELECT seqincrement FROM pg_sequence WHERE seqrelid = ${sequence}::regclass`)).rows[0]?.[0] ?? '1'
    const last = BigInt(first) + BigInt(step) * BigInt(count - 1)
    // PostgreSQL refuses a value past the sequence's end.
    if (count > 1) await change.onCatalog(`SELECT setval(${sequence}::regclass, ${last})`)
    await change.onShard(
      shard,
      `${paused}UPDATE ${table} t SET ${name} = ${first} + ${step}::int8 * (n.place - 1)
       FROM (SELECT tableoid AS leaf, ctid AS at, row_number() OVER () AS place FROM ${table}) n WHERE t.tableoid = n.leaf AND t.ctid = n.at${resumed}`,
    )
  }
  const notNull = definition.columns.find((one) => one.name === column.name)?.notNull === true
  if (notNull) await change.onShards(holders(relation, change), `ALTER TABLE ${table} ALTER COLUMN ${name} SET NOT NULL`)
}
