/** CALL of a procedure that touches no table: on the catalog. */
import { runOnServer } from '../../executor/run-on-server.ts'
import { refuseTableFunctions, statementFacts } from '../../planner/facts.ts'
import { pinsSession } from '../../planner/plan-select.ts'
import { refuseSqlAsText } from '../../planner/plan-statement.ts'
import type { Handler } from '../statements/run-statement.ts'

export const runCall: Handler = async (statement, args, sink, session) => {
  const snapshot = await session.currentSnapshot()
  const facts = statementFacts(statement.node, session.nameContext(snapshot, args.types))
  refuseTableFunctions(facts)
  refuseSqlAsText(facts)
  const context = session.executionContext(snapshot, statement.source.text)
  return runOnServer(session.services.catalog, { text: statement.source.text, markers: [], writes: true, pins: pinsSession(facts) }, args, sink, context)
}
