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

export function groupsOf(plan: QueryPlan, snapshot: Snapshot): ReadonlySet<number> {
  const markers = new Set(markersOf(plan))
  if (markers.size === 0) return new Set()
  const tables = [...snapshot.relations.values()].flatMap(({ table }) => table ?? [])
  return new Set(tables.flatMap((table) => (table.group !== undefined && markers.has(markerName(table)) ? [table.group] : [])))
}
