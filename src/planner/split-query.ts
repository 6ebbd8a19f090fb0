/**
 * A SELECT in two: a *fragment* that every shard answers for its own rows, and the *rest*, which PostgreSQL runs on the catalog over
 * the fragments' rows. The rest of each is a SELECT from one temporary table with columns c1, c2, ... Three ways, each with its rule:
 *
 * - *groups*: shards group their rows and compute partial aggregates; the rest groups the parts again by the same values
 *   (partial-aggregates.ts). Every aggregate must be one that splits.
 * - *rows*: the query without its DISTINCT, ORDER BY and LIMIT is answered by shards alone (partition.ts). Each shard drops its own
 *   duplicates and sends its first rows only: a row among the first n of all is among the first n of its shard.
 * - *columns*: shards join and filter, and send the columns that the rest names. All that looks at several rows stays in the rest.
 */
import type { AnyNode, FuncCall, SelectStmt } from '../sql/ast.ts'
import { contains, names } from '../sql/ast.ts'
import { expressionOf, mapTree, meaning } from '../sql/render.ts'
import { columnName } from './column-name.ts'
import { splitAggregate } from './partial-aggregates.ts'
import type { Partition } from './partition.ts'
import { membersIn, partitionOf, partitionOfRows } from './partition.ts'
import type { Scope } from './query-scope.ts'
import { isStar, resolveColumn, targetColumns } from './query-scope.ts'
import { distinctOn, groupExpression, groupExpressions, isAggregateCall, isGrouped } from './query-shape.ts'
import { mayBeRecord } from './record-types.ts'
import { pushedLimit } from './pushed-limit.ts'
import type { NameContext } from './resolve.ts'
import type { Ties } from './ties.ts'

export interface SplitQuery {
  readonly way: 'groups' | 'rows' | 'columns'
  readonly partition: Partition
  readonly fragment: SelectStmt
  /** The table's columns: c1, c2, ... with the user's column that each is a copy of. */
  readonly columns: readonly { readonly tableOid: number; readonly number: number }[]
  readonly rest: SelectStmt
}

export function splitQuery(select: SelectStmt, temporary: string, ties: Ties, context: NameContext, isArm: boolean): SplitQuery | undefined {
  const query = ties.queries.get(select)
  if (query === undefined || select.fromClause === undefined || select.op !== 'SETOP_NONE' || select.lockingClause !== undefined) return undefined
  if (select.intoClause !== undefined || select.withClause !== undefined) return undefined
  const splitter = new Splitter(select, query.scope, temporary, ties, context)
  return splitter.rows(isArm) ?? (isGrouped(select, context) ? splitter.groups() : undefined) ?? splitter.byColumns()
}

/** The columns of the temporary table, made as they are asked for. */
class Columns {
  readonly targets: { readonly key: string; readonly value: AnyNode }[] = []
  private readonly temporary: string
  private readonly keyOf: (value: AnyNode) => string

  constructor(temporary: string, keyOf: (value: AnyNode) => string) {
    this.temporary = temporary
    this.keyOf = keyOf
  }

  /** The number of the column with this value, from one. */
  number(value: AnyNode): number {
    const key = this.keyOf(value)
    const known = this.targets.findIndex((target) => target.key === key)
    return known >= 0 ? known + 1 : this.targets.push({ key, value })
  }

  name(number: number): string {
    return `${this.temporary}.c${number}`
  }

  reference(value: AnyNode): AnyNode {
    return expressionOf(this.name(this.number(value)))
  }
}

/** A string, NULL or parameter without a cast takes its type from what is around it. */
function hasOpenType(value: AnyNode): boolean {
  return value.ParamRef !== undefined || value.A_Const?.sval !== undefined || value.A_Const?.isnull === true
}

/** Thrown inside when a way does not apply. */
const notThisWay = Symbol('this way does not apply')

class Splitter {
  private readonly select: SelectStmt
  private readonly scope: Scope
  private readonly temporary: string
  private readonly ties: Ties
  private readonly context: NameContext

  constructor(select: SelectStmt, scope: Scope, temporary: string, ties: Ties, context: NameContext) {
    this.select = select
    this.scope = scope
    this.temporary = temporary
    this.ties = ties
    this.context = context
  }

  rows(isArm: boolean): SplitQuery | undefined {
    return this.attempt(() => {
      const { select } = this
      const { distinctClause, sortClause, limitCount, limitOffset, ...bare } = select
      const plain = { ...bare } as SelectStmt
      this.knowAs(plain, select)
      const partition = partitionOf(plain, this.ties, this.context) ?? fail()
      const targets = targetColumns(select, this.scope) ?? fail()
      // As a column of a table it would be of type text, where the other arm may say otherwise.
      if (isArm && targets.some(({ value }) => hasOpenType(value))) fail()
      const groups = select.groupClause === undefined ? undefined : (groupExpressions(select, this.scope) ?? fail())
      // What stands alone as a number would be the number of a column.
      if (groups?.some((value) => value.A_Const !== undefined)) fail()
      const columns = this.columns()
      // Each column of the answer has one of the table's; ORDER BY may ask for more.
      for (const { value } of targets) columns.targets.push({ key: this.keyOf(value), value })
      const place = (node: AnyNode) => this.sortColumn(node, targets, columns)
      const sort = ((sortClause ?? []) as AnyNode[]).map((item) => ({ item, number: place(item.SortBy?.node as AnyNode) }))
      const on = distinctOn(select).map(place)
      if (distinctClause !== undefined && on.length === 0 && columns.targets.length > targets.length) fail()
      const sorted = (of: (number: number) => AnyNode) => sort.map(({ item, number }) => ({ SortBy: { ...item.SortBy, node: of(number) } }))
      const distinct = (of: (number: number) => AnyNode) => (on.length === 0 ? distinctClause : on.map(of))
      const ordinal = (number: number) => expressionOf(String(number))
      const reference = (number: number) => expressionOf(columns.name(number))
      if (contains([limitCount, limitOffset], 'SubLink')) fail()
      const limit = pushedLimit(select)
      const needsOrder = limit !== undefined || on.length > 0
      const fragment = {
        ...bare,
        targetList: targetList(columns),
        ...(groups === undefined ? {} : { groupClause: groups }),
        ...(distinctClause === undefined ? {} : { distinctClause: distinct(ordinal) }),
        ...(needsOrder && sort.length > 0 ? { sortClause: sorted(ordinal) } : {}),
        ...(limit === undefined ? { limitOption: 'LIMIT_OPTION_DEFAULT' } : { limitCount: limit, limitOption: select.limitOption }),
      } as SelectStmt
      const rest = {
        targetList: targets.map(({ name }, i) => target(name, reference(i + 1))),
        fromClause: this.from(),
        ...(distinctClause === undefined ? {} : { distinctClause: distinct(reference) }),
        ...(sort.length === 0 ? {} : { sortClause: sorted(reference) }),
        ...(limitCount === undefined ? {} : { limitCount }),
        ...(limitOffset === undefined ? {} : { limitOffset }),
        limitOption: select.limitOption,
        op: 'SETOP_NONE',
      } as SelectStmt
      return this.done('rows', partition, fragment, columns, rest)
    })
  }

  groups(): SplitQuery | undefined {
    return this.attempt(() => {
      const { select, scope, context } = this
      const columns = this.columns()
      const groupOf = (node: AnyNode): AnyNode => groupExpression(node, select, scope) ?? fail()
      const grouped = new Map<string, AnyNode>()
      const group = (value: AnyNode): AnyNode => {
        groupNumbers.add(columns.number(value))
        return columns.reference(value)
      }
      const groupNumbers = new Set<number>()
      const groupClause = mapGroups((select.groupClause ?? []) as AnyNode[], (node) => {
        const value = groupOf(node)
        if (value.A_Const !== undefined) fail()
        const reference = group(value)
        grouped.set(this.keyOf(value), reference)
        return reference
      })
      const partials = { group, partial: (value: AnyNode) => columns.name(columns.number(value)) }
      const change = (tree: AnyNode): unknown => {
        const [tag = ''] = Object.keys(tree)
        if (!/^[A-Z]/.test(tag)) return undefined
        const known = grouped.get(this.keyOf(tree))
        if (known !== undefined) return known
        if (tree.ColumnRef !== undefined) fail()
        if (tree.FuncCall !== undefined && isAggregateCall(tree.FuncCall as FuncCall, context)) {
          return splitAggregate(tree.FuncCall as FuncCall, partials, scope, context) ?? fail()
        }
        return this.subqueryOrNothing(tree, change)
      }
      const rest = this.rest((node) => mapTree(node, change), groupClause)
      if (columns.targets.length === 0) columns.number(expressionOf('pg_catalog.count(*)'))
      const fragment = {
        targetList: targetList(columns),
        fromClause: select.fromClause,
        ...(select.whereClause === undefined ? {} : { whereClause: select.whereClause }),
        ...(groupNumbers.size === 0 ? {} : { groupClause: [...groupNumbers].map((number) => expressionOf(String(number))) }),
        limitOption: 'LIMIT_OPTION_DEFAULT',
        op: 'SETOP_NONE',
      } as SelectStmt
      return this.done('groups', this.partitionFor(fragment), fragment, columns, rest)
    })
  }

  byColumns(): SplitQuery | undefined {
    return this.attempt(() => {
      const { select, scope, context } = this
      const columns = this.columns()
      const change = (tree: AnyNode): unknown => {
        if (tree.ColumnRef !== undefined) {
          const found = resolveColumn(tree, scope)
          return found?.scope === scope ? columns.reference(tree) : fail()
        }
        return this.subqueryOrNothing(tree, change)
      }
      const groupClause = mapGroups((select.groupClause ?? []) as AnyNode[], (node) => {
        const value = groupExpression(node, select, scope) ?? fail()
        return value.A_Const === undefined ? mapTree(value, change) : fail()
      })
      // GROUP BY of a primary key lets other columns be named, which the temporary table does not know.
      if (isGrouped(select, context) && this.namesUngrouped()) fail()
      const rest = this.rest((node) => mapTree(node, change), groupClause)
      if (columns.targets.length === 0) columns.number(expressionOf('true'))
      const fragment = {
        targetList: targetList(columns),
        fromClause: select.fromClause,
        ...(select.whereClause === undefined ? {} : { whereClause: select.whereClause }),
        limitOption: 'LIMIT_OPTION_DEFAULT',
        op: 'SETOP_NONE',
      } as SelectStmt
      return this.done('columns', this.partitionFor(fragment), fragment, columns, rest)
    })
  }

  private attempt(way: () => SplitQuery): SplitQuery | undefined {
    try {
      return way()
    } catch (reason) {
      if (reason === notThisWay) return undefined
      throw reason
    }
  }

  private columns(): Columns {
    return new Columns(this.temporary, (value) => this.keyOf(value))
  }

  /** Equal for expressions that are the same: a column may be written with its table's name and without. */
  private keyOf(value: AnyNode): string {
    return meaning(
      mapTree(value, (tree) => {
        if (tree.ColumnRef === undefined) return undefined
        const found = resolveColumn(tree, this.scope)
        return found === undefined || found.item.alias === '' ? undefined : { ColumnRef: { fields: [{ String: { sval: found.item.alias } }, { String: { sval: found.column.name } }], depth: depthOf(found.scope) } }
      }),
    )
  }

  /** A copy of the query's tree stands for the query. */
  private knowAs(copy: SelectStmt, original: SelectStmt): void {
    const known = this.ties.queries.get(original)
    if (known !== undefined) (this.ties.queries as Map<SelectStmt, typeof known>).set(copy, known)
  }

  private partitionFor(fragment: SelectStmt): Partition {
    return partitionOfRows(fragment, membersIn(fragment, this.ties), this.ties, this.context) ?? fail()
  }

  /** Subqueries stay as they are; they must not see the tables that are gone. What they are compared with is mapped. */
  private subqueryOrNothing(tree: AnyNode, change: (tree: AnyNode) => unknown): unknown {
    if (tree.SubLink === undefined) return undefined
    const { testexpr, subselect } = tree.SubLink
    if (!isClosed(subselect, this.ties)) fail()
    return testexpr === undefined ? tree : { SubLink: { ...tree.SubLink, testexpr: mapTree(testexpr, change) } }
  }

  /** Everything of the query but FROM and WHERE, over the temporary table; columns keep their names. */
  private rest(map: (node: AnyNode) => AnyNode, groupClause: readonly AnyNode[]): SelectStmt {
    const { select } = this
    const targets = targetColumns(select, this.scope) ?? fail()
    const outputs = new Set(targets.map((one) => one.name))
    const sortItem = (node: AnyNode): AnyNode => {
      const fields = (node.ColumnRef?.fields ?? []) as AnyNode[]
      const isOutput = node.A_Const !== undefined || (fields.length === 1 && outputs.has(names(fields)[0] ?? ''))
      return isOutput ? node : map(node)
    }
    const on = distinctOn(select)
    return {
      ...(select.distinctClause === undefined ? {} : { distinctClause: on.length === 0 ? select.distinctClause : on.map(sortItem) }),
      targetList: targets.map(({ name, value }) => target(name, map(value))),
      fromClause: this.from(),
      ...(groupClause.length === 0 ? {} : { groupClause }),
      ...(select.groupDistinct === undefined ? {} : { groupDistinct: select.groupDistinct }),
      ...(select.havingClause === undefined ? {} : { havingClause: map(select.havingClause as AnyNode) }),
      ...(select.windowClause === undefined ? {} : { windowClause: (select.windowClause as AnyNode[]).map(map) }),
      ...(select.sortClause === undefined ? {} : { sortClause: (select.sortClause as AnyNode[]).map((item) => ({ SortBy: { ...item.SortBy, node: sortItem(item.SortBy?.node as AnyNode) } })) }),
      ...(select.limitCount === undefined ? {} : { limitCount: select.limitCount }),
      ...(select.limitOffset === undefined ? {} : { limitOffset: select.limitOffset }),
      limitOption: select.limitOption,
      op: 'SETOP_NONE',
    } as SelectStmt
  }

  private sortColumn(node: AnyNode, targets: readonly { name: string; value: AnyNode }[], columns: Columns): number {
    if (node.A_Const !== undefined) {
      const ordinal = node.A_Const.ival?.ival ?? 0
      return ordinal >= 1 && ordinal <= targets.length ? ordinal : fail()
    }
    const fields = (node.ColumnRef?.fields ?? []) as AnyNode[]
    const named = fields.length === 1 ? targets.flatMap((one, i) => (one.name === names(fields)[0] ? [i + 1] : [])) : []
    if (named.length > 1) fail()
    return named[0] ?? columns.number(node)
  }

  /** True when a column outside of aggregates is not among the expressions to group by. */
  private namesUngrouped(): boolean {
    const { select, scope, context } = this
    const grouped = new Set<string>()
    mapGroups((select.groupClause ?? []) as AnyNode[], (node) => {
      const value = groupExpression(node, select, scope) ?? fail()
      grouped.add(this.keyOf(value))
      return value
    })
    let ungrouped = false
    const look = (tree: AnyNode): unknown => {
      if (/^[A-Z]/.test(Object.keys(tree)[0] ?? '') && grouped.has(this.keyOf(tree))) return tree
      if (tree.FuncCall !== undefined && isAggregateCall(tree.FuncCall as FuncCall, context)) return tree
      if (tree.ColumnRef !== undefined) ungrouped = true
      return undefined
    }
    mapTree([(targetColumns(select, scope) ?? fail()).map((one) => one.value), select.havingClause], look)
    return ungrouped
  }

  private from(): AnyNode[] {
    return [{ RangeVar: { schemaname: 'pg_temp', relname: this.temporary, inh: true, relpersistence: 'p' } } as AnyNode]
  }

  /** A column of a table must have one collation, where an expression may do without. */
  private mixesCollations(value: AnyNode): boolean {
    const collations = new Set<string>()
    mapTree(value, (tree) => {
      const collation = resolveColumn(tree, this.scope)?.column.origin?.column.collation
      if (collation !== undefined) collations.add(collation)
      return undefined
    })
    return collations.size > 1
  }

  private done(way: SplitQuery['way'], partition: Partition, fragment: SelectStmt, columns: Columns, rest: SelectStmt): SplitQuery {
    if (columns.targets.some(({ value }) => mayBeRecord(value, this.scope, this.ties, this.context))) fail()
    if (columns.targets.some(({ value }) => this.mixesCollations(value))) fail()
    const origins = columns.targets.map(({ value }) => {
      const origin = resolveColumn(value, this.scope)?.column.origin
      return { tableOid: origin?.relation.oid ?? 0, number: origin?.column.number ?? 0 }
    })
    return { way, partition, fragment, columns: origins, rest }
  }
}

function fail(): never {
  throw notThisWay
}

function depthOf(scope: Scope): number {
  let depth = 0
  for (let at = scope.outer; at !== undefined; at = at.outer) depth++
  return depth
}

function target(name: string, value: AnyNode): AnyNode {
  return { ResTarget: { name, val: value } } as AnyNode
}

function targetList(columns: Columns): AnyNode[] {
  return columns.targets.map(({ value }, i) => target(`c${i + 1}`, value))
}

/** GROUP BY's items, those inside of grouping sets too. */
function mapGroups(items: readonly AnyNode[], change: (node: AnyNode) => AnyNode): AnyNode[] {
  return items.map((item) => {
    if (item.GroupingSet !== undefined) {
      const { content, ...rest } = item.GroupingSet
      return { GroupingSet: { ...rest, ...(content === undefined ? {} : { content: mapGroups(content as AnyNode[], change) }) } } as AnyNode
    }
    // In a grouping set (a, b) is a list of two, and the grammar gives it as a row.
    if (item.RowExpr?.row_format === 'COERCE_IMPLICIT_CAST') return { RowExpr: { ...item.RowExpr, args: mapGroups(item.RowExpr.args as AnyNode[], change) } } as AnyNode
    return change(item)
  })
}

/** True when a subquery names nothing from around it. */
export function isClosed(subselect: unknown, ties: Ties): boolean {
  const inside = new Set<Scope>()
  mapTree(subselect, (tree) => {
    const query = ties.queries.get(tree as SelectStmt)
    if (query !== undefined) inside.add(query.scope)
    return undefined
  })
  let closed = true
  const visit = (value: unknown, select: SelectStmt | undefined): void => {
    mapTree(value, (tree) => {
      const query = ties.queries.get(tree as SelectStmt)
      if (query !== undefined && tree !== select) {
        visit(tree, tree as SelectStmt)
        return tree
      }
      if (tree.ColumnRef === undefined || isStar(tree)) return undefined
      const found = resolveColumn(tree, select === undefined ? undefined : ties.queries.get(select)?.scope)
      const isOutput = found === undefined && select !== undefined && sortItems(select).includes(tree) && isOutputName(tree, select)
      if (!isOutput && (found === undefined || !inside.has(found.scope))) closed = false
      return tree
    })
  }
  visit(subselect, undefined)
  return closed
}

/** The only places where a name may be that of an output: whole items of ORDER BY, GROUP BY and DISTINCT ON. */
function sortItems(select: SelectStmt): AnyNode[] {
  const items: AnyNode[] = [...distinctOn(select), ...((select.sortClause ?? []) as AnyNode[]).map((item) => item.SortBy?.node as AnyNode)]
  mapGroups((select.groupClause ?? []) as AnyNode[], (node) => {
    items.push(node)
    return node
  })
  return items
}

function isOutputName(node: AnyNode, select: SelectStmt): boolean {
  const fields = (node.ColumnRef?.fields ?? []) as AnyNode[]
  if (fields.length !== 1) return false
  return ((select.targetList ?? []) as AnyNode[]).some((one) => (one.ResTarget?.name ?? columnName(one.ResTarget?.val as AnyNode)) === names(fields)[0])
}
