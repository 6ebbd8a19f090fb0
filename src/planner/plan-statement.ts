/** The planner's door: one statement of data (SELECT, VALUES, INSERT, UPDATE, DELETE, MERGE) to a plan. */
import { refuse, SqlError } from '../base/errors.ts'
import type { SelectStmt } from '../sql/ast.ts'
import { contains, intoOf } from '../sql/ast.ts'
import type { Statement } from '../sql/parse.ts'
import { expandViews } from './expand-views.ts'
import type { StatementFacts } from './facts.ts'
import { refuseTableFunctions } from './facts.ts'
import { planDml } from './plan-dml.ts'
import { planInsert } from './plan-insert.ts'
import type { QueryPlan } from './plan.ts'
import { gather, planSelect } from './plan-select.ts'
import { planViewWrite } from './plan-view-write.ts'
import type { NameContext } from './resolve.ts'

export interface PlannedStatement {
  readonly plan: QueryPlan
  /** Names that the snapshot does not know: it may be behind. */
  readonly unknownNames: boolean
}

export function isDataStatement(statement: Statement): boolean {
  const { node } = statement
  const select = node.SelectStmt as SelectStmt | undefined
  if (select !== undefined) return intoOf(select) === undefined
  return (node.InsertStmt ?? node.UpdateStmt ?? node.DeleteStmt ?? node.MergeStmt) !== undefined
}

/** Where the rows must come from: anywhere, one server (a cursor), or the catalog (what outlives its transaction). */
export type RowsFrom = 'anywhere' | 'one-server' | 'catalog'

/** Functions that run SQL given as text, or read a table given by name: on the shell they would find it empty. */
const sqlAsText = /^(query_to_xml.*|table_to_xml.*|schema_to_xml.*|database_to_xml.*|cursor_to_xml.*|ts_stat|ts_rewrite|dblink.*|crosstab.*|connectby)$/

export function refuseSqlAsText(facts: StatementFacts): void {
  const found = facts.functionNames.find((name) => sqlAsText.test(name))
  if (found !== undefined) throw refuse(`${found} is not supported: it would read tables on the catalog, where they are empty`, 'Write its query into the statement.')
}

/** Backends are the router's sessions, and their locks are on many servers: the catalog would speak of its own. */
function refuseBackends({ functionNames }: StatementFacts): void {
  const signal = functionNames.find((name) => /^pg_(cancel|terminate)_backend$/.test(name))
  if (signal !== undefined) throw refuse(`${signal} is supported in the SELECT list alone`, 'Write SELECT pg_terminate_backend(pid) FROM ...')
  if (functionNames.includes('pg_blocking_pids')) throw refuse('pg_blocking_pids is not supported: locks are on many servers')
}

export function planStatement(given: Statement, context: NameContext, rowsFrom: RowsFrom = 'anywhere'): PlannedStatement {
  const { statement, facts } = expandViews(given, context)
  refuseTableFunctions(facts)
  const pathHasOwn = context.searchPath.includes('pgherd')
  if (facts.relations.some((use) => use.isTarget && (use.rangeVar.schemaname === 'pgherd' || (pathHasOwn && use.resolved.kind === 'unknown')))) {
    throw new SqlError('42501', 'permission denied for schema pgherd')
  }
  const ofSession = facts.relations.find((use) => use.resolved.kind === 'system' && /^pg_(prepared_statements|cursors)$/.test(use.rangeVar.relname ?? ''))
  if (ofSession !== undefined) throw refuse(`${ofSession.rangeVar.relname} is not supported: prepared statements and cursors are the router's`)
  refuseSqlAsText(facts)
  refuseBackends(facts)
  if (facts.functionNames.includes('set_config')) throw refuse('set_config is supported alone, with constants', 'Use SET.')
  if (facts.relations.some((use) => use.isTarget && use.rangeVar.relname === 'pg_settings')) throw refuse('pg_settings cannot be written', 'Use SET.')
  if (given.source.text.includes('\x01')) throw refuse('the statement holds the control character 0x01', 'Send it as a parameter.')
  const unknownNames = facts.relations.some((use) => use.resolved.kind === 'unknown')
  const { node } = statement
  if (contains(node, 'CurrentOfExpr')) throw refuse('WHERE CURRENT OF is not supported across shards', 'Name the row by its key.')
  const throughView = planViewWrite(statement, facts, context)
  if (throughView !== undefined && 'plan' in throughView) return { plan: throughView.plan, unknownNames }
  if (throughView !== undefined) return planStatement(throughView.rewritten, context, rowsFrom)
  if (node.SelectStmt !== undefined && rowsFrom !== 'anywhere') {
    const plan = planSelect(statement, facts, context)
    const fits = plan.kind === 'catalog' || plan.kind === 'gather' || (plan.kind === 'one-shard' && rowsFrom === 'one-server')
    return { plan: fits ? plan : gather(statement, facts, context), unknownNames }
  }
  if (node.SelectStmt !== undefined) return { plan: planSelect(statement, facts, context), unknownNames }
  if (node.InsertStmt !== undefined) return { plan: planInsert(statement, facts, context), unknownNames }
  if (node.UpdateStmt !== undefined || node.DeleteStmt !== undefined || node.MergeStmt !== undefined) {
    return { plan: planDml(statement, facts, context), unknownNames }
  }
  throw refuse('this statement cannot be planned')
}
