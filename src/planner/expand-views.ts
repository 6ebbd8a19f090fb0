/**
 * Views are replaced by their definitions: on shards there are none, and on the shell they would read empty tables.
 *
 * The shell's own pg_get_viewdef gives the definition with every name in it qualified, so it means the same anywhere.
 */
import { refuse } from '../base/errors.ts'
import { quoteIdent, quoteLiteral } from '../base/quote.ts'
import type { RangeVar } from '../sql/ast.ts'
import type { AnyNode } from '../sql/ast.ts'
import type { Statement } from '../sql/parse.ts'
import { parseOne } from '../sql/parse.ts'
import { nameEnd } from '../sql/scanner.ts'
import type { Edit } from '../sql/source-text.ts'
import { SourceText } from '../sql/source-text.ts'
import { dropOnly, tableCommand } from './edits.ts'
import type { StatementFacts } from './facts.ts'
import { statementFacts } from './facts.ts'
import type { NameContext } from './resolve.ts'

const depthMax = 50

/** The statement without views, and its facts. */
export function expandViews(statement: Statement, context: NameContext): { statement: Statement; facts: StatementFacts } {
  let current = statement
  for (let depth = 0; depth < depthMax; depth++) {
    const facts = statementFacts(current.node, context)
    const virtual = facts.relations.filter((use) => use.resolved.kind === 'system' && isVirtual(use.rangeVar))
    if (virtual.length > 0) {
      const edits = virtual.flatMap((use) => replaceByRows(current, use.rangeVar, context))
      const source = new SourceText(current.source.edited(edits))
      current = { source, node: parseOne(source.text) }
      continue
    }
    const views = facts.tables.filter((use) => use.relation.viewDefinition !== undefined)
    if (views.length === 0) return { statement: current, facts }
    const target = views.find((use) => use.isTarget)
    if (target !== undefined) {
      throw refuse(`cannot write to view "${target.relation.name}"`, 'Write to its table.')
    }
    if (!needsExpansion(views.map((use) => use.relation.viewDefinition ?? ''), context)) return { statement: current, facts }
    if (facts.locking) throw refuse('cannot lock rows through a view', 'Name the tables instead.')
    const edits = views.flatMap((use): Edit[] => {
      const { rangeVar, relation } = use
      const start = rangeVar.location ?? 0
      const alias = rangeVar.alias === undefined ? ` AS ${quoteIdent(rangeVar.relname ?? '')}` : ''
      const text = `(${relation.viewDefinition})${alias}`
      return [...tableCommand(current.source, rangeVar), ...dropOnly(current.source, rangeVar), { start, end: nameEnd(current.source.raw, start), text }]
    })
    const source = new SourceText(current.source.edited(edits))
    current = { source, node: parseOne(source.text) }
  }
  throw refuse('views are nested too deeply')
}

const isVirtual = (rangeVar: RangeVar) => rangeVar.schemaname === 'pgherd' && rangeVar.relname === 'shards'

/** pgherd.shards is not in the database: routers know it from the cluster's own. */
function replaceByRows(statement: Statement, rangeVar: RangeVar, { snapshot }: NameContext): Edit[] {
  const buckets = (shard: number) => [...snapshot.groups.values()].reduce((sum, group) => sum + group.owners.filter((owner) => owner === shard).length, 0)
  const rows = snapshot.servers.map((server) => {
    const texts = [server.name, server.role, server.host].map(quoteLiteral)
    return `(${server.shard}, ${texts.join(', ')}, ${server.port}, ${quoteLiteral(server.state)}, ${buckets(server.shard)})`
  })
  const alias = rangeVar.alias === undefined ? ' AS shards' : ''
  const text = `(SELECT * FROM (VALUES ${rows.join(', ')}) AS v (id, name, role, host, port, state, buckets))${alias}`
  const start = rangeVar.location ?? 0
  return [{ start, end: nameEnd(statement.source.raw, start), text }]
}

/** A view over the system's own tables alone is answered by the shell as it is. */
function needsExpansion(definitions: readonly string[], context: NameContext): boolean {
  return definitions.some((definition) => {
    const node: AnyNode = parseOne(definition)
    const facts = statementFacts(node, context)
    return facts.tables.length > 0 || facts.tableFunctions.length > 0
  })
}
