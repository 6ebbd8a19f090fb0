/** Which expressions may be records without a type of their own, which no table can hold. */
import type { AnyNode, SelectStmt } from '../sql/ast.ts'
import { names } from '../sql/ast.ts'
import type { Scope } from './query-scope.ts'
import { isStar, resolveColumn } from './query-scope.ts'
import type { NameContext } from './resolve.ts'
import type { Ties } from './ties.ts'

const recordFunctions = /^(jsonb?_each(_text)?|ts_.*|aclexplode|pg_.*)$/
const neverRecord = /^(count|(row_)?to_jsonb?|jsonb?_(agg|build_.*|object_agg)|num_(non)?nulls|concat(_ws)?|format)$/

/** True when in doubt: what a user's function gives is not known here. */
export function mayBeRecord(value: AnyNode | undefined, scope: Scope, ties: Ties, context: NameContext): boolean {
  const may = (node: unknown) => mayBeRecord(node as AnyNode | undefined, scope, ties, context)
  if (value === undefined) return false
  if (value.RowExpr !== undefined) return true
  if (value.ColumnRef !== undefined) return isStar(value) || resolveColumn(value, scope) === undefined
  if (value.FuncCall !== undefined) {
    const name = names(value.FuncCall.funcname as AnyNode[]).at(-1) ?? ''
    if (context.snapshot.functions.has(name) || recordFunctions.test(name)) return true
    return !neverRecord.test(name) && (value.FuncCall.args ?? []).some(may)
  }
  if (value.CaseExpr !== undefined) return may(value.CaseExpr.defresult) || (value.CaseExpr.args ?? []).some((arg) => may((arg as AnyNode).CaseWhen?.result))
  if (value.SubLink !== undefined) return /^(EXPR|ARRAY)_SUBLINK$/.test(String(value.SubLink.subLinkType)) && ofSubquery((value.SubLink.subselect as AnyNode | undefined)?.SelectStmt as SelectStmt | undefined, ties, context)
  if (value.A_Expr !== undefined) return value.A_Expr.kind === 'AEXPR_NULLIF' && may(value.A_Expr.lexpr)
  const parts = value.CoalesceExpr?.args ?? value.MinMaxExpr?.args ?? value.A_ArrayExpr?.elements
  return (parts ?? []).some(may)
}

function ofSubquery(select: SelectStmt | undefined, ties: Ties, context: NameContext): boolean {
  const scope = select === undefined ? undefined : ties.queries.get(select)?.scope
  if (select === undefined || scope === undefined) return true
  if (select.larg !== undefined) return ofSubquery(select.larg, ties, context)
  return mayBeRecord((select.targetList?.[0] as AnyNode | undefined)?.ResTarget?.val as AnyNode | undefined, scope, ties, context)
}
