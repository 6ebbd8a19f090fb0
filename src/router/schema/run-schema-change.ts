/** Schema changes: on the shell as they were sent, then on the shards, in one transaction. */
import { SqlError } from '../../base/errors.ts'
import { runOnServer } from '../../executor/run-on-server.ts'
import type { Statement } from '../../sql/parse.ts'
import type { Handler } from '../statements/run-statement.ts'
import { runCall } from './call.ts'
import { carry } from './carry.ts'
import { changeSchema } from './change-schema.ts'
import { createIndexConcurrently } from './create-index-concurrently.ts'
import { createTableAs } from './create-table-as.ts'
import { createDatabase, dropDatabase } from './databases.ts'
import { runDo } from './do-block.ts'
import { dropIndexConcurrently } from './drop-index-concurrently.ts'
import { createMaterializedView, refreshMaterializedView } from './materialized-views.ts'
import { refuseUnsupported } from './refused-statements.ts'
import { isTemporary, refuseTemporary } from './temporary-objects.ts'

export const runSchemaChange: Handler = async (statement, args, sink, session) => {
  const { node } = statement
  if (node.DoStmt !== undefined) return runDo(statement, args, sink, session)
  if (node.CallStmt !== undefined) return runCall(statement, args, sink, session)
  if (session.transaction.readOnlyNow) throw new SqlError('25006', `cannot execute ${commandName(statement)} in a read-only transaction`)
  if (node.CreatedbStmt !== undefined) return createDatabase(statement, session)
  if (node.DropdbStmt !== undefined) return dropDatabase(statement, session)
  if ((node.IndexStmt?.concurrent === true || node.DropStmt?.concurrent === true) && session.transaction.active) {
    throw new SqlError('25001', `${node.IndexStmt === undefined ? 'DROP' : 'CREATE'} INDEX CONCURRENTLY cannot run inside a transaction block`)
  }
  refuseUnsupported(node)
  if (await isTemporary(node, session)) {
    await refuseTemporary(node, session)
    const context = session.executionContext(await session.currentSnapshot())
    const end = await runOnServer(session.services.catalog, { text: statement.source.text, markers: [], writes: false, pins: true, cannotPrepare: true }, args, sink, context)
    await session.refreshTemporary()
    return end
  }
  if (node.RefreshMatViewStmt !== undefined) return refreshMaterializedView(statement, args, sink, session)
  if (node.CreateTableAsStmt?.objtype === 'OBJECT_MATVIEW') return createMaterializedView(statement, args, sink, session)
  if (node.CreateTableAsStmt !== undefined || node.SelectStmt !== undefined) return createTableAs(statement, args, sink, session)
  if (node.IndexStmt?.concurrent === true) return createIndexConcurrently(statement, session)
  if (node.DropStmt?.concurrent === true) return dropIndexConcurrently(statement, session)
  return changeSchema(session, (change) => carry(statement, change, session))
}

function commandName(statement: Statement): string {
  return statement.source.text.trim().split(/\s+/).slice(0, 2).join(' ').toUpperCase()
}
