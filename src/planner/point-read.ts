/**
 * Which reads end at once: at most one row, found by the primary key, computed by nothing but plain operators.
 *
 * Such a statement may share a server connection with those of other clients, since it keeps none of them waiting. What only
 * looks harmless (a function, a subquery, a sort of many rows) is not one: it costs speed, never rows.
 */
import type { Relation } from '../catalog/snapshot.ts'
import type { A_Expr, AnyNode, SelectStmt } from '../sql/ast.ts'
import { names, walk } from '../sql/ast.ts'
import type { StatementFacts } from './facts.ts'
import { conjuncts } from './ties.ts'

const plainTags = new Set(
  'SelectStmt ResTarget RangeVar ColumnRef A_Star A_Const ParamRef A_Expr BoolExpr NullTest BooleanTest TypeCast TypeName SortBy List String Integer Float Boolean'.split(' '),
)
const plainOperators = new Set(['=', '<>', '<', '>', '<=', '>=', '+', '-', '*', '/', '%', '||'])

export function isPointRead(node: AnyNode, facts: StatementFacts): boolean {
  const select = node.SelectStmt as SelectStmt | undefined
  const [use, ...more] = facts.tables
  if (select === undefined || use === undefined || more.length > 0 || facts.locking || facts.systemColumns.length > 0) return false
  if (select.op !== 'SETOP_NONE' || select.withClause !== undefined || select.fromClause?.length !== 1) return false
  return isPlain(node) && bindsPrimaryKey(select, use.relation)
}

function isPlain(node: AnyNode): boolean {
  let plain = true
  walk(node, (tree, key) => {
    if (/^[A-Z]/.test(key) && !plainTags.has(key)) plain = false
    if (key === 'A_Expr' && !(tree.kind === 'AEXPR_OP' || tree.kind === 'AEXPR_IN')) plain = false
    if (key === 'A_Expr' && !plainOperators.has(names(tree.name as AnyNode[]).join('.'))) plain = false
    return plain
  })
  return plain
}

/** Every column of the primary key is compared with a constant or parameter, so a unique index finds the row. */
function bindsPrimaryKey(select: SelectStmt, relation: Relation): boolean {
  const bound = new Set<string>()
  for (const condition of conjuncts(select.whereClause as AnyNode | undefined)) {
    const comparison = condition.A_Expr as A_Expr | undefined
    if (comparison?.kind !== 'AEXPR_OP' || names(comparison.name as AnyNode[]).join('.') !== '=') continue
    for (const [one, other] of [[comparison.lexpr, comparison.rexpr], [comparison.rexpr, comparison.lexpr]] as [AnyNode?, AnyNode?][]) {
      const column = names(one?.ColumnRef?.fields as AnyNode[] | undefined).at(-1)
      if (column !== undefined && isValue(other)) bound.add(column)
    }
  }
  return relation.primaryKey.length > 0 && relation.primaryKey.every((column) => bound.has(column))
}

function isValue(node: AnyNode | undefined): boolean {
  const inner = (node?.TypeCast?.arg as AnyNode | undefined) ?? node
  return inner?.A_Const !== undefined || inner?.ParamRef !== undefined
}
