/** DROP of what is not a table: tables that are gone are seen by comparing. */
import type { SchemaChange } from '../../executor/schema/schema-change.ts'
import type { Statement } from '../../sql/parse.ts'

export const ifExists = (text: string, pattern: RegExp) => text.replace(pattern, '$1IF EXISTS ')

export async function carryDrop(statement: Statement, change: SchemaChange): Promise<void> {
  const drop = statement.node.DropStmt
  switch (drop?.removeType) {
    case 'OBJECT_TABLE':
    case 'OBJECT_VIEW':
    case 'OBJECT_SEQUENCE':
    case 'OBJECT_TRIGGER':
    case 'OBJECT_RULE':
    case 'OBJECT_STATISTIC_EXT':
      return
    case 'OBJECT_INDEX':
      await change.onShards(change.shardIds, ifExists(statement.source.text.replace(/\bconcurrently\b/i, ''), /^(\s*drop\s+index\s+)(?!if\s)/i))
      return
    default:
      await change.onShards(change.shardIds, statement.source.text)
  }
}
