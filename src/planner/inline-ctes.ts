/**
 * WITH queries that are used once go where they are used, as PostgreSQL itself does it: a subquery in FROM can be pushed down
 * together with what is around it. (MATERIALIZED asks for another plan, never for other rows.)
 */
import type { AnyNode, RangeVar, SelectStmt, WithClause } from '../sql/ast.ts'
import { walk } from '../sql/ast.ts'
import { parseOne } from '../sql/parse.ts'
import type { Statement } from '../sql/parse.ts'
import { mapTree, renderStatement } from '../sql/render.ts'
import { SourceText } from '../sql/source-text.ts'
import type { StatementFacts } from './facts.ts'
import { statementFacts } from './facts.ts'
import type { NameContext } from './resolve.ts'
import { findTies } from './ties.ts'

type Cte = NonNullable<AnyNode['CommonTableExpr']>

interface Inlining {
  readonly clause: WithClause
  readonly cte: Cte
  readonly use: RangeVar
}

export function inlineCtes(statement: Statement, facts: StatementFacts, context: NameContext): Statement {
  if (facts.modifyingCte || facts.locking || !hasWith(statement.node)) return statement
  let node = statement.node
  for (let next = findInlining(node, context); next !== undefined; next = findInlining(node, context)) node = inline(node, next)
  const text = node === statement.node ? undefined : renderStatement(node)
  return text === undefined ? statement : { source: new SourceText(text), node: parseOne(text) }
}

function hasWith(node: AnyNode): boolean {
  let found = false
  walk(node, (tree) => {
    if (tree.withClause !== undefined) found = true
    return !found
  })
  return found
}

function findInlining(node: AnyNode, context: NameContext): Inlining | undefined {
  const clauses: WithClause[] = []
  walk(node, (tree, key) => {
    if (key === 'withClause') clauses.push(tree as WithClause)
  })
  const ctesOf = (clause: WithClause) => (clause.ctes ?? []).flatMap((one) => (one as AnyNode).CommonTableExpr ?? [])
  const definitions = clauses.flatMap(ctesOf)
  const { cteUses, closedCtes } = findTies(node, context)
  const timesDefined = (name: string | undefined) => definitions.filter((other) => other.ctename === name).length
  // Names must mean where it is used what they mean where it stands. What is not used stays: PostgreSQL still reads it.
  const keepsNames = (cte: Cte) => unqualifiedRelations(cte).every((name) => timesDefined(name.relname) === (cteUses.has(name) ? 1 : 0))
  for (const clause of clauses) {
    if (clause.recursive === true) continue
    for (const cte of ctesOf(clause)) {
      const [use, ...more] = [...cteUses].filter((one) => one.relname === cte.ctename)
      const isOnly = use !== undefined && more.length === 0 && timesDefined(cte.ctename) === 1
      if (isOnly && closedCtes.has(cte) && keepsNames(cte) && isPure(cte, context)) return { clause, cte, use }
    }
  }
  return undefined
}

function unqualifiedRelations(cte: Cte): RangeVar[] {
  const found: RangeVar[] = []
  walk(cte.ctequery, (tree) => {
    if (typeof tree.relname === 'string' && typeof tree.relpersistence === 'string' && tree.schemaname === undefined) found.push(tree as RangeVar)
  })
  return found
}

/** True when it does not matter how often the query runs. */
function isPure(cte: Cte, context: NameContext): boolean {
  const query = cte.ctequery as AnyNode | undefined
  if (query?.SelectStmt === undefined || cte.search_clause !== undefined || cte.cycle_clause !== undefined) return false
  const facts = statementFacts(query, context)
  return facts.volatile.length === 0 && facts.catalogOnly.length === 0
}

function inline(node: AnyNode, { clause, cte, use }: Inlining): AnyNode {
  const ctes = (clause.ctes ?? []).filter((one) => (one as AnyNode).CommonTableExpr !== cte)
  const change = (tree: AnyNode): unknown => {
    if ((tree as SelectStmt).withClause === clause) {
      const { withClause: _gone, ...rest } = tree as SelectStmt
      return mapTree(ctes.length === 0 ? rest : { ...rest, withClause: { ...clause, ctes } }, change)
    }
    if (tree.RangeVar !== use) return undefined
    const given = use.alias?.colnames ?? []
    const colnames = [...given, ...(cte.aliascolnames ?? []).slice(given.length)]
    const alias = { aliasname: use.alias?.aliasname ?? use.relname ?? '', ...(colnames.length === 0 ? {} : { colnames }) }
    return { RangeSubselect: { subquery: cte.ctequery, alias } }
  }
  return mapTree(node, change)
}
