/**
 * Which queries the shards answer by themselves: the answers over each shard's own rows, put together, are the answer.
 *
 * The rule: each row of FROM comes from rows of one bucket. One distributed table (or a subquery of which this rule holds) is the
 * *root*; every other member is tied to the root's key, so what a row needs is where the row is. What looks at several rows at a
 * time (groups, DISTINCT, windows, UNION) must keep rows of different keys apart, for then it looks at rows of one bucket.
 */
import type { AnyNode, JoinExpr, RangeVar, SelectStmt } from '../sql/ast.ts'
import { walk } from '../sql/ast.ts'
import { keepsApart, ownAggregates, walkLevel } from './query-shape.ts'
import { resolveColumn } from './query-scope.ts'
import type { NameContext } from './resolve.ts'
import type { Member, Ties } from './ties.ts'
import { tiedTo } from './ties.ts'

export interface Partition {
  /** Tied to these, a member's rows are where the row of the answer is; one for each arm of a UNION. */
  readonly root: ReadonlySet<Member>
  /** Members that every row has, not filled up with NULLs by an outer join. */
  readonly preserved: ReadonlySet<Member>
}

/** A whole query, order aside. `outermost`: what stands at its end (LIMIT, FOR UPDATE) is the caller's to look at. */
export function partitionOf(select: SelectStmt, ties: Ties, context: NameContext, outermost = false): Partition | undefined {
  if (!outermost && (select.limitCount !== undefined || select.limitOffset !== undefined || select.lockingClause !== undefined)) return undefined
  if (select.valuesLists !== undefined || select.intoClause !== undefined) return undefined
  if (select.withClause !== undefined && membersIn(select.withClause, ties).length > 0) return undefined
  if (select.larg !== undefined && select.rarg !== undefined) return partitionOfArms(select, select.larg, select.rarg, ties, context)
  const query = ties.queries.get(select)
  const partition = partitionOfRows(select, query?.members ?? [], ties, context)
  if (query === undefined || partition === undefined || hasForeignAggregates(select, ties, context)) return undefined
  const inOneBucket = (keys: readonly Member[]) => keys.every((member) => partition.preserved.has(member))
  return keepsApart(select, query.scope, context, inOneBucket) ? partition : undefined
}

function partitionOfArms(select: SelectStmt, left: SelectStmt, right: SelectStmt, ties: Ties, context: NameContext): Partition | undefined {
  // An arm's own ORDER BY without LIMIT decides nothing.
  const [one, other] = [partitionOf(left, ties, context), partitionOf(right, ties, context)]
  if (one === undefined || other === undefined) return undefined
  const preserved = new Set([...one.preserved, ...other.preserved])
  const groups = new Set([...one.root, ...other.root].map((member) => member.relation.table?.group))
  if (select.op !== 'SETOP_UNION' || select.all !== true) {
    // Equal rows meet only when they hold the key, and are in one place only when the tables are of one group.
    const columns = ties.queries.get(select)?.columns
    const apart = columns?.some((column) => column.keys.length > 0 && column.keys.every((member) => preserved.has(member)))
    if (apart !== true || groups.size > 1) return undefined
  }
  return { root: new Set([...one.root, ...other.root]), preserved }
}

/** The rows of FROM and WHERE alone; `members` are all those that take part in what is made of them. */
export function partitionOfRows(select: SelectStmt, members: readonly Member[], ties: Ties, context: NameContext): Partition | undefined {
  const from = new FromReader(ties, context)
  for (const item of select.fromClause ?? []) from.visit(item as AnyNode)
  if (!from.ok) return undefined
  const root = from.roots.find((one) => tiedTo(members, one).size === members.length)
  return root === undefined ? undefined : { root, preserved: new Set([...from.preserved].filter((member) => members.includes(member))) }
}

export function membersIn(value: unknown, ties: Ties): Member[] {
  const rangeVars = new Set<unknown>()
  walk(value, (tree) => {
    rangeVars.add(tree)
  })
  return ties.members.filter((member) => rangeVars.has(member.rangeVar))
}

/** Reads FROM: which items' rows differ from shard to shard, and whether some row of FROM may come from no shard's rows alone. */
class FromReader {
  ok = true
  /** The roots that there may be. */
  roots: ReadonlySet<Member>[] = []
  preserved = new Set<Member>()
  private readonly ties: Ties
  private readonly context: NameContext

  constructor(ties: Ties, context: NameContext) {
    this.ties = ties
    this.context = context
  }

  /** True when the item's rows differ from shard to shard. */
  visit(node: AnyNode): boolean {
    if (node.RangeVar !== undefined) {
      const member = this.ties.members.find((one) => one.rangeVar === (node.RangeVar as RangeVar))
      if (member === undefined) return false
      this.roots.push(new Set([member]))
      this.preserved.add(member)
      return true
    }
    if (node.JoinExpr !== undefined) return this.join(node.JoinExpr as JoinExpr)
    const select = (node.RangeSubselect?.subquery as AnyNode | undefined)?.SelectStmt as SelectStmt | undefined
    if (select !== undefined && membersIn(select, this.ties).length > 0) {
      // Of a subquery with ORDER BY people expect the order; of a lateral one all members may be tied from outside.
      const partition = select.sortClause === undefined && node.RangeSubselect?.lateral !== true ? partitionOf(select, this.ties, this.context) : undefined
      if (partition === undefined) return false
      this.roots.push(partition.root)
      for (const member of partition.preserved) this.preserved.add(member)
      return true
    }
    // Functions and reference tables give the same rows everywhere.
    if (membersIn(node, this.ties).length > 0) this.ok = false
    return false
  }

  private join(join: JoinExpr): boolean {
    // (a JOIN b) AS j: what is named outside is not known here.
    if (join.alias !== undefined) this.ok = false
    const before = this.state()
    const left = this.visit(join.larg as AnyNode)
    const afterLeft = this.state()
    const right = this.visit(join.rarg as AnyNode)
    if (join.jointype === 'JOIN_INNER') return left || right
    if (join.jointype === 'JOIN_LEFT') {
      if (right && !left) this.ok = false
      this.restore(afterLeft)
      return left
    }
    if (join.jointype === 'JOIN_RIGHT') {
      if (left && !right) this.ok = false
      const rightOnly = this.state()
      this.roots = [...before.roots, ...rightOnly.roots.slice(afterLeft.roots.length)]
      this.preserved = new Set([...rightOnly.preserved].filter((member) => before.preserved.has(member) || !afterLeft.preserved.has(member)))
      return right
    }
    if (left || right) this.ok = false
    return left || right
  }

  private state(): { roots: ReadonlySet<Member>[]; preserved: Set<Member> } {
    return { roots: [...this.roots], preserved: new Set(this.preserved) }
  }

  private restore(state: { roots: ReadonlySet<Member>[]; preserved: Set<Member> }): void {
    this.roots = state.roots
    this.preserved = state.preserved
  }
}

/**
 * True when an aggregate in a subquery may be one of a query around it: that is so when its arguments name only columns from
 * further out, so it must name one that is surely the subquery's own, or none at all.
 */
export function hasForeignAggregates(select: SelectStmt, ties: Ties, context: NameContext): boolean {
  let foreign = false
  walk(select, (tree) => {
    const query = ties.queries.get(tree as SelectStmt)
    if (query === undefined || tree === select) return
    for (const call of ownAggregates(tree as SelectStmt, context)) {
      let references = 0
      let own = 0
      walkLevel(call, (inner, key) => {
        if (key !== 'ColumnRef') return
        references++
        const found = resolveColumn({ ColumnRef: inner } as AnyNode, query.scope)
        if (found?.scope === query.scope) own++
      })
      if (references > 0 && own === 0) foreign = true
    }
  })
  return foreign
}
