/** Which schema statements are about the session's temporary objects: those are the catalog's alone. */
import { refuse } from '../../base/errors.ts'
import { statementFacts } from '../../planner/facts.ts'
import type { AnyNode, SelectStmt } from '../../sql/ast.ts'
import { intoOf, names, walk } from '../../sql/ast.ts'
import type { Session } from '../session.ts'

/** A new temporary object, or a change of one that the session has. */
export async function isTemporary(node: AnyNode, session: Session): Promise<boolean> {
  const into = node.CreateTableAsStmt?.into ?? intoOf(node.SelectStmt as SelectStmt | undefined)
  const created = node.CreateStmt?.relation ?? node.ViewStmt?.view ?? node.CreateSeqStmt?.sequence ?? into?.rel
  if (created !== undefined && (created.relpersistence === 't' || created.schemaname === 'pg_temp')) {
    if (into === undefined) return true
    return false
  }
  let touches = false
  if (session.temporary.size > 0 && created === undefined) {
    walk(node, (tree) => {
      if (typeof tree.relname === 'string' && tree.schemaname === undefined && session.temporary.has(tree.relname)) touches = true
    })
    for (const object of node.DropStmt?.objects ?? []) {
      const parts = names((object as AnyNode).List?.items as AnyNode[] | undefined)
      if (parts.length === 1 && session.temporary.has(parts[0] ?? '')) touches = true
      if (parts[0] === 'pg_temp') touches = true
    }
  }
  return touches
}

/** A view finds its tables once, when it is made: on the shell, where they are empty; and so does a trigger's function. */
export async function refuseTemporary(node: AnyNode, session: Session): Promise<void> {
  const functionOfTrigger = names(node.CreateTrigStmt?.funcname as AnyNode[] | undefined).at(-1)
  if (functionOfTrigger !== undefined) {
    const noted = (await session.currentSnapshot()).functions.get(functionOfTrigger)?.find((one) => one.touchesTables !== undefined)
    if (noted !== undefined) throw refuse(`the trigger's function ${functionOfTrigger} touches tables (${noted.touchesTables})`)
  }
  const query = node.ViewStmt?.query as AnyNode | undefined
  if (query === undefined) return
  const { tables } = statementFacts(query, session.nameContext(await session.currentSnapshot(), []))
  if (tables.length > 0) throw refuse('a temporary view over tables on shards is not supported', 'Make the view a permanent one.')
}
