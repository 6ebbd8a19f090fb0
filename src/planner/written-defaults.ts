/**
 * DEFAULT in UPDATE SET, ON CONFLICT DO UPDATE SET and MERGE ... UPDATE SET, written out where the column's default is not
 * the same on every server at any time: the rest of the planner then sees what it is. Sequences are left: only the catalog
 * has them.
 */
import type { Statement } from '../sql/parse.ts'
import { parseOne } from '../sql/parse.ts'
import { nextToken } from '../sql/scanner.ts'
import type { Edit } from '../sql/source-text.ts'
import { SourceText } from '../sql/source-text.ts'
import { isConstantDefault, takesFromSequence } from './constant-default.ts'
import type { StatementFacts } from './facts.ts'
import { statementFacts } from './facts.ts'
import type { NameContext } from './resolve.ts'
import { defaultsSet, writesOf } from './writes.ts'

/** The statement with such DEFAULTs written out, and its facts; the same ones when there are none. */
export function withDefaultsWritten(statement: Statement, facts: StatementFacts, context: NameContext): { statement: Statement; facts: StatementFacts } {
  const edits = new Map<number, Edit>()
  for (const { node, relation } of writesOf(statement.node, facts)) {
    for (const { column, location } of defaultsSet(node)) {
      const found = relation.columns.find((one) => one.name === column)
      if (found?.default === undefined || found.generated || takesFromSequence(found) || isConstantDefault(found, context)) continue
      edits.set(location, { start: location, end: nextToken(statement.source.raw, location)?.end ?? location, text: `(${found.default})` })
    }
  }
  if (edits.size === 0) return { statement, facts }
  const source = new SourceText(statement.source.edited([...edits.values()]))
  const node = parseOne(source.text)
  return { statement: { source, node }, facts: { ...statementFacts(node, context), shardFacts: facts.shardFacts } }
}
