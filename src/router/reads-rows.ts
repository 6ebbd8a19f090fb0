import { tagOf } from '../sql/ast.ts'
import type { Statement } from '../sql/parse.ts'

const withoutSnapshot = new Set(['TransactionStmt', 'VariableSetStmt', 'VariableShowStmt', 'ListenStmt', 'UnlistenStmt', 'NotifyStmt', 'DiscardStmt', 'DeallocateStmt', 'ClosePortalStmt', 'LockStmt'])

/** With what follows, PostgreSQL takes the snapshot that a REPEATABLE READ transaction then keeps. */
export function readsRows(statement: Statement): boolean {
  return !withoutSnapshot.has(tagOf(statement.node))
}
