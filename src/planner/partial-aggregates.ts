/**
 * Aggregates in two steps: what each shard computes over its own rows of a group, and how the parts give the whole.
 *
 * Only aggregates whose whole is exactly a function of such parts are here. Sums of floats are added in another order than one
 * PostgreSQL would take them in, as its own parallel aggregation does. An aggregate over DISTINCT values needs the values: they
 * become columns to group by, and the aggregate itself runs over them at the end.
 */
import type { AnyNode, FuncCall } from '../sql/ast.ts'
import { contains, names } from '../sql/ast.ts'
import { expressionOf } from '../sql/render.ts'
import type { NumberType } from './number-type.ts'
import { numberType } from './number-type.ts'
import type { Scope } from './query-scope.ts'
import type { NameContext } from './resolve.ts'

/** Where parts go: each gives the reference to its column. */
export interface PartColumns {
  /** A value to group by. */
  group(value: AnyNode): AnyNode
  /** A partial aggregate; the text of its column's name. */
  partial(value: AnyNode): string
}

const same: Readonly<Record<string, string>> = {
  min: 'min', max: 'max', bool_and: 'bool_and', bool_or: 'bool_or', every: 'bool_and', bit_and: 'bit_and', bit_or: 'bit_or', bit_xor: 'bit_xor',
}

/** The expression over the parts' columns that gives the aggregate; undefined when it cannot be split. */
export function splitAggregate(call: FuncCall, columns: PartColumns, scope: Scope, context: NameContext): AnyNode | undefined {
  const parts = names(call.funcname as AnyNode[]).filter((part) => part !== 'pg_catalog')
  const [name = ''] = parts
  if (parts.length !== 1 || context.snapshot.functions.has(name) || !context.snapshot.builtins.aggregates.has(name)) return undefined
  if (call.agg_within_group === true || call.func_variadic === true) return undefined
  if (call.agg_distinct === true) return distinct(call, columns)
  if (call.agg_order !== undefined) return undefined
  const [argument] = (call.args ?? []) as AnyNode[]
  if (name === 'count') return expressionOf(`COALESCE(pg_catalog.sum(${columns.partial(asNode(call))}), 0)::int8`)
  if (argument === undefined || argument.RowExpr !== undefined) return undefined
  if (Object.hasOwn(same, name)) return expressionOf(`pg_catalog.${same[name]}(${columns.partial(asNode(call))})`)
  const type = numberType(argument, scope, context)
  if (type === undefined) return undefined
  if (name === 'sum') return sum(columns.partial(asNode(call)), type)
  if (name === 'avg') return average(call, argument, type, columns)
  return undefined
}

const asNode = (call: FuncCall): AnyNode => ({ FuncCall: call }) as AnyNode

/** sum(int4) is an int8, but the sum of int8 a numeric. */
function sum(part: string, type: NumberType): AnyNode {
  return expressionOf(`pg_catalog.sum(${part})${type === 'int2' || type === 'int4' ? '::int8' : ''}`)
}

/** PostgreSQL divides the sum by the count, in the sum's type; a float's sum begins with 0, which turns -0 into 0. */
function average(call: FuncCall, argument: AnyNode, type: NumberType, columns: PartColumns): AnyNode {
  const of = (name: string, arg: AnyNode) => columns.partial(asNode({ ...call, funcname: [{ String: { sval: name } }], args: [arg] } as FuncCall))
  const isFloat = type === 'float4' || type === 'float8'
  const wide = type === 'float4' ? ({ TypeCast: { ...expressionOf('NULL::float8').TypeCast, arg: argument } } as AnyNode) : argument
  const [total, count] = [of('sum', wide), of('count', argument)]
  if (isFloat) return expressionOf(`(0::float8 OPERATOR(pg_catalog.+) pg_catalog.sum(${total})) OPERATOR(pg_catalog./) pg_catalog.sum(${count})::float8`)
  if (type === 'interval') return expressionOf(`pg_catalog.sum(${total}) OPERATOR(pg_catalog./) pg_catalog.sum(${count})::float8`)
  return expressionOf(`pg_catalog.sum(${total}) OPERATOR(pg_catalog./) pg_catalog.sum(${count})`)
}

/** The values that differ are grouped by on the shards, together with what decides which of them count, and in which order. */
function distinct(call: FuncCall, columns: PartColumns): AnyNode | undefined {
  const isFixed = (node: AnyNode) => !contains(node, 'ColumnRef', 'SubLink')
  const list = (call.args ?? []) as AnyNode[]
  const order = ((call.agg_order ?? []) as AnyNode[]).map((item) => item.SortBy)
  if ([...list, ...order.map((item) => item?.node as AnyNode)].some((node) => node.RowExpr !== undefined)) return undefined
  const column = (node: AnyNode) => (isFixed(node) ? node : columns.group(node))
  return asNode({
    ...call,
    args: list.map(column),
    ...(call.agg_order === undefined ? {} : { agg_order: order.map((item) => ({ SortBy: { ...item, node: column(item?.node as AnyNode) } })) }),
    ...(call.agg_filter === undefined ? {} : { agg_filter: columns.group(call.agg_filter as AnyNode) }),
  } as FuncCall)
}
