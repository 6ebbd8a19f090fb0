/**
 * ORDER BY and LIMIT over shards. The rule: the query without them is answered by the shards alone (partition.ts); each shard puts
 * its rows in order, and the router takes the first of them again and again. It does so only where it can tell which is the first:
 * by types whose order is plain, and by text where the order is that of its bytes. LIMIT without an order takes any rows.
 *
 * The values to compare come behind the answer's own columns. Other orders are made on the catalog: see split-query.ts.
 */
import type { AnyNode, SelectStmt } from '../sql/ast.ts'
import { parseOne } from '../sql/parse.ts'
import type { Statement } from '../sql/parse.ts'
import { expressionOf, mapTree, meaning, renderStatement } from '../sql/render.ts'
import { SourceText } from '../sql/source-text.ts'
import type { StatementFacts } from './facts.ts'
import { statementFacts } from './facts.ts'
import { numberType } from './number-type.ts'
import { partitionOf } from './partition.ts'
import type { MergeKey, MergePlan, OrderType, RowCount } from './plan.ts'
import { markersOf, placesOf, safeEverywhere } from './plan-select.ts'
import { pushedLimit } from './pushed-limit.ts'
import type { Scope } from './query-scope.ts'
import { resolveColumn, targetColumns } from './query-scope.ts'
import { distinctOn, outputExpression } from './query-shape.ts'
import type { NameContext } from './resolve.ts'
import { scatterText } from './rewrite.ts'
import { findTies } from './ties.ts'

export function planMerge(statement: Statement, facts: StatementFacts, context: NameContext): MergePlan | undefined {
  const select = statement.node.SelectStmt as SelectStmt | undefined
  if (select === undefined || select.op !== 'SETOP_NONE' || select.limitOption === 'LIMIT_OPTION_WITH_TIES') return undefined
  const isLimited = select.limitCount !== undefined || select.limitOffset !== undefined
  if (!isLimited && select.sortClause === undefined) return undefined
  // Shards would lock more rows than the answer has.
  if (facts.systemColumns.length > 0 || facts.modifyingCte || (facts.locking && isLimited) || !safeEverywhere(facts)) return undefined
  if (facts.tables.some((use) => use.relation.table?.kind === 'single')) return undefined
  const ties = findTies(statement.node, context)
  const scope = ties.queries.get(select)?.scope
  if (scope === undefined || ties.members.length !== facts.tables.filter((use) => use.relation.table?.kind === 'distributed').length) return undefined
  const partition = partitionOf(select, ties, context, true)
  const targets = targetColumns(select, scope)
  const columns = targets?.length
  const [limit, offset] = [rowCount(select.limitCount as AnyNode | undefined, context), rowCount(select.limitOffset as AnyNode | undefined, context)]
  const keys = ((select.sortClause ?? []) as AnyNode[]).map((item) => mergeKey(item, select, scope, context))
  if (partition === undefined || columns === undefined || limit === 'other' || offset === 'other' || keys.includes(undefined)) return undefined
  const order = keys.flatMap((key) => key ?? [])
  // PostgreSQL must go on to refuse what DISTINCT has no column for, and the columns added here would be such.
  const sorts = ((select.sortClause ?? []) as AnyNode[]).map((item) => outputExpression(item.SortBy?.node as AnyNode, select, scope))
  const isShown = (value: AnyNode | undefined) => targets?.some((target) => isSame(target.value, value, scope)) === true
  if (select.distinctClause !== undefined && distinctOn(select).length === 0 && !sorts.every(isShown)) return undefined
  const pushed = pushedLimit(select)
  const { limitCount: _count, limitOffset: _offset, ...bare } = select
  const sent = {
    ...bare,
    targetList: [...(select.targetList ?? []), ...order.map((key, i) => ({ ResTarget: { name: `pgherd_k${i + 1}`, val: key.value } }))],
    ...(pushed === undefined ? { limitOption: 'LIMIT_OPTION_DEFAULT' } : { limitCount: pushed, limitOption: 'LIMIT_OPTION_COUNT' }),
  }
  const text = renderStatement({ SelectStmt: sent } as AnyNode)
  if (text === undefined) return undefined
  const there = { source: new SourceText(text), node: parseOne(text) }
  const factsThere = statementFacts(there.node, context)
  return Object.freeze({
    kind: 'merge',
    rule: order.length === 0 ? 'any rows will do' : 'each row comes from one bucket, and each shard gives its rows in order',
    ...placesOf([...partition.root], context),
    text: scatterText(there, factsThere),
    markers: markersOf(factsThere),
    locks: facts.locking,
    columns,
    order: order.map(({ value: _value, ...key }) => key),
    limit,
    offset,
  })
}

function isSame(one: AnyNode, other: AnyNode | undefined, scope: Scope): boolean {
  const column = resolveColumn(one, scope)?.column
  return (column !== undefined && column === resolveColumn(other, scope)?.column) || meaning(one) === meaning(other)
}

function mergeKey(item: AnyNode, select: SelectStmt, scope: Scope, context: NameContext): (MergeKey & { readonly value: AnyNode }) | undefined {
  const sort = item.SortBy
  const value = sort?.node === undefined ? undefined : outputExpression(sort.node as AnyNode, select, scope)
  if (sort === undefined || value === undefined || (sort.useOp?.length ?? 0) > 0) return undefined
  const known = orderType(value, scope, context)
  if (known === undefined) return undefined
  const descending = sort.sortby_dir === 'SORTBY_DESC'
  const nullsFirst = sort.sortby_nulls === 'SORTBY_NULLS_FIRST' || (sort.sortby_nulls !== 'SORTBY_NULLS_LAST' && descending)
  return { ...known, descending, nullsFirst }
}

const ofTypes: Readonly<Record<string, OrderType>> = {
  date: 'integer', 'timestamp without time zone': 'integer', 'timestamp with time zone': 'integer', 'time without time zone': 'integer', boolean: 'bool', uuid: 'bytes', bytea: 'bytes',
}
const texts = new Set(['text', 'character varying'])
const byteCollations = new Set(['pg_catalog."C"', 'pg_catalog."POSIX"'])

/** How an expression's values compare, and the expression that gives them as they are to be compared. */
function orderType(value: AnyNode, scope: Scope, context: NameContext): { type: OrderType; value: AnyNode } | undefined {
  const number = numberType(value, scope, context)
  if (number === 'interval') return undefined
  if (number !== undefined) return { type: /^int/.test(number) ? 'integer' : /^float/.test(number) ? 'float' : 'numeric', value }
  const collate = value.CollateClause
  const named = ((collate?.collname ?? []) as AnyNode[]).map((part) => part.String?.sval)
  const column = resolveColumn((collate?.arg as AnyNode | undefined) ?? value, scope)?.column.origin?.column
  // "timestamp(3) with time zone" is one, of fewer digits.
  const type = column?.type.replace(/\(\d+\)/, '') ?? ''
  const { isUtf8, byBytes } = context.snapshot.text
  if (column !== undefined && isUtf8 && texts.has(type)) {
    const isC = collate === undefined ? (column.collation === undefined ? byBytes : byteCollations.has(column.collation)) : named.length === 1 && /^(C|POSIX)$/.test(named[0] ?? '')
    const asBytes = mapTree(expressionOf(`pg_catalog.convert_to(1, 'UTF8')`), (tree) => (tree.A_Const?.ival === undefined ? undefined : value))
    return isC ? { type: 'bytes', value: asBytes } : undefined
  }
  return collate === undefined && Object.hasOwn(ofTypes, type) ? { type: ofTypes[type] as OrderType, value } : undefined
}

const integerOids = new Set([0, 20, 21, 23])

/** Undefined for no limit, 'other' for what only PostgreSQL should compute. */
function rowCount(node: AnyNode | undefined, context: NameContext): RowCount | 'other' | undefined {
  if (node === undefined || node.A_Const?.isnull === true) return undefined
  if (node.A_Const?.ival !== undefined) {
    const rows = node.A_Const.ival.ival ?? 0
    return rows >= 0 ? { kind: 'constant', rows } : 'other'
  }
  const number = node.ParamRef?.number
  return number !== undefined && integerOids.has(context.parameterTypes[number - 1] ?? 0) ? { kind: 'parameter', number } : 'other'
}
