/** What a SELECT does with its rows at its own level: grouping, aggregates, windows, limits. Its subqueries are not looked into. */
import type { AnyNode, FuncCall, SelectStmt, Tree } from '../sql/ast.ts'
import { names, walk } from '../sql/ast.ts'
import type { NameContext } from './resolve.ts'
import type { Scope } from './query-scope.ts'
import type { Member } from './ties.ts'
import { isStar, resolveColumn, targetColumns } from './query-scope.ts'

type WindowDef = NonNullable<FuncCall['over']>

/** Everything of a SELECT that is evaluated at its own level, FROM and WHERE excepted. */
function clauses(select: SelectStmt): unknown[] {
  return [select.targetList, select.groupClause, select.havingClause, select.sortClause, select.distinctClause, select.windowClause]
}

/** Walks expressions without going into subqueries. */
export function walkLevel(value: unknown, visit: (tree: Tree, key: string) => boolean | void): void {
  walk(value, (tree, key) => {
    if (key === 'SelectStmt' || key === 'larg' || key === 'rarg') return false
    return visit(tree, key)
  })
}

export function isAggregateCall(call: FuncCall, context: NameContext): boolean {
  const parts = names(call.funcname as AnyNode[])
  const name = parts.at(-1) ?? ''
  if (call.over !== undefined) return false
  if (call.agg_star === true || call.agg_within_group === true || call.agg_filter !== undefined || call.agg_distinct === true || call.agg_order !== undefined) return true
  const own = context.snapshot.functions.get(name)
  return context.snapshot.builtins.aggregates.has(name) || own?.some((one) => one.kind === 'a') === true
}

export function ownAggregates(select: SelectStmt, context: NameContext): FuncCall[] {
  const found: FuncCall[] = []
  walkLevel(clauses(select), (tree, key) => {
    if (key === 'FuncCall' && isAggregateCall(tree as FuncCall, context)) found.push(tree as FuncCall)
    // JSON_ARRAYAGG and JSON_OBJECTAGG have nodes of their own.
    if (/^Json(Array|Object)Agg$/.test(key)) found.push({} as FuncCall)
  })
  return found
}

/** The PARTITION BY of each window function at this level. */
export function windowPartitions(select: SelectStmt): (readonly AnyNode[])[] {
  const named = new Map<string, WindowDef>()
  for (const node of select.windowClause ?? []) {
    const definition = (node as AnyNode).WindowDef
    if (definition?.name !== undefined) named.set(definition.name, definition)
  }
  const partitionOf = (definition: WindowDef | undefined): readonly AnyNode[] => {
    if (definition === undefined) return []
    if (definition.partitionClause !== undefined) return definition.partitionClause as AnyNode[]
    const base = definition.refname ?? (named.get(definition.name ?? '') === definition ? undefined : definition.name)
    return base === undefined ? [] : partitionOf(named.get(base))
  }
  const partitions: (readonly AnyNode[])[] = []
  walkLevel(clauses(select), (tree, key) => {
    if (key === 'FuncCall' && (tree as FuncCall).over !== undefined) partitions.push(partitionOf((tree as FuncCall).over))
  })
  return partitions
}

export function isGrouped(select: SelectStmt, context: NameContext): boolean {
  return select.groupClause !== undefined || select.havingClause !== undefined || ownAggregates(select, context).length > 0
}

/** GROUP BY's expressions, with ordinals and names of the output resolved; undefined for grouping sets, or when in doubt. */
export function groupExpressions(select: SelectStmt, scope: Scope): AnyNode[] | undefined {
  const expressions: AnyNode[] = []
  for (const node of (select.groupClause ?? []) as AnyNode[]) {
    const expression = node.GroupingSet === undefined ? groupExpression(node, select, scope) : undefined
    if (expression === undefined) return undefined
    expressions.push(expression)
  }
  return expressions
}

/** A name in GROUP BY is a column of the input if there is one, else one of the output. */
export function groupExpression(node: AnyNode, select: SelectStmt, scope: Scope): AnyNode | undefined {
  const targets = (select.targetList ?? []) as AnyNode[]
  if (node.A_Const !== undefined) {
    const ordinal = node.A_Const.ival?.ival
    if (ordinal === undefined || targets.some((target) => isStar(target.ResTarget?.val as AnyNode))) return undefined
    return targets[ordinal - 1]?.ResTarget?.val as AnyNode | undefined
  }
  const fields = (node.ColumnRef?.fields ?? []) as AnyNode[]
  if (fields.length !== 1 || fields[0]?.String === undefined) return node
  const [name = ''] = names(fields)
  if (scope.items.some((item) => item.columns?.some((column) => column.name === name))) return node
  const outputs = targets.filter((target) => target.ResTarget?.name === name)
  if (outputs.length === 0) return node
  return outputs.length === 1 && scope.items.every((item) => item.columns !== undefined) ? (outputs[0]?.ResTarget?.val as AnyNode) : undefined
}

/** What an item of ORDER BY or DISTINCT ON means: a name is a column of the output if there is one, else one of the input. */
export function outputExpression(node: AnyNode, select: SelectStmt, scope: Scope): AnyNode | undefined {
  const columns = targetColumns(select, scope)
  if (columns === undefined) return undefined
  if (node.A_Const !== undefined) return columns[(node.A_Const.ival?.ival ?? 0) - 1]?.value
  const fields = (node.ColumnRef?.fields ?? []) as AnyNode[]
  if (fields.length !== 1 || fields[0]?.String === undefined) return node
  const outputs = columns.filter((column) => column.name === names(fields)[0])
  return outputs.length === 0 ? node : outputs.length === 1 ? outputs[0]?.value : undefined
}

export function distinctOn(select: SelectStmt): AnyNode[] {
  return ((select.distinctClause ?? []) as AnyNode[]).filter((node) => Object.keys(node).length > 0)
}

type KeyTest = (keys: readonly Member[]) => boolean

/** True when one of the expressions is a column of this level with keys of which `test` holds. */
function someKey(expressions: readonly (AnyNode | undefined)[], scope: Scope, test: KeyTest): boolean {
  return expressions.some((expression) => {
    const found = resolveColumn(expression, scope)
    return found !== undefined && found.scope === scope && found.column.keys.length > 0 && test(found.column.keys)
  })
}

/**
 * True when rows that differ in a certain key never meet in this SELECT: all that looks at several rows at a time (groups,
 * DISTINCT, windows) looks at rows of one value of it. `test` says of the keys of a column whether it is that one.
 */
export function keepsApart(select: SelectStmt, scope: Scope, context: NameContext, test: KeyTest): boolean {
  if (isGrouped(select, context) && !someKey(groupExpressions(select, scope) ?? [], scope, test)) return false
  if (select.distinctClause !== undefined) {
    const on = distinctOn(select)
    const columns = on.length > 0 ? on.map((node) => outputExpression(node, select, scope)) : (targetColumns(select, scope) ?? []).map((column) => column.value)
    if (!someKey(columns, scope, test)) return false
  }
  return windowPartitions(select).every((partition) => someKey(partition, scope, test))
}
