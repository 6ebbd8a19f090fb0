/** The name that PostgreSQL gives to a column of a SELECT that has no AS (FigureColname in parse_target.c). */
import type { AnyNode } from '../sql/ast.ts'
import { names } from '../sql/ast.ts'

/** Undefined when the rule for this kind of expression is not written here. */
export function columnName(node: AnyNode): string | undefined {
  const name = figure(node)
  return name === undefined ? undefined : (name.text ?? '?column?')
}

/** A weak name is kept only when nothing around has a better one. */
interface Name {
  readonly text: string | undefined
  readonly strength: 0 | 1 | 2
}

const none: Name = { text: undefined, strength: 0 }
const strong = (text: string | undefined): Name => ({ text, strength: 2 })
const weak = (text: string | undefined): Name => ({ text, strength: 1 })

const ofValue: Readonly<Record<string, string>> = {
  SVFOP_CURRENT_DATE: 'current_date',
  SVFOP_CURRENT_TIME: 'current_time',
  SVFOP_CURRENT_TIME_N: 'current_time',
  SVFOP_CURRENT_TIMESTAMP: 'current_timestamp',
  SVFOP_CURRENT_TIMESTAMP_N: 'current_timestamp',
  SVFOP_LOCALTIME: 'localtime',
  SVFOP_LOCALTIME_N: 'localtime',
  SVFOP_LOCALTIMESTAMP: 'localtimestamp',
  SVFOP_LOCALTIMESTAMP_N: 'localtimestamp',
  SVFOP_CURRENT_ROLE: 'current_role',
  SVFOP_CURRENT_USER: 'current_user',
  SVFOP_USER: 'user',
  SVFOP_SESSION_USER: 'session_user',
  SVFOP_CURRENT_CATALOG: 'current_catalog',
  SVFOP_CURRENT_SCHEMA: 'current_schema',
}

function figure(node: AnyNode): Name | undefined {
  if (node.ColumnRef !== undefined) return strong(names(node.ColumnRef.fields as AnyNode[]).filter((part) => part !== '').at(-1))
  if (node.A_Indirection !== undefined) {
    const field = names(node.A_Indirection.indirection as AnyNode[]).filter((part) => part !== '').at(-1)
    return field === undefined ? figure(node.A_Indirection.arg as AnyNode) : strong(field)
  }
  if (node.FuncCall !== undefined) return strong(names(node.FuncCall.funcname as AnyNode[]).at(-1))
  if (node.A_Expr !== undefined) return node.A_Expr.kind === 'AEXPR_NULLIF' ? strong('nullif') : none
  if (node.TypeCast !== undefined) {
    const inner = figure(node.TypeCast.arg as AnyNode)
    return inner === undefined || inner.strength === 2 ? inner : weak(names(node.TypeCast.typeName?.names as AnyNode[]).at(-1))
  }
  if (node.CollateClause !== undefined) return figure(node.CollateClause.arg as AnyNode)
  if (node.GroupingFunc !== undefined) return strong('grouping')
  if (node.SubLink !== undefined) return ofSubLink(node.SubLink)
  if (node.CaseExpr !== undefined) {
    const inner = node.CaseExpr.defresult === undefined ? none : figure(node.CaseExpr.defresult as AnyNode)
    return inner === undefined || inner.strength === 2 ? inner : weak('case')
  }
  if (node.A_ArrayExpr !== undefined) return strong('array')
  if (node.RowExpr !== undefined) return strong('row')
  if (node.CoalesceExpr !== undefined) return strong('coalesce')
  if (node.MinMaxExpr !== undefined) return strong(node.MinMaxExpr.op === 'IS_LEAST' ? 'least' : 'greatest')
  if (node.SQLValueFunction !== undefined) return strong(ofValue[String(node.SQLValueFunction.op)])
  const unnamed = node.A_Const ?? node.ParamRef ?? node.BoolExpr ?? node.NullTest ?? node.BooleanTest
  return unnamed === undefined ? undefined : none
}

function ofSubLink(link: NonNullable<AnyNode['SubLink']>): Name | undefined {
  if (link.subLinkType === 'EXISTS_SUBLINK') return strong('exists')
  if (link.subLinkType === 'ARRAY_SUBLINK') return strong('array')
  if (link.subLinkType !== 'EXPR_SUBLINK') return none
  let select = (link.subselect as AnyNode | undefined)?.SelectStmt
  while (select?.larg !== undefined) select = select.larg
  const target = (select?.targetList?.[0] as AnyNode | undefined)?.ResTarget
  if (target === undefined) return undefined
  const name = target.name ?? columnName(target.val as AnyNode)
  return name === undefined ? undefined : strong(name)
}
