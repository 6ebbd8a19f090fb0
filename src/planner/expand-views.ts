/**
 * Views are replaced by their definitions: on shards there are none, and on the shell they would read empty tables.
 *
 * The shell's own pg_get_viewdef gives the definition with every name in it qualified, so it means the same anywhere.
 */
import { refuse } from '../base/errors.ts'
import { quoteIdent, quoteLiteral } from '../base/quote.ts'
import type { Builtins } from '../catalog/snapshot.ts'
import type { RangeVar } from '../sql/ast.ts'
import type { AnyNode } from '../sql/ast.ts'
import type { Statement } from '../sql/parse.ts'
import { parseOne } from '../sql/parse.ts'
import { nameEnd } from '../sql/scanner.ts'
import type { Edit } from '../sql/source-text.ts'
import { SourceText } from '../sql/source-text.ts'
import { dropOnly, replaceRelation, tableCommand } from './edits.ts'
import { hideEdits, ownAlias, ownCondition, ownerColumn, qualifySystemColumns } from './hide-own.ts'
import type { RelationUse, StatementFacts } from './facts.ts'
import { statementFacts } from './facts.ts'
import type { NameContext } from './resolve.ts'
import { systemRelationKey } from './resolve.ts'
import { lockRows } from './router-facts.ts'
import { sessionPidEdits, sessionView } from './session-facts.ts'
import type { ShardFact } from './shard-facts.ts'
import { factOf, overlaidRelation, replaceSizeCall, sizeCalls } from './shard-facts.ts'

const depthMax = 50

/** The statement without views, and its facts. */
export function expandViews(statement: Statement, context: NameContext): { statement: Statement; facts: StatementFacts } {
  let current = statement
  for (let depth = 0; depth < depthMax; depth++) {
    const facts = statementFacts(current.node, context)
    const virtual = facts.relations.filter((use) => isVirtual(use, context))
    if (virtual.length > 0) {
      const edits = virtual.flatMap((use) => replaceByRows(current, use.rangeVar, context))
      const source = new SourceText(current.source.edited(edits))
      current = { source, node: parseOne(source.text) }
      continue
    }
    // A view that is written is the target's planner's: see plan-view-write.ts.
    const views = facts.tables.filter((use) => use.relation.viewDefinition !== undefined && !use.isTarget)
    if (views.length === 0) return asOnePostgres(current, facts, context)
    if (!needsExpansion(views.map((use) => use.relation.viewDefinition ?? ''), context)) return asOnePostgres(current, facts, context)
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

/** What the system's tables and functions say is made to be what one PostgreSQL would say: see hide-own.ts and shard-facts.ts. */
function asOnePostgres(statement: Statement, facts: StatementFacts, context: NameContext): { statement: Statement; facts: StatementFacts } {
  const { source, node } = statement
  const { builtins } = context.snapshot
  const calls = sizeCalls(node)
  const wanted = new Set<ShardFact>(calls.map((call) => call.fact))
  const edits = [...calls.flatMap((call) => replaceSizeCall(source, call)), ...(facts.catalogOnly.includes('pg_backend_pid') ? sessionPidEdits(source, node) : [])]
  for (const [i, use] of facts.relations.entries()) {
    const view = isOfSystem(use, builtins) ? sessionView(use.rangeVar.relname ?? '') : undefined
    const fact = isOfSystem(use, builtins) ? factOf(use.rangeVar.relname ?? '', node) : undefined
    if (view !== undefined) edits.push(...replaceRelation(source, use.rangeVar, view))
    else if (isLocks(use, context)) edits.push(...replaceRelation(source, use.rangeVar, lockRows))
    else if (fact === undefined) edits.push(...hideEdits(source, use, i + 1, builtins))
    else {
      const where = ownCondition('v', ownerColumn(use, builtins) ?? 'relnamespace')
      edits.push(...replaceRelation(source, use.rangeVar, overlaidRelation(fact, use.rangeVar.relname ?? '', facts.systemColumns, where)))
      wanted.add(fact)
    }
  }
  if (edits.length === 0) return { statement, facts }
  if (facts.systemColumns.length > 0) edits.push(...qualifySystemColumns(node))
  const edited = new SourceText(source.edited(edits))
  const changed = { source: edited, node: parseOne(edited.text) }
  // Names have other places now; what the conditions call is of no account.
  const { relations, tables, routerFacts } = statementFacts(changed.node, context)
  const own = (use: RelationUse) => use.rangeVar.alias?.aliasname === ownAlias
  return { statement: changed, facts: { ...facts, relations: relations.filter((use) => !own(use)), tables, shardFacts: [...wanted], routerFacts } }
}

function isOfSystem(use: RelationUse, builtins: Builtins): boolean {
  return use.resolved.kind === 'system' && !use.isTarget && systemRelationKey(use.rangeVar, builtins).startsWith('pg_catalog\0')
}

function isVirtual(use: RelationUse, context: NameContext): boolean {
  const { rangeVar, resolved, isTarget } = use
  if (resolved.kind === 'system' && !isTarget && rangeVar.schemaname !== 'information_schema' && context.views?.has(rangeVar.relname ?? '') === true) return true
  return isPgherds('shards', use, context)
}

function isPgherds(name: string, { rangeVar, resolved }: RelationUse, { searchPath }: NameContext): boolean {
  if (rangeVar.relname !== name) return false
  return rangeVar.schemaname === 'pgherd' || (rangeVar.schemaname === undefined && resolved.kind === 'unknown' && searchPath.includes('pgherd'))
}

const isLocks = (use: RelationUse, context: NameContext) => !use.isTarget && isPgherds('locks', use, context)

/** pgherd.shards is not in the database: routers know it from the cluster's own. */
function replaceByRows(statement: Statement, rangeVar: RangeVar, { snapshot, views }: NameContext): Edit[] {
  const rowsOfSession = views?.get(rangeVar.relname ?? '')
  if (rowsOfSession !== undefined) {
    const alias = rangeVar.alias === undefined ? ` AS ${quoteIdent(rangeVar.relname ?? '')}` : ''
    const at = rangeVar.location ?? 0
    return [...tableCommand(statement.source, rangeVar), ...dropOnly(statement.source, rangeVar), { start: at, end: nameEnd(statement.source.raw, at), text: `(${rowsOfSession})${alias}` }]
  }
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

/** A view over nothing of users' and nothing with pgherd's own in it is answered by the shell as it is. */
function needsExpansion(definitions: readonly string[], context: NameContext): boolean {
  return definitions.some((definition) => {
    const node: AnyNode = parseOne(definition)
    const facts = statementFacts(node, context)
    const { builtins } = context.snapshot
    return facts.tables.length > 0 || facts.tableFunctions.length > 0 || sizeCalls(node).length > 0 || facts.relations.some((use) => ownerColumn(use, builtins) !== undefined || isLocks(use, context) || (isOfSystem(use, builtins) && sessionView(use.rangeVar.relname ?? '') !== undefined))
  })
}
