/** A new index, under the name that the shell gave it. */
import type { Snapshot } from '../../catalog/snapshot.ts'
import { reconsider } from '../../executor/schema/place-table.ts'
import type { SchemaChange } from '../../executor/schema/schema-change.ts'
import { holders, readDefinition } from '../../executor/schema/table-definition.ts'
import type { RangeVar } from '../../sql/ast.ts'
import type { Session } from '../session.ts'
import { targetOf } from './target.ts'

export async function carryIndex(rangeVar: RangeVar, before: Snapshot, change: SchemaChange, session: Session, notice: (message: string) => void): Promise<void> {
  const relation = targetOf(rangeVar, before, session)
  const now = relation === undefined ? undefined : change.snapshot.relationsByOid.get(relation.oid)
  if (now?.table === undefined) return
  if (await reconsider(now, change, notice)) return
  const definition = await readDefinition(change, now.oid)
  for (const index of definition.indexes) {
    if (before.relations.has(`${now.schema}\0${index.name}`)) continue
    await change.onShards(holders(now, change), index.definition.replace(/ ON ONLY /, ' ON '))
  }
}
