/**
 * DEFAULT in UPDATE SET, ON CONFLICT DO UPDATE SET and MERGE ... UPDATE SET, written out where the column's default is not
 * the same on every server at any time: the rest of the planner then sees what it is. Sequences are left: only the catalog
 * has them.
 */
import type { Relation } from '../catalog/snapshot.ts'
import type { AnyNode, Tree } from '../sql/ast.ts'
import { walk } from '../sql/ast.ts'
import type { Statement } from '../sql/parse.ts'
import { parseOne } from '../sql/parse.ts'
import { nextToken } from '../sql/scanner.ts'
import type { Edit } from '../sql/source-text.ts'
import { SourceText } from '../sql/source-text.ts'
import { isConstantDefault } from './constant-default.ts'
import type { StatementFacts } from './facts.ts'
import { statementFacts } from './facts.ts'
import type { NameContext } from './resolve.ts'

/** The statement with such DEFAULTs of its target's columns written out; the same one when there are none. */
export function withDefaultsWritten(statement: Statement, facts: StatementFacts, context: NameContext): { statement: Statement; facts: StatementFacts } {
  const { node } = statement
  const own = (node.UpdateStmt ?? node.InsertStmt ?? node.MergeStmt)?.relation
  const target = facts.relations.find((use) => use.rangeVar === own)?.resolved
  if (target?.kind !== 'relation') return { statement, facts }
  const written = writeOut(statement, target.relation, context)
  return written === statement ? { statement, facts } : { statement: written, facts: statementFacts(written.node, context) }
}

function writeOut(statement: Statement, relation: Relation, context: NameContext): Statement {
  const edits: Edit[] = []
  for (const { column, node } of defaultsIn(statement.node)) {
    const found = relation.columns.find((one) => one.name === column)
    if (found?.default === undefined || found.generated || found.sequence !== undefined || /nextval\(/.test(found.default)) continue
    if (isConstantDefault(found, context)) continue
    const start = (node.location as number | undefined) ?? 0
    edits.push({ start, end: nextToken(statement.source.raw, start)?.end ?? start, text: `(${found.default})` })
  }
  if (edits.length === 0) return statement
  const source = new SourceText(statement.source.edited(edits))
  return { source, node: parseOne(source.text) }
}

/** Columns that the statement itself (not a WITH in it) sets to DEFAULT. */
export function defaultsIn(node: AnyNode): { column: string; node: Tree }[] {
  const lists: unknown[] = [node.UpdateStmt?.targetList, node.InsertStmt?.onConflictClause?.targetList]
  for (const clause of node.MergeStmt?.mergeWhenClauses ?? []) {
    const when = (clause as AnyNode).MergeWhenClause
    if (when?.commandType === 'CMD_UPDATE') lists.push(when.targetList)
  }
  return lists.flatMap((list) => ((list ?? []) as AnyNode[]).flatMap(setToDefault))
}

/** SET a = DEFAULT, and SET (a, b) = (DEFAULT, 1), where each column has its place in the one row. */
function setToDefault(target: AnyNode): { column: string; node: Tree }[] {
  const { name = '', val } = target.ResTarget ?? {}
  const value = val as AnyNode | undefined
  if (value?.SetToDefault !== undefined) return [{ column: name, node: value.SetToDefault as Tree }]
  const multi = value?.MultiAssignRef
  const item = ((multi?.source as AnyNode | undefined)?.RowExpr?.args ?? [])[(multi?.colno ?? 1) - 1] as AnyNode | undefined
  if (item?.SetToDefault !== undefined) return [{ column: name, node: item.SetToDefault as Tree }]
  return []
}

/** Columns that the statement itself sets, by UPDATE, ON CONFLICT or MERGE. */
export function columnsSet(node: AnyNode): Set<string> {
  const found = new Set<string>()
  const { withClause: _with, ...rest } = (node.UpdateStmt ?? node.InsertStmt ?? node.MergeStmt ?? {}) as Tree
  walk({ targetList: rest.targetList, onConflictClause: (rest.onConflictClause as Tree | undefined)?.targetList }, (tree, key) => {
    if (key === 'ResTarget' && typeof tree.name === 'string') found.add(tree.name)
    return key !== 'ResTarget'
  })
  for (const clause of node.MergeStmt?.mergeWhenClauses ?? []) {
    const when = (clause as AnyNode).MergeWhenClause
    if (when?.commandType !== 'CMD_UPDATE') continue
    for (const target of (when.targetList ?? []) as AnyNode[]) if (target.ResTarget?.name !== undefined) found.add(target.ResTarget.name)
  }
  return found
}
