/** DROP of what shards have too; tables and indexes that are gone are seen by comparing. */
import type { SchemaChange } from '../../executor/schema/schema-change.ts'
import type { Statement } from '../../sql/parse.ts'

export async function carryDrop(statement: Statement, change: SchemaChange): Promise<void> {
  const drop = statement.node.DropStmt
  switch (drop?.removeType) {
    case 'OBJECT_TABLE':
    case 'OBJECT_INDEX':
    case 'OBJECT_VIEW':
    case 'OBJECT_SEQUENCE':
    case 'OBJECT_TRIGGER':
    case 'OBJECT_RULE':
    case 'OBJECT_STATISTIC_EXT':
      return
    default:
      await change.onShards(change.shardIds, statement.source.text)
  }
}
