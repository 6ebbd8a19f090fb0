/**
 * WITH queries that nothing uses. PostgreSQL reads such a query, so that a mistake in it is an error, but never runs it: its tables
 * may as well be the shell's empty ones, and no rows are brought.
 */
import type { AnyNode, RangeVar } from '../sql/ast.ts'
import { walk } from '../sql/ast.ts'
import type { Ties } from './ties.ts'

/** All that stands in them: their tables, and their SELECTs. */
export function neverRun(node: AnyNode, ties: Ties): ReadonlySet<unknown> {
  const used = new Set([...ties.cteUses].map((use: RangeVar) => use.relname))
  const parts = new Set<unknown>()
  walk(node, (tree, key) => {
    if (key !== 'CommonTableExpr' || used.has(tree.ctename as string | undefined)) return
    const query = (tree as NonNullable<AnyNode['CommonTableExpr']>).ctequery as AnyNode | undefined
    if (query?.SelectStmt === undefined) return
    walk(query, (inner) => {
      parts.add(inner)
    })
  })
  return parts
}
