/** TRUNCATE: each shard empties what it has of the tables. */
import { qualified } from '../../base/quote.ts'
import type { Snapshot } from '../../catalog/snapshot.ts'
import type { SchemaChange } from '../../executor/schema/schema-change.ts'
import { lockTable } from '../../executor/schema/table-lock.ts'
import { holders } from '../../executor/schema/table-definition.ts'
import type { AnyNode, RangeVar } from '../../sql/ast.ts'
import type { Statement } from '../../sql/parse.ts'
import type { Session } from '../session.ts'
import { targetOf } from './target.ts'

export async function carryTruncate(statement: Statement, before: Snapshot, change: SchemaChange, session: Session): Promise<void> {
  const truncate = statement.node.TruncateStmt
  const relations = (truncate?.relations ?? []).flatMap((node) => targetOf((node as AnyNode).RangeVar as RangeVar, before, session) ?? [])
  const cascade = truncate?.behavior === 'DROP_CASCADE' ? ' CASCADE' : ''
  for (const relation of relations) await lockTable(relation, change)
  for (const shard of change.shardIds) {
    const here = relations.filter((relation) => holders(relation, change).includes(shard))
    if (here.length > 0) await change.onShard(shard, `TRUNCATE ${here.map((one) => qualified(one.schema, one.name)).join(', ')}${cascade}`)
  }
}
