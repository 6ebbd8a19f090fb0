/** On shards, and in copies on the catalog, an identity column is a plain one: its rules are kept here, with PostgreSQL's errors. */
import { SqlError } from '../base/errors.ts'
import type { Column, Relation } from '../catalog/snapshot.ts'
import type { AnyNode, InsertStmt, SelectStmt } from '../sql/ast.ts'
import type { Write } from './writes.ts'
import { defaultsSet, mergeActions } from './writes.ts'

export function checkIdentityWrites(writes: readonly Write[]): void {
  for (const { node, relation, sets } of writes) {
    if (node.InsertStmt !== undefined) checkInsert(node.InsertStmt, relation)
    for (const when of mergeActions(node)) {
      if (when.commandType !== 'CMD_INSERT' || when.override === 'OVERRIDING_SYSTEM_VALUE') continue
      const names = when.targetList?.map((target) => (target as AnyNode).ResTarget?.name ?? '')
      checkRow(relation, names, (when.values ?? []) as AnyNode[])
    }
    const byDefault = new Set(defaultsSet(node).map(({ column }) => column))
    const given = always(relation).find((column) => sets.has(column.name) && !byDefault.has(column.name))
    if (given !== undefined) throw notGiven(given, `column "${given.name}" can only be updated to DEFAULT`)
  }
}

const always = (relation: Relation) => relation.columns.filter((column) => column.identity === 'a')

function checkInsert(insert: InsertStmt, relation: Relation): void {
  if (insert.override === 'OVERRIDING_SYSTEM_VALUE' || insert.override === 'OVERRIDING_USER_VALUE' || insert.selectStmt === undefined) return
  const names = insert.cols?.map((node) => (node as AnyNode).ResTarget?.name ?? '')
  const select = (insert.selectStmt as AnyNode).SelectStmt as SelectStmt | undefined
  if (select?.valuesLists === undefined) {
    // How many columns a query gives is not known here: without names they are taken to be all.
    const given = always(relation).find((column) => names === undefined || names.includes(column.name))
    if (given !== undefined) refuseValue(given)
    return
  }
  for (const row of select.valuesLists) checkRow(relation, names, ((row as AnyNode).List?.items ?? []) as AnyNode[])
}

function checkRow(relation: Relation, names: readonly string[] | undefined, values: readonly AnyNode[]): void {
  for (const column of always(relation)) {
    const at = names === undefined ? relation.columns.indexOf(column) : names.indexOf(column.name)
    const value = at < 0 ? undefined : values[at]
    if (value !== undefined && value.SetToDefault === undefined) refuseValue(column)
  }
}

function refuseValue(column: Column): never {
  throw notGiven(column, `cannot insert a non-DEFAULT value into column "${column.name}"`, 'Use OVERRIDING SYSTEM VALUE to override.')
}

function notGiven(column: Column, message: string, hint?: string): SqlError {
  const detail = `Column "${column.name}" is an identity column defined as GENERATED ALWAYS.`
  return new SqlError('428C9', message, hint === undefined ? { detail } : { detail, hint })
}
