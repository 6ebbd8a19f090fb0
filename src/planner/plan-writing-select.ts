/** SELECT over WITH that writes: on one shard when all of it is tied to one key, else over copies of the rows. */
import type { Statement } from '../sql/parse.ts'
import type { StatementFacts } from './facts.ts'
import { checkIdentityWrites } from './identity-rules.ts'
import { needsBench } from './plan-dml.ts'
import { oneShard } from './plan-select.ts'
import { workbench } from './plan-workbench.ts'
import type { QueryPlan } from './plan.ts'
import type { NameContext } from './resolve.ts'
import { withDefaultsWritten } from './written-defaults.ts'
import { writesOf } from './writes.ts'

export function planWritingSelect(given: Statement, givenFacts: StatementFacts, context: NameContext): QueryPlan {
  const { statement, facts } = withDefaultsWritten(given, givenFacts, context)
  const writes = writesOf(statement.node, facts)
  checkIdentityWrites(writes)
  const needed = needsBench(writes)
  return (needed === undefined ? oneShard(statement, facts, context) : undefined) ?? workbench(needed ?? 'all parts see the rows as they were', statement, facts, context)
}
