/** Schema statements that cannot be done rightly here, each with its reason. */
import { refuse } from '../../base/errors.ts'
import type { AlterTableStmt, AnyNode } from '../../sql/ast.ts'

export function refuseUnsupported(node: AnyNode): void {
  const hint = 'See docs/sql-support.md.'
  const alter = node.AlterTableStmt as AlterTableStmt | undefined
  for (const command of alter?.cmds ?? []) {
    const type = (command as AnyNode).AlterTableCmd?.subtype ?? ''
    if (/RowSecurity/.test(type)) throw refuse('row-level security is not supported', hint)
  }
  if (alter?.cmds?.some((command) => /"concurrent":true/.test(JSON.stringify(command)))) throw refuse('DETACH PARTITION CONCURRENTLY is not supported', 'Use DETACH PARTITION.')
  if (alter?.cmds?.some((command) => /^AT_(AddInherit|DropInherit|AddOf|DropOf)$/.test((command as AnyNode).AlterTableCmd?.subtype ?? ''))) throw refuse('table inheritance is not supported', 'Declare partitions, or separate tables.')
  if (node.CreateStmt?.ofTypename !== undefined) throw refuse('typed tables are not supported', 'Declare the columns.')
  if (node.CreateTableSpaceStmt !== undefined || node.DropTableSpaceStmt !== undefined || node.AlterTableMoveAllStmt !== undefined) throw refuse("tablespaces are each server's own", 'Make them on the servers.')
  if (node.CreateStmt?.inhRelations !== undefined && node.CreateStmt.partbound === undefined) throw refuse('table inheritance is not supported', 'Declare partitions, or separate tables.')
  if (node.CreateTrigStmt?.transitionRels !== undefined) throw refuse('transition tables of triggers are not supported', 'Use FOR EACH ROW, and OLD and NEW.')
  if (node.CreatePolicyStmt !== undefined) throw refuse('row-level security is not supported', hint)
  if (node.RuleStmt !== undefined) throw refuse('rules are not supported', hint)
  if (node.CreatePublicationStmt !== undefined || node.CreateSubscriptionStmt !== undefined) throw refuse('publications and subscriptions are not supported', hint)
  if (node.CreateForeignTableStmt !== undefined) throw refuse('foreign tables are not supported', hint)
  if (node.CreateEventTrigStmt !== undefined) throw refuse('event triggers are not supported', hint)
  if (node.AlterSystemStmt !== undefined) throw refuse('ALTER SYSTEM is not supported', 'Change the settings of each server.')
}
