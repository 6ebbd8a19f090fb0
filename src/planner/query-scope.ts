/**
 * What the names in a query mean: the FROM items of each SELECT of a statement and their columns, as far as they can be told.
 *
 * A column that is not known here is never guessed: the rules that need it do not apply then.
 */
import type { Column, Relation } from '../catalog/snapshot.ts'
import type { AnyNode, ColumnRef, SelectStmt } from '../sql/ast.ts'
import { names } from '../sql/ast.ts'
import { columnName } from './column-name.ts'
import type { NumberType } from './number-type.ts'
import type { Member } from './ties.ts'

export interface ScopeColumn {
  readonly name: string
  /** The members whose key it is, one for each arm of a set operation; empty when it is no key. */
  readonly keys: readonly Member[]
  /** The table's column that it is a copy of. */
  readonly origin: { readonly relation: Relation; readonly column: Column } | undefined
  /** Undefined for what is no number, or not known to be one. */
  readonly type: NumberType | undefined
}

export interface ScopeItem {
  readonly alias: string
  /** Undefined where they are not known. */
  readonly columns: readonly ScopeColumn[] | undefined
}

export interface Scope {
  readonly items: ScopeItem[]
  readonly outer: Scope | undefined
  /** A join by USING or NATURAL makes one column of two. */
  merges: boolean
}

export interface FoundColumn {
  readonly scope: Scope
  readonly item: ScopeItem
  readonly column: ScopeColumn
}

/** The column that a reference means; undefined for what is no reference to a known column. */
export function resolveColumn(node: AnyNode | undefined, scope: Scope | undefined): FoundColumn | undefined {
  const fields = (node?.ColumnRef as ColumnRef | undefined)?.fields as AnyNode[] | undefined
  if (fields === undefined || fields.some((field) => field.String === undefined)) return undefined
  const parts = names(fields)
  if (parts.length > 2) return undefined
  const name = parts.at(-1) ?? ''
  for (let at = scope; at !== undefined; at = at.outer) {
    if (parts.length === 1) {
      const found = at.items.flatMap((item) => (item.columns ?? []).filter((column) => column.name === name).map((column) => ({ scope: at as Scope, item, column })))
      const [only] = found
      if (only !== undefined) return found.length === 1 ? only : undefined
      // An item whose columns are not known may have it: then this name is not one from further out.
      if (at.items.some((item) => item.columns === undefined)) return undefined
      continue
    }
    const item = at.items.find((one) => one.alias === parts[0])
    if (item === undefined) continue
    const found = (item.columns ?? []).filter((column) => column.name === name)
    const [column] = found
    return column !== undefined && found.length === 1 ? { scope: at, item, column } : undefined
  }
  return undefined
}

/** The columns of a SELECT without set operations; undefined when their number or names can't be told. */
export function targetColumns(select: SelectStmt, scope: Scope): { name: string; value: AnyNode; found: FoundColumn | undefined }[] | undefined {
  const columns = []
  for (const node of select.targetList ?? []) {
    const target = (node as AnyNode).ResTarget
    const value = target?.val as AnyNode | undefined
    if (target === undefined || value === undefined || target.indirection !== undefined) return undefined
    if (isStar(value)) {
      const expanded = expandStar(value, scope)
      if (expanded === undefined) return undefined
      columns.push(...expanded)
      continue
    }
    const name = target.name ?? columnName(value)
    if (name === undefined) return undefined
    columns.push({ name, value, found: resolveColumn(value, scope) })
  }
  return columns
}

export function isStar(value: AnyNode): boolean {
  return value.ColumnRef?.fields?.some((field) => (field as AnyNode).A_Star !== undefined) === true || value.A_Indirection?.indirection?.some((part) => (part as AnyNode).A_Star !== undefined) === true
}

function expandStar(value: AnyNode, scope: Scope): { name: string; value: AnyNode; found: FoundColumn }[] | undefined {
  const fields = (value.ColumnRef?.fields ?? []) as AnyNode[]
  if (fields.length === 0 || fields.length > 2 || (fields.length === 1 && scope.merges)) return undefined
  const items = fields.length === 1 ? scope.items : scope.items.filter((item) => item.alias === names(fields)[0])
  const aliases = new Set(items.map((item) => item.alias))
  if (items.length === 0 || aliases.size < items.length) return undefined
  const columns = []
  for (const item of items) {
    if (item.columns === undefined || item.alias === '') return undefined
    for (const column of item.columns) {
      const reference = { ColumnRef: { fields: [{ String: { sval: item.alias } }, { String: { sval: column.name } }] } } as AnyNode
      // Two columns of one name can't be told apart by name.
      const found = resolveColumn(reference, { ...scope, outer: undefined })
      if (found === undefined) return undefined
      columns.push({ name: column.name, value: reference, found })
    }
  }
  return columns
}
