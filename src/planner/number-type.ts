/**
 * The types of numeric expressions, as far as the planner must know them: sums and averages of parts are put together by type.
 * Whatever is not understood here has no type, and what needs it is not done.
 */
import type { Column } from '../catalog/snapshot.ts'
import type { A_Expr, AnyNode } from '../sql/ast.ts'
import { names } from '../sql/ast.ts'
import type { NameContext } from './resolve.ts'
import type { Scope } from './query-scope.ts'
import { resolveColumn } from './query-scope.ts'

export type NumberType = 'int2' | 'int4' | 'int8' | 'numeric' | 'float4' | 'float8' | 'interval'

const byName: Readonly<Record<string, NumberType>> = {
  smallint: 'int2', int2: 'int2', integer: 'int4', int4: 'int4', bigint: 'int8', int8: 'int8', numeric: 'numeric',
  real: 'float4', float4: 'float4', 'double precision': 'float8', float8: 'float8', interval: 'interval',
}

const byOid: Readonly<Record<number, NumberType>> = { 21: 'int2', 23: 'int4', 20: 'int8', 1700: 'numeric', 700: 'float4', 701: 'float8', 1186: 'interval' }

export function typeOfColumn(column: Column): NumberType | undefined {
  return Object.hasOwn(byName, column.type.replace(/\(.*\)$/, '')) ? byName[column.type.replace(/\(.*\)$/, '')] : undefined
}

export function numberType(node: AnyNode | undefined, scope: Scope, context: NameContext): NumberType | undefined {
  if (node === undefined || context.searchPath.includes('pg_catalog')) return undefined
  const of = (inner: unknown) => numberType(inner as AnyNode | undefined, scope, context)
  if (node.ColumnRef !== undefined) return resolveColumn(node, scope)?.column.type
  if (node.ParamRef !== undefined) return byOid[context.parameterTypes[(node.ParamRef.number ?? 0) - 1] ?? 0]
  if (node.A_Const !== undefined) {
    if (node.A_Const.ival !== undefined) return 'int4'
    const text = node.A_Const.fval?.fval
    return text === undefined ? undefined : /^\d{1,18}$/.test(text) ? 'int8' : 'numeric'
  }
  if (node.TypeCast !== undefined) {
    const { typeName } = node.TypeCast
    const parts = names(typeName?.names as AnyNode[]).filter((part) => part !== 'pg_catalog')
    const [name = ''] = parts
    return parts.length === 1 && typeName?.arrayBounds === undefined && typeName?.setof !== true && Object.hasOwn(byName, name) ? byName[name] : undefined
  }
  if (node.A_Expr !== undefined) return ofOperator(node.A_Expr as A_Expr, of)
  if (node.CoalesceExpr !== undefined) return common((node.CoalesceExpr.args ?? []).map(of))
  if (node.CaseExpr !== undefined) {
    const results = [...(node.CaseExpr.args ?? []).map((arg) => (arg as AnyNode).CaseWhen?.result), node.CaseExpr.defresult]
    return common(results.filter((one) => one !== undefined && (one as AnyNode).A_Const?.isnull !== true).map(of))
  }
  if (node.FuncCall !== undefined) return ofFunction(node, of, context)
  return undefined
}

function common(types: readonly (NumberType | undefined)[]): NumberType | undefined {
  return types.every((type) => type === types[0]) ? types[0] : undefined
}

const integers: readonly NumberType[] = ['int2', 'int4', 'int8']

function ofOperator(expression: A_Expr, of: (node: unknown) => NumberType | undefined): NumberType | undefined {
  const operator = names(expression.name as AnyNode[]).join('.')
  if (expression.kind !== 'AEXPR_OP' || !/^[-+*/%]$/.test(operator)) return undefined
  const right = of(expression.rexpr)
  if (expression.lexpr === undefined) return right
  const left = of(expression.lexpr)
  if (left === undefined || right === undefined) return undefined
  if (left === 'interval' || right === 'interval') {
    if (left === right) return operator === '+' || operator === '-' ? 'interval' : undefined
    return operator === '*' || (operator === '/' && left === 'interval') ? 'interval' : undefined
  }
  const isFloat = (type: NumberType) => type === 'float4' || type === 'float8'
  if (left === 'float4' && right === 'float4') return 'float4'
  if (isFloat(left) || isFloat(right)) return 'float8'
  if (left === 'numeric' || right === 'numeric') return 'numeric'
  return integers[Math.max(integers.indexOf(left), integers.indexOf(right))]
}

const ofBuiltin: Readonly<Record<string, NumberType>> = { length: 'int4', char_length: 'int4', octet_length: 'int4', extract: 'numeric', count: 'int8' }
const sumOf: Readonly<Record<NumberType, NumberType>> = { int2: 'int8', int4: 'int8', int8: 'numeric', numeric: 'numeric', float4: 'float4', float8: 'float8', interval: 'interval' }

function ofFunction(node: AnyNode, of: (node: unknown) => NumberType | undefined, { snapshot }: NameContext): NumberType | undefined {
  const parts = names(node.FuncCall?.funcname as AnyNode[]).filter((part) => part !== 'pg_catalog')
  const [name = ''] = parts
  if (parts.length !== 1 || snapshot.functions.has(name)) return undefined
  const type = of(node.FuncCall?.args?.[0])
  if (name === 'sum') return type === undefined ? undefined : sumOf[type]
  if (name === 'min' || name === 'max') return type
  return Object.hasOwn(ofBuiltin, name) ? ofBuiltin[name] : undefined
}
