/**
 * The columns that a SELECT gives, and which of them are keys of members below.
 *
 * A column is said to be a member's key only when a condition on it may go below the SELECT: restricting the member to one key
 * changes none of the answer's rows with that key. LIMIT looks at all rows; groups, DISTINCT ON and windows at those that they put
 * together.
 */
import type { AnyNode, SelectStmt } from '../sql/ast.ts'
import { numberType } from './number-type.ts'
import type { ScopeColumn, Scope } from './query-scope.ts'
import { targetColumns } from './query-scope.ts'
import { keepsApart } from './query-shape.ts'
import type { NameContext } from './resolve.ts'
import type { Member, QueryTies } from './ties.ts'

export function outputColumns(select: SelectStmt, scope: Scope, queries: ReadonlyMap<SelectStmt, QueryTies>, context: NameContext): readonly ScopeColumn[] | undefined {
  const limited = select.limitCount !== undefined || select.limitOffset !== undefined || select.lockingClause !== undefined
  const columns = select.larg !== undefined && select.rarg !== undefined ? ofArms(select.larg, select.rarg, queries) : ofTargets(select, scope, context)
  return limited ? columns?.map((column) => ({ ...column, keys: [] })) : columns
}

/** All arms must have a key there, of one group: else the values may be compared otherwise than the key's are, or be elsewhere. */
function ofArms(left: SelectStmt, right: SelectStmt, queries: ReadonlyMap<SelectStmt, QueryTies>): readonly ScopeColumn[] | undefined {
  const [one, other] = [queries.get(left)?.columns, queries.get(right)?.columns]
  if (one === undefined || other === undefined || one.length !== other.length) return undefined
  return one.map((column, i) => {
    const more = other[i]?.keys ?? []
    const all = [...column.keys, ...more]
    const same = column.keys.length > 0 && more.length > 0 && all.every((member) => member.relation.table?.group === all[0]?.relation.table?.group)
    return { name: column.name, keys: same ? all : [], origin: undefined, type: column.type === other[i]?.type ? column.type : undefined }
  })
}

function ofTargets(select: SelectStmt, scope: Scope, context: NameContext): readonly ScopeColumn[] | undefined {
  if (select.valuesLists !== undefined) {
    const first = (select.valuesLists[0] as AnyNode | undefined)?.List?.items ?? []
    return first.map((_, i) => ({ name: `column${i + 1}`, keys: [], origin: undefined, type: undefined }))
  }
  return targetColumns(select, scope)?.map(({ name, value, found }) => {
    // A column of a level further out is no key of this one's rows.
    const keys = found?.scope === scope ? found.column.keys : []
    const apart = keys.length > 0 && keepsApart(select, scope, context, (others) => sameKeys(others, keys))
    return { name, keys: apart ? keys : [], origin: found?.column.origin, type: numberType(value, scope, context) }
  })
}

export function sameKeys(one: readonly Member[], other: readonly Member[]): boolean {
  return one.length === other.length && one.every((member, i) => member === other[i])
}
