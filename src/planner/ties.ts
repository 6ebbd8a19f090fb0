/**
 * Which distributed tables of a statement are tied to the same key.
 *
 * Words: a *member* is one appearance of a distributed table. A member is *tied* to a key when only its rows with that key
 * can matter to the answer. Ties come from conditions that every row of the member must pass: `m.key = constant`, or
 * `m.key = other.key` where the other member is tied. Which conditions those are:
 * - WHERE and the ON of inner joins bind every member of their query level;
 * - the ON of an outer join binds the members on its nullable side alone, by members of either side;
 * - a subquery's conditions may name members of the levels around it, and bind only the subquery's own;
 * - a condition on a column of a subquery in FROM binds the member below, where output-columns.ts says that the column is its key;
 * - `key IN (SELECT other.key ...)` in a condition ties as `key = other.key` does.
 *
 * Everything else is not understood, and leaves a member untied: that costs speed, never rows.
 */
import type { Relation } from '../catalog/snapshot.ts'
import type { A_Expr, AnyNode, JoinExpr, RangeVar, SelectStmt, SubLink } from '../sql/ast.ts'
import { isTree, names, walk } from '../sql/ast.ts'
import { keySource } from './key-source.ts'
import type { KeySource } from './plan.ts'
import { typeOfColumn } from './number-type.ts'
import { outputColumns } from './output-columns.ts'
import type { FoundColumn, Scope, ScopeColumn, ScopeItem } from './query-scope.ts'
import { resolveColumn } from './query-scope.ts'
import type { NameContext } from './resolve.ts'
import { resolveName } from './resolve.ts'

export interface Member {
  readonly rangeVar: RangeVar
  readonly relation: Relation
  readonly alias: string
  /** Keys that the member is restricted to by constants (one: tied; several: an IN list). */
  readonly constants: (readonly KeySource[])[]
  /** By whose keys this one is tied: by those of all members of one of the lists (the arms of a set operation). */
  readonly by: (readonly Member[])[]
}

/** What is known of one SELECT of the statement. */
export interface QueryTies {
  readonly scope: Scope
  /** All members in it, those of its subqueries too. */
  readonly members: readonly Member[]
  /** Undefined where they can't be told. */
  readonly columns: readonly ScopeColumn[] | undefined
}

export interface Ties {
  readonly members: readonly Member[]
  readonly queries: ReadonlyMap<SelectStmt, QueryTies>
  /** Names that mean a WITH query. */
  readonly cteUses: ReadonlySet<RangeVar>
  /** WITH queries that can't name columns of a query around them. */
  readonly closedCtes: ReadonlySet<unknown>
}

export function findTies(node: AnyNode, context: NameContext): Ties {
  const finder = new TieFinder(context)
  finder.statement(node, undefined, new Set())
  return finder
}

/** The members that are tied when `roots` are: the closure over `by`. */
export function tiedTo(members: readonly Member[], roots: ReadonlySet<Member>): Set<Member> {
  const tied = new Set(roots)
  for (let grew = true; grew; ) {
    grew = false
    for (const member of members) {
      const isTied = (other: Member) => tied.has(other) && other.relation.table?.group === member.relation.table?.group
      if (tied.has(member) || !member.by.some((arms) => arms.every(isTied))) continue
      tied.add(member)
      grew = true
    }
  }
  return tied
}

/** The one key that ties every member, if there is one. */
export function commonKey(members: readonly Member[]): KeySource | undefined {
  for (const member of members) {
    const single = member.constants.find((list) => list.length === 1)?.[0]
    if (single === undefined) continue
    const same = new Set(members.filter((other) => other.constants.some((list) => list.length === 1 && sameKey(list[0], single))))
    const sameGroup = [...same].every((other) => other.relation.table?.group === member.relation.table?.group)
    if (sameGroup && tiedTo(members, same).size === members.length) return single
  }
  return undefined
}

export function sameKey(a: KeySource | undefined, b: KeySource): boolean {
  return a !== undefined && JSON.stringify(a) === JSON.stringify(b)
}

class TieFinder implements Ties {
  readonly members: Member[] = []
  readonly queries = new Map<SelectStmt, QueryTies>()
  readonly cteUses = new Set<RangeVar>()
  readonly closedCtes = new Set<unknown>()
  private readonly context: NameContext

  constructor(context: NameContext) {
    this.context = context
  }

  statement(node: AnyNode, outer: Scope | undefined, ctes: ReadonlySet<string>): void {
    if (node.SelectStmt !== undefined) return this.select(node.SelectStmt as SelectStmt, outer, ctes)
    const statement = node.UpdateStmt ?? node.DeleteStmt
    if (statement === undefined) return this.expressions(node, outer, ctes)
    const visible = this.withClause(statement.withClause, outer, ctes)
    const scope: Scope = { items: [], outer, merges: false }
    if (statement.relation !== undefined) this.rangeVar(statement.relation, scope, visible)
    const from = ('fromClause' in statement ? statement.fromClause : 'usingClause' in statement ? statement.usingClause : undefined) ?? []
    for (const item of from) this.fromItem(item as AnyNode, scope, visible)
    const { relation: _target, withClause: _with, ...rest } = statement as unknown as Record<string, unknown>
    this.expressions({ ...rest, fromClause: undefined, usingClause: undefined }, scope, visible)
    for (const condition of conjuncts(statement.whereClause as AnyNode | undefined)) this.condition(condition, scope, undefined)
  }

  /** Each query of a WITH sees those before it; all of them, if RECURSIVE. */
  private withClause(clause: SelectStmt['withClause'], outer: Scope | undefined, ctes: ReadonlySet<string>): ReadonlySet<string> {
    const list = (clause?.ctes ?? []).map((node) => (node as AnyNode).CommonTableExpr)
    const visible = new Set(ctes)
    if (clause?.recursive === true) for (const cte of list) visible.add(cte?.ctename ?? '')
    for (const cte of list) {
      if (outer === undefined) this.closedCtes.add(cte)
      if (cte?.ctequery !== undefined) this.statement(cte.ctequery as AnyNode, outer, new Set(visible))
      visible.add(cte?.ctename ?? '')
    }
    return visible
  }

  private select(select: SelectStmt, outer: Scope | undefined, ctes: ReadonlySet<string>): void {
    const before = this.members.length
    const visible = this.withClause(select.withClause, outer, ctes)
    if (select.larg !== undefined && select.rarg !== undefined) {
      this.select(select.larg, outer, visible)
      this.select(select.rarg, outer, visible)
    }
    const scope: Scope = { items: [], outer, merges: false }
    for (const item of select.fromClause ?? []) this.fromItem(item as AnyNode, scope, visible)
    const { larg: _l, rarg: _r, withClause: _w, fromClause: _f, ...rest } = select as unknown as Record<string, unknown>
    this.expressions(rest, scope, visible)
    for (const condition of conjuncts(select.whereClause as AnyNode | undefined)) this.condition(condition, scope, undefined)
    this.queries.set(select, { scope, members: this.members.slice(before), columns: outputColumns(select, scope, this.queries, this.context) })
  }

  /** Subqueries anywhere in expressions are levels of their own. */
  private expressions(value: unknown, scope: Scope | undefined, ctes: ReadonlySet<string>): void {
    walk(value, (tree) => {
      if (!isTree(tree.SelectStmt)) return true
      this.select(tree.SelectStmt as SelectStmt, scope, ctes)
      return false
    })
  }

  /** Gives the members below this FROM item. */
  private fromItem(node: AnyNode, scope: Scope, ctes: ReadonlySet<string>): Member[] {
    if (node.RangeVar !== undefined) return this.rangeVar(node.RangeVar as RangeVar, scope, ctes)
    if (node.JoinExpr !== undefined) return this.join(node.JoinExpr as JoinExpr, scope, ctes)
    if (node.RangeTableSample !== undefined) return this.fromItem(node.RangeTableSample.relation as AnyNode, scope, ctes)
    const { aliasname: alias = '', colnames } = (node.RangeSubselect?.alias ?? node.RangeFunction?.alias) ?? {}
    const before = this.members.length
    // Only LATERAL lets a subquery see its siblings; functions always do.
    const isLateral = node.RangeSubselect === undefined || node.RangeSubselect.lateral === true
    this.expressions(node, isLateral ? scope : scope.outer, ctes)
    const query = (node.RangeSubselect?.subquery as AnyNode | undefined)?.SelectStmt as SelectStmt | undefined
    const columns = query === undefined ? undefined : this.queries.get(query)?.columns
    scope.items.push({ alias, columns: renamed(columns, colnames as AnyNode[] | undefined) })
    return this.members.slice(before)
  }

  private rangeVar(rangeVar: RangeVar, scope: Scope, ctes: ReadonlySet<string>): Member[] {
    const { schemaname, relname = '' } = rangeVar
    const alias = rangeVar.alias?.aliasname ?? relname
    const isCte = schemaname === undefined && ctes.has(relname)
    if (isCte) this.cteUses.add(rangeVar)
    const resolved = isCte ? undefined : resolveName(this.context, schemaname, relname)
    const relation = resolved?.kind === 'relation' ? resolved.relation : undefined
    const member: Member | undefined = relation?.table?.kind === 'distributed' ? { rangeVar, relation, alias, constants: [], by: [] } : undefined
    if (member !== undefined) this.members.push(member)
    const columns = relation?.columns.map((column): ScopeColumn => {
      const keys = member !== undefined && column.name === relation.table?.keyColumn ? [member] : []
      return { name: column.name, keys, origin: { relation, column }, type: typeOfColumn(column) }
    })
    scope.items.push({ alias, columns: renamed(columns, rangeVar.alias?.colnames as AnyNode[] | undefined) })
    return member === undefined ? [] : [member]
  }

  private join(join: JoinExpr, scope: Scope, ctes: ReadonlySet<string>): Member[] {
    const leftStart = scope.items.length
    const left = this.fromItem(join.larg as AnyNode, scope, ctes)
    const rightStart = scope.items.length
    const right = this.fromItem(join.rarg as AnyNode, scope, ctes)
    const rightEnd = scope.items.length
    const bound =
      join.jointype === 'JOIN_INNER' ? [...left, ...right] : join.jointype === 'JOIN_LEFT' ? right : join.jointype === 'JOIN_RIGHT' ? left : []
    // ON sees the two sides of its own join, then the levels around.
    const sides: Scope = { items: scope.items.slice(leftStart, rightEnd), outer: scope.outer, merges: false }
    this.expressions(join.quals, sides, ctes)
    for (const condition of conjuncts(join.quals as AnyNode | undefined)) this.condition(condition, sides, new Set(bound))
    if (join.isNatural === true || join.usingClause !== undefined) scope.merges = true
    for (const column of names(join.usingClause as AnyNode[] | undefined)) {
      const one = keysByName(scope.items.slice(leftStart, rightStart), column)
      const other = keysByName(scope.items.slice(rightStart, rightEnd), column)
      if (!this.context.snapshot.ownEquality) link(one, other, new Set(bound))
    }
    if (join.alias !== undefined) {
      // (a JOIN b) AS j: a and b can't be named outside, and j's columns are not known here.
      scope.items.splice(leftStart, rightEnd - leftStart, { alias: join.alias.aliasname ?? '', columns: undefined })
    }
    return [...left, ...right]
  }

  /** `bound`: the members that the condition may bind; undefined for all of this level. */
  private condition(node: AnyNode, scope: Scope, bound: ReadonlySet<Member> | undefined): void {
    if (this.context.snapshot.ownEquality) return
    if (node.SubLink !== undefined) return this.inSubquery(node.SubLink as SubLink, scope, bound)
    const expression = node.A_Expr as A_Expr | undefined
    if (expression === undefined || names(expression.name as AnyNode[]).join('.') !== '=') return
    const binds = (found: FoundColumn | undefined): readonly Member[] => bindable(found, scope, bound)
    const left = resolveColumn(expression.lexpr as AnyNode | undefined, scope)
    if (expression.kind === 'AEXPR_IN') {
      const items = ((expression.rexpr as AnyNode | undefined)?.List?.items ?? []) as AnyNode[]
      this.restrict(binds(left), items)
      return
    }
    if (expression.kind !== 'AEXPR_OP') return
    const right = resolveColumn(expression.rexpr as AnyNode | undefined, scope)
    const [ofLeft, ofRight] = [left?.column.keys ?? [], right?.column.keys ?? []]
    if (ofLeft.length > 0 && ofRight.length > 0) {
      if (ofLeft[0] === ofRight[0]) return
      link(ofLeft, ofRight, new Set([...binds(left), ...binds(right)]))
    } else if (ofLeft.length > 0) this.restrict(binds(left), [expression.rexpr as AnyNode])
    else if (ofRight.length > 0) this.restrict(binds(right), [expression.lexpr as AnyNode])
  }

  /** The members' keys are among these values, if they are constants. */
  private restrict(members: readonly Member[], values: readonly (AnyNode | undefined)[]): void {
    for (const member of members) {
      const sources = values.map((value) => (value === undefined ? undefined : keySource(value, member.relation.table?.keyType, this.context)))
      if (sources.every((source) => source !== undefined)) member.constants.push(sources)
    }
  }

  /** In a condition IN is true or not, so a subquery's row matters only to a row with its key. */
  private inSubquery(subLink: SubLink, scope: Scope, bound: ReadonlySet<Member> | undefined): void {
    const operator = names(subLink.operName as AnyNode[] | undefined).join('.')
    if (subLink.subLinkType !== 'ANY_SUBLINK' || (operator !== '' && operator !== '=')) return
    const query = (subLink.subselect as AnyNode | undefined)?.SelectStmt as SelectStmt | undefined
    const columns = query === undefined ? undefined : this.queries.get(query)?.columns
    const outer = resolveColumn(subLink.testexpr as AnyNode | undefined, scope)
    const inner = columns?.length === 1 ? (columns[0]?.keys ?? []) : []
    link(outer?.column.keys ?? [], inner, new Set([...inner, ...bindable(outer, scope, bound)]))
  }
}

/** The members that a condition here may bind when it names this column. */
function bindable(found: FoundColumn | undefined, scope: Scope, bound: ReadonlySet<Member> | undefined): readonly Member[] {
  if (found === undefined || found.scope !== scope) return []
  return bound === undefined || found.column.keys.every((member) => bound.has(member)) ? found.column.keys : []
}

/** A column that only one of the items has, or may have. */
function keysByName(items: readonly ScopeItem[], name: string): readonly Member[] {
  const having = items.filter((item) => item.columns === undefined || item.columns.some((column) => column.name === name))
  return having.length === 1 ? (having[0]?.columns?.find((column) => column.name === name)?.keys ?? []) : []
}

/** Equal keys: each side that is bound is tied by the other. */
function link(one: readonly Member[], other: readonly Member[], bound: ReadonlySet<Member>): void {
  if (one.length === 0 || other.length === 0) return
  for (const member of one) if (bound.has(member)) member.by.push(other)
  for (const member of other) if (bound.has(member)) member.by.push(one)
}

function renamed(columns: readonly ScopeColumn[] | undefined, list: readonly AnyNode[] | undefined): readonly ScopeColumn[] | undefined {
  if (list === undefined) return columns
  return columns?.map((column, i) => ({ ...column, name: list[i]?.String?.sval ?? column.name }))
}

export function conjuncts(node: AnyNode | undefined): AnyNode[] {
  if (node === undefined) return []
  if (node.BoolExpr?.boolop !== 'AND_EXPR') return [node]
  return (node.BoolExpr.args ?? []).flatMap((arg) => conjuncts(arg as AnyNode))
}
