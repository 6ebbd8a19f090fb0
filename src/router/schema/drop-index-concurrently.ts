/**
 * DROP INDEX CONCURRENTLY. PostgreSQL cannot do that for a partitioned table, which a distributed one is on its shards. So it is
 * an ordinary change, in one transaction, that takes the tables' locks on all servers almost at once or lets go of them.
 */
import { quoteLiteral, qualified, quoteIdent } from '../../base/quote.ts'
import { catalogId } from '../../catalog/server-address.ts'
import type { BriefLock } from '../../executor/schema/brief-lock.ts'
import { lockBriefly } from '../../executor/schema/brief-lock.ts'
import type { SchemaChange } from '../../executor/schema/schema-change.ts'
import { holders } from '../../executor/schema/table-definition.ts'
import type { StatementEnd } from '../../executor/statement-exchange.ts'
import type { AnyNode } from '../../sql/ast.ts'
import { names } from '../../sql/ast.ts'
import type { Statement } from '../../sql/parse.ts'
import type { Session } from '../session.ts'
import { carry } from './carry.ts'
import { changeGently } from './change-gently.ts'

export function dropIndexConcurrently(statement: Statement, session: Session): Promise<StatementEnd> {
  const objects = (statement.node.DropStmt?.objects ?? []) as AnyNode[]
  const indexes = objects.map((object) => names(object.List?.items as AnyNode[] | undefined).map(quoteIdent).join('.'))
  return changeGently(session, async (change, waitMs) => {
    const locks = await Promise.all(indexes.map((index) => locksFor(index, change)))
    await lockBriefly(locks.flat(), waitMs, change)
    return carry(statement, change, session)
  })
}

/** None where there is no such index: PostgreSQL will say so. */
async function locksFor(index: string, change: SchemaChange): Promise<BriefLock[]> {
  const { rows } = await change.onCatalog(`SELECT indrelid FROM pg_index WHERE indexrelid = to_regclass(${quoteLiteral(index)})`)
  const relation = change.snapshot.relationsByOid.get(Number(rows[0]?.[0]))
  if (relation === undefined) return []
  const table = qualified(relation.schema, relation.name)
  return [...new Set([catalogId, ...holders(relation, change)])].map((server) => ({ server, table, mode: 'ACCESS EXCLUSIVE' }))
}
