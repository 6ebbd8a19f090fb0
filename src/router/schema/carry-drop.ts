/** DROP of what shards have too; tables and indexes that are gone are seen by comparing. */
import { qualified, quoteIdent } from '../../base/quote.ts'
import type { SchemaChange } from '../../executor/schema/schema-change.ts'
import { holders } from '../../executor/schema/table-definition.ts'
import type { AnyNode } from '../../sql/ast.ts'
import { names } from '../../sql/ast.ts'
import type { Statement } from '../../sql/parse.ts'
import type { Session } from '../session.ts'
import { targetOf } from './target.ts'

async function dropTriggers(objects: readonly AnyNode[], change: SchemaChange, session: Session): Promise<void> {
  for (const object of objects) {
    const parts = names(object.List?.items as AnyNode[] | undefined)
    const [trigger = '', table = '', schema] = [...parts].reverse()
    const relation = targetOf({ relname: table, ...(schema === undefined ? {} : { schemaname: schema }) }, change.snapshot, session)
    if (relation?.table === undefined) continue
    await change.onShards(holders(relation, change), `DROP TRIGGER IF EXISTS ${quoteIdent(trigger)} ON ${qualified(relation.schema, relation.name)}`)
  }
}

export async function carryDrop(statement: Statement, change: SchemaChange, session: Session): Promise<void> {
  const drop = statement.node.DropStmt
  switch (drop?.removeType) {
    case 'OBJECT_TABLE':
    case 'OBJECT_INDEX':
    case 'OBJECT_VIEW':
    case 'OBJECT_MATVIEW':
    case 'OBJECT_SEQUENCE':
    case 'OBJECT_RULE':
    case 'OBJECT_STATISTIC_EXT':
      return
    case 'OBJECT_TRIGGER':
      return dropTriggers((drop.objects ?? []) as AnyNode[], change, session)
    default:
      await change.onShards(change.shardIds, statement.source.text)
  }
}
