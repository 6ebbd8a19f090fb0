/**
 * Finds the parts of a statement that shards can answer, from the outside in, and puts temporary tables with their rows in their
 * place. What remains runs on the catalog; tables that are still named in it are brought whole (plan-gather.ts).
 */
import type { AnyNode, SelectStmt } from '../sql/ast.ts'
import { walk } from '../sql/ast.ts'
import { parseOne } from '../sql/parse.ts'
import type { Statement } from '../sql/parse.ts'
import { mapTree, renderStatement } from '../sql/render.ts'
import { SourceText } from '../sql/source-text.ts'
import type { StatementFacts } from './facts.ts'
import { statementFacts } from './facts.ts'
import { membersIn } from './partition.ts'
import type { QueryFetch } from './plan.ts'
import { markersOf, placesOf, safeEverywhere } from './plan-select.ts'
import type { NameContext } from './resolve.ts'
import { scatterText } from './rewrite.ts'
import type { SplitQuery } from './split-query.ts'
import { isClosed, splitQuery } from './split-query.ts'
import type { Ties } from './ties.ts'
import { findTies } from './ties.ts'
import { neverRun } from './unused-ctes.ts'

export interface PushedDown {
  readonly statement: Statement
  readonly facts: StatementFacts
  readonly queries: readonly QueryFetch[]
}

const rules: Readonly<Record<SplitQuery['way'], string>> = {
  groups: 'groups are put together from their parts',
  rows: 'the first rows of all are among the first of each shard',
  columns: 'each joined row comes from one bucket',
}

/** Undefined when nothing can be pushed down. */
export function pushDown(statement: Statement, facts: StatementFacts, context: NameContext): PushedDown | undefined {
  const ties = findTies(statement.node, context)
  const pusher = new Pusher(ties, neverRun(statement.node, ties), context)
  const node = pusher.visit(statement.node)
  if (pusher.queries.length === 0) return undefined
  const text = renderStatement(node)
  if (text === undefined) return undefined
  const rest = { source: new SourceText(text), node: parseOne(text) }
  return { statement: rest, facts: { ...statementFacts(rest.node, context), shardFacts: facts.shardFacts }, queries: pusher.queries }
}

class Pusher {
  readonly queries: QueryFetch[] = []
  private readonly ties: Ties
  private readonly neverRun: ReadonlySet<unknown>
  private readonly context: NameContext

  constructor(ties: Ties, never: ReadonlySet<unknown>, context: NameContext) {
    this.ties = ties
    this.neverRun = never
    this.context = context
  }

  visit(node: AnyNode): AnyNode {
    const change = (tree: AnyNode, key: string): unknown => {
      const select = tree as SelectStmt
      const query = this.ties.queries.get(select)
      if (this.neverRun.has(select)) return undefined
      if (query === undefined || query.members.length === 0) return undefined
      if (query.scope.outer !== undefined && !isClosed({ SelectStmt: select }, this.ties)) return undefined
      const rest = this.split(select, key === 'larg' || key === 'rarg')
      return rest === undefined ? undefined : mapTree(rest, change)
    }
    return mapTree(node, change)
  }

  /** `isArm`: a column's type may be settled by the other side of a UNION. */
  private split(select: SelectStmt, isArm: boolean): SelectStmt | undefined {
    const temporary = `pgherd_gq${this.queries.length + 1}`
    const split = splitQuery(select, temporary, this.ties, this.context, isArm)
    if (split === undefined || this.usesCte(split.fragment)) return undefined
    const text = renderStatement({ SelectStmt: split.fragment } as AnyNode)
    if (text === undefined) return undefined
    const fragment = { source: new SourceText(text), node: parseOne(text) }
    const facts = statementFacts(fragment.node, this.context)
    const distributed = facts.tables.filter((use) => use.relation.table?.kind === 'distributed').length
    if (!safeEverywhere(facts) || facts.systemColumns.length > 0 || facts.modifyingCte || facts.tableFunctions.length > 0) return undefined
    if (distributed !== membersIn(split.fragment, this.ties).length || facts.tables.some((use) => use.relation.table?.kind === 'single')) return undefined
    this.queries.push({
      temporary,
      rule: split.way === 'rows' && split.fragment.limitCount === undefined ? 'each row comes from one bucket' : rules[split.way],
      query: scatterText(fragment, facts),
      columns: split.columns,
      parameters: [...facts.parameters],
      ...placesOf([...split.partition.root], this.context),
      markers: markersOf(facts),
    })
    return split.rest
  }

  private usesCte(tree: unknown): boolean {
    let uses = false
    walk(tree, (inner) => {
      if ((this.ties.cteUses as ReadonlySet<unknown>).has(inner)) uses = true
    })
    return uses
  }
}
