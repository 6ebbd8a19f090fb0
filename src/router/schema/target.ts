import type { Relation, Snapshot } from '../../catalog/snapshot.ts'
import { resolveName } from '../../planner/resolve.ts'
import type { RangeVar } from '../../sql/ast.ts'
import type { Session } from '../session.ts'

/** The table that a statement names, as it was before the statement. */
export function targetOf(rangeVar: RangeVar, snapshot: Snapshot, session: Session): Relation | undefined {
  const resolved = resolveName(session.nameContext(snapshot, []), rangeVar.schemaname, rangeVar.relname ?? '')
  return resolved.kind === 'relation' ? resolved.relation : undefined
}
