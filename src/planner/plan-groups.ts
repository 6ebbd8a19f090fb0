/** The table groups of which a plan may lock whole tables. */
import type { Snapshot } from '../catalog/snapshot.ts'
import { markerName } from '../catalog/snapshot.ts'
import type { QueryPlan } from './plan.ts'

/** Statements for one bucket, and those on the catalog alone, lock no whole table of a group. */
function markersOf(plan: QueryPlan): readonly string[] {
  switch (plan.kind) {
    case 'scatter':
    case 'merge':
      return plan.markers
    case 'gather':
      return plan.fetches.flatMap(({ markers }) => markers)
    case 'broadcast':
    case 'insert-select':
      return [...plan.markers, ...plan.fetches.flatMap(({ markers }) => markers)]
    case 'insert-rows':
      return plan.rows.length > 1 ? plan.markers : []
    case 'workbench':
      return [...plan.benches, ...plan.fetches].flatMap(({ markers }) => markers)
    case 'rekey':
      return markersOf(plan.moves)
    default:
      return []
  }
}

/**
 * The table groups of which a plan locks leaves alone. Who writes to a leaf has a lock of its parent, too, until the transaction ends: PostgreSQL
 * takes it when it checks that the row is one of the leaf's.
 */
export function leafGroupsOf(plan: QueryPlan, snapshot: Snapshot): ReadonlySet<number> {
  if (plan.kind === 'insert-rows') return new Set(plan.relation.table?.group === undefined ? [] : [plan.relation.table.group])
  if (plan.kind !== 'one-shard') return new Set()
  const ids = new Set(plan.text.tableIds)
  return new Set([...snapshot.relations.values()].flatMap(({ table }) => (table?.group !== undefined && ids.has(table.id) ? [table.group] : [])))
}

export function groupsOf(plan: QueryPlan, snapshot: Snapshot): ReadonlySet<number> {
  const markers = new Set(markersOf(plan))
  if (markers.size === 0) return new Set()
  const tables = [...snapshot.relations.values()].flatMap(({ table }) => table ?? [])
  return new Set(tables.flatMap((table) => (table.group !== undefined && markers.has(markerName(table)) ? [table.group] : [])))
}
