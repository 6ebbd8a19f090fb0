/** Statements that are about the session, and the way to all others. */
import type { Arguments } from '../../executor/context.ts'
import { isDataStatement } from '../../planner/plan-statement.ts'
import type { StatementEnd } from '../../executor/statement-exchange.ts'
import type { Statement } from '../../sql/parse.ts'
import { tagOf } from '../../sql/ast.ts'
import type { ClientSink } from '../client-sink.ts'
import type { Session } from '../session.ts'
import { runAdminFunction } from './admin-functions.ts'
import { runCopy } from './copy.ts'
import { closeCursor, declareCursor, fetchCursor } from './cursors.ts'
import { runExplain } from './explain.ts'
import { setConstraints } from './constraints.ts'
import { runMaintenance } from './maintenance.ts'
import { deallocate, executePrepared, prepare } from './prepared.ts'
import { runSchemaChange } from '../schema/run-schema-change.ts'
import { runSetConfig } from './set-config.ts'
import { signalBackends } from './signal-backends.ts'
import { discard, refreshSearchPath, runSet, runShow } from './settings.ts'
import { runLastValue } from './last-value.ts'
import { runOnSessionViews } from './session-views.ts'
import { runOperatorFunction } from './operator-functions.ts'
import { runRouterFunction } from './router-functions.ts'
import { listen, notify } from './notifications.ts'
import { runTransactionStatement } from './transaction-control.ts'

export type Handler = (statement: Statement, args: Arguments, sink: ClientSink, session: Session) => Promise<StatementEnd | undefined>

const handlers: Readonly<Record<string, Handler>> = {
  TransactionStmt: runTransactionStatement,
  VariableSetStmt: runSet,
  VariableShowStmt: runShow,
  DiscardStmt: discard,
  PrepareStmt: prepare,
  ExecuteStmt: executePrepared,
  DeallocateStmt: deallocate,
  DeclareCursorStmt: declareCursor,
  FetchStmt: fetchCursor,
  ClosePortalStmt: closeCursor,
  ListenStmt: listen,
  UnlistenStmt: listen,
  NotifyStmt: notify,
  ExplainStmt: runExplain,
  CopyStmt: runCopy,
  VacuumStmt: runMaintenance,
  ClusterStmt: runMaintenance,
  ReindexStmt: runMaintenance,
  CheckPointStmt: runMaintenance,
  LockStmt: runMaintenance,
  ConstraintsSetStmt: setConstraints,
}

/** Statements of data that are the session's after all: each handler knows its own. */
const specialQueries: readonly Handler[] = [runSetConfig, signalBackends, runLastValue, runAdminFunction, runRouterFunction, runOperatorFunction, runOnSessionViews]

/** Undefined for a statement of data, which is planned. */
async function run(statement: Statement, args: Arguments, sink: ClientSink, session: Session): Promise<StatementEnd | undefined> {
  const handler = handlers[tagOf(statement.node)]
  if (handler !== undefined) return handler(statement, args, sink, session)
  if (!isDataStatement(statement)) return runSchemaChange(statement, args, sink, session)
  for (const special of specialQueries) {
    const end = await special(statement, args, sink, session)
    if (end !== undefined) return end
  }
  return undefined
}

export const runSessionStatement = Object.assign(run, {
  /** In a failed transaction only its end, or a return to a savepoint, is let through. */
  allowedWhenFailed(statement: Statement): boolean {
    const kind = statement.node.TransactionStmt?.kind
    return kind === 'TRANS_STMT_COMMIT' || kind === 'TRANS_STMT_ROLLBACK' || kind === 'TRANS_STMT_ROLLBACK_TO' || kind === 'TRANS_STMT_PREPARE'
  },
  afterTransaction: refreshSearchPath,
})

