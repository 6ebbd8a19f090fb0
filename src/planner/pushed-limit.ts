/** LIMIT and OFFSET as the shards get them. */
import type { AnyNode, SelectStmt } from '../sql/ast.ts'
import { expressionOf, mapTree } from '../sql/render.ts'

/** The first rows of all are among as many of each shard: LIMIT and OFFSET added up, with the values rounded as LIMIT does it. */
export function pushedLimit(select: SelectStmt): AnyNode | undefined {
  const { limitCount, limitOffset } = select as { limitCount?: AnyNode; limitOffset?: AnyNode }
  if (limitCount === undefined || limitCount.A_Const?.isnull === true) return undefined
  const [count, offset] = [limitCount.A_Const?.ival?.ival, limitOffset === undefined ? 0 : limitOffset.A_Const?.ival?.ival]
  const isNumber = limitCount.A_Const?.ival !== undefined && (limitOffset === undefined || limitOffset.A_Const?.ival !== undefined)
  // The grammar leaves the number out when it is 0.
  if (isNumber) return expressionOf(String((count ?? 0) + (offset ?? 0)))
  const wide = (node: AnyNode): AnyNode => mapTree(expressionOf('1::int8::numeric'), (tree) => (tree.A_Const === undefined ? undefined : node))
  const sum = limitOffset === undefined ? wide(limitCount) : mapTree(expressionOf('2 + COALESCE(3, 0)'), (tree) => (tree.A_Const?.ival?.ival === 2 ? wide(limitCount) : tree.A_Const?.ival?.ival === 3 ? wide(limitOffset) : undefined))
  return mapTree(expressionOf('LEAST(4, 9223372036854775807)::int8'), (tree) => (tree.A_Const?.ival?.ival === 4 ? sum : undefined))
}
