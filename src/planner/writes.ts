/** What a statement writes: itself, and each INSERT, UPDATE, DELETE and MERGE inside its WITH. */
import type { Relation } from '../catalog/snapshot.ts'
import type { AnyNode, DeleteStmt, InsertStmt, MergeStmt, RangeVar, UpdateStmt } from '../sql/ast.ts'
import { walk } from '../sql/ast.ts'
import type { StatementFacts } from './facts.ts'

export interface Write {
  readonly node: { readonly InsertStmt?: InsertStmt; readonly UpdateStmt?: UpdateStmt; readonly DeleteStmt?: DeleteStmt; readonly MergeStmt?: MergeStmt }
  readonly rangeVar: RangeVar
  readonly relation: Relation
  /** Columns that rows which exist already get new values in. */
  readonly sets: ReadonlySet<string>
  /** New rows come. */
  readonly inserts: boolean
  /** Rows that exist already may change or go. */
  readonly changes: boolean
}

const writing = new Set(['InsertStmt', 'UpdateStmt', 'DeleteStmt', 'MergeStmt'])

export function writesOf(node: AnyNode, facts: StatementFacts): Write[] {
  const found: Write[] = []
  walk(node, (tree, key) => {
    if (!writing.has(key)) return
    const rangeVar = tree.relation as RangeVar | undefined
    const use = facts.tables.find((one) => one.rangeVar === rangeVar)
    if (rangeVar === undefined || use === undefined) return
    const own = { [key]: tree } as Write['node']
    const actions = mergeActions(own)
    found.push({
      node: own,
      rangeVar,
      relation: use.relation,
      sets: columnsSet(own),
      inserts: own.InsertStmt !== undefined || actions.some((when) => when?.commandType === 'CMD_INSERT'),
      changes: own.InsertStmt === undefined || own.InsertStmt.onConflictClause?.action === 'ONCONFLICT_UPDATE',
    })
  })
  return found
}

export function mergeActions(node: Pick<AnyNode, 'MergeStmt'>): NonNullable<AnyNode['MergeWhenClause']>[] {
  return (node.MergeStmt?.mergeWhenClauses ?? []).flatMap((clause) => (clause as AnyNode).MergeWhenClause ?? [])
}

/** The lists of SET in the statement itself, not in a WITH. */
export function setLists(node: Write['node']): (readonly AnyNode[])[] {
  const merged = mergeActions(node).filter((when) => when.commandType === 'CMD_UPDATE')
  const lists = [node.UpdateStmt?.targetList, node.InsertStmt?.onConflictClause?.targetList, ...merged.map((when) => when.targetList)]
  return lists.map((list) => (list ?? []) as AnyNode[])
}

function columnsSet(node: Write['node']): Set<string> {
  return new Set(setLists(node).flatMap((list) => list.flatMap((target) => target.ResTarget?.name ?? [])))
}

/** Columns that are set to DEFAULT, with the node that says so. */
export function defaultsSet(node: Write['node']): { column: string; location: number }[] {
  return setLists(node).flatMap((list) => list.flatMap(setToDefault))
}

/** SET a = DEFAULT, and SET (a, b) = (DEFAULT, 1), where each column has its place in the one row. */
function setToDefault(target: AnyNode): { column: string; location: number }[] {
  const { name = '', val } = target.ResTarget ?? {}
  const value = val as AnyNode | undefined
  const multi = value?.MultiAssignRef
  const item = ((multi?.source as AnyNode | undefined)?.RowExpr?.args ?? [])[(multi?.colno ?? 1) - 1] as AnyNode | undefined
  const found = (value?.SetToDefault ?? item?.SetToDefault) as { location?: number } | undefined
  return found === undefined ? [] : [{ column: name, location: found.location ?? 0 }]
}
