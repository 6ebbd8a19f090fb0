/** RENAME of what is not a table: tables with other names are seen by comparing. */
import { quoteIdent, quoteLiteral } from '../../base/quote.ts'
import type { Snapshot } from '../../catalog/snapshot.ts'
import type { SchemaChange } from '../../executor/schema/schema-change.ts'
import { lockTable } from '../../executor/schema/table-lock.ts'
import { holders, isLeafToLeaf, readDefinition } from '../../executor/schema/table-definition.ts'
import { dropOnly } from '../../planner/edits.ts'
import type { RangeVar } from '../../sql/ast.ts'
import type { Statement } from '../../sql/parse.ts'
import { SourceText } from '../../sql/source-text.ts'
import type { Session } from '../session.ts'
import { onLeaves } from './carry-alter-table.ts'
import { targetOf } from './target.ts'

export async function carryRename(statement: Statement, before: Snapshot, change: SchemaChange, session: Session): Promise<void> {
  const rename = statement.node.RenameStmt
  const kind = rename?.renameType
  if (kind === 'OBJECT_TABLE' || kind === 'OBJECT_INDEX' || kind === 'OBJECT_VIEW' || kind === 'OBJECT_MATVIEW' || kind === 'OBJECT_SEQUENCE' || kind === 'OBJECT_STATISTIC_EXT') return // seen by comparing, or the shell's alone
  if (kind === 'OBJECT_TRIGGER' || kind === 'OBJECT_COLUMN' || kind === 'OBJECT_TABCONSTRAINT') {
    const relation = rename?.relation === undefined ? undefined : targetOf(rename.relation, before, session)
    if (relation?.table === undefined) return
    await lockTable(relation, change)
    if (kind === 'OBJECT_TABCONSTRAINT') {
      const constraint = (await readDefinition(change, relation.oid)).constraints.find((one) => one.name === rename?.newname)
      if (constraint !== undefined && isLeafToLeaf(relation, constraint, change.snapshot)) {
        await onLeaves(relation, `RENAME CONSTRAINT ${quoteIdent(rename?.subname ?? '')} TO ${quoteIdent(constraint.name)}`, change)
        return
      }
    }
    const source = new SourceText(statement.source.text)
    await change.onShards(holders(relation, change), source.edited(dropOnly(source, rename?.relation as RangeVar)))
    if (kind === 'OBJECT_COLUMN' && relation.table.keyColumn === rename?.subname) {
      await change.onCatalog(`UPDATE pgherd.placement SET key_column = ${quoteLiteral(rename?.newname ?? '')} WHERE oid = ${relation.oid}`)
    }
    return
  }
  await change.onShards(change.shardIds, statement.source.text)
}
