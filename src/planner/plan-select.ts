/**
 * The ladder for SELECT: one shard, scatter, gather. Each rung is taken only when the rule named in its plan holds.
 */
import { refuse } from '../base/errors.ts'
import { markerName } from '../catalog/snapshot.ts'
import type { AnyNode, FuncCall, SelectStmt } from '../sql/ast.ts'
import { names } from '../sql/ast.ts'
import type { Statement } from '../sql/parse.ts'
import { oneShardPlan, scatterText, timeUse } from './rewrite.ts'
import type { StatementFacts } from './facts.ts'
import { statementFacts } from './facts.ts'
import { inlineCtes } from './inline-ctes.ts'
import { buildGather } from './plan-gather.ts'
import type { CatalogPlan, CombineFunction, QueryPlan, ScatterPlan } from './plan.ts'
import { planWritingSelect } from './plan-writing-select.ts'
import { locksSameRowsEverywhere, refuseLocksOfCopies } from './row-locks.ts'
import { planMerge } from './plan-merge.ts'
import type { NameContext } from './resolve.ts'
import { hasForeignAggregates, partitionOf, partitionOfRows } from './partition.ts'
import type { Member } from './ties.ts'
import { commonKey, findTies } from './ties.ts'

export function planSelect(statement: Statement, facts: StatementFacts, context: NameContext): QueryPlan {
  const tables = facts.tables.filter((use) => use.relation.table !== undefined)
  const onShards = tables.filter((use) => use.relation.table?.kind !== 'reference')
  if (facts.modifyingCte && tables.some((use) => use.isTarget)) return planWritingSelect(statement, facts, context)
  if (onShards.length === 0 && facts.routerFacts.length > 0) return buildGather(statement, facts, context, `the router knows its ${facts.routerFacts.join(' and ')}`)
  if (onShards.length === 0 && facts.shardFacts.length > 0) return buildGather(statement, facts, context, 'the shards know their sizes and statistics')
  if (onShards.length === 0) return withoutShards(statement, facts, tables.length > 0)
  if (facts.systemColumns.includes('tableoid')) throw refuse('tableoid of a table on shards is not the table\'s own', 'Name the table as a constant.')
  refuseLocksOfCopies(statement.node, facts)
  const whole = oneShard(statement, facts, context)
  if (whole !== undefined) return whole
  const inlined = inlineCtes(statement, facts, context)
  if (inlined === statement) return acrossShards(statement, facts, context)
  const factsThere = { ...statementFacts(inlined.node, context), shardFacts: facts.shardFacts }
  return oneShard(inlined, factsThere, context) ?? acrossShards(inlined, factsThere, context)
}

function acrossShards(statement: Statement, facts: StatementFacts, context: NameContext): QueryPlan {
  return scatter(statement, facts, context) ?? planMerge(statement, facts, context) ?? gather(statement, facts, context)
}

/** Catalog alone, or reference tables, of which every shard has a copy. */
function withoutShards(statement: Statement, facts: StatementFacts, hasReference: boolean): QueryPlan {
  const onCatalog = facts.relations.some((use) => use.resolved.kind !== 'relation' || use.resolved.relation.table === undefined)
  if (hasReference && facts.locking && facts.systemColumns.length === 0 && safeEverywhere(facts) && locksSameRowsEverywhere(statement.node)) {
    return Object.freeze({ kind: 'everywhere', table: undefined, rule: 'rows of a reference table are locked on every server', text: scatterText(statement, facts), markers: markersOf(facts) })
  }
  if (hasReference && !onCatalog && facts.catalogOnly.length === 0 && !facts.locking && !facts.modifyingCte && facts.systemColumns.length === 0) {
    return oneShardPlan('reference tables only', { kind: 'any' }, statement, facts)
  }
  return catalogPlan(statement, facts)
}

const pinning = /^(nextval|setval|currval|lastval|pg_(try_)?advisory_(un)?lock(_shared|_all)?|pg_export_snapshot)$/

export function pinsSession(facts: StatementFacts): boolean {
  return facts.catalogOnly.some((name) => pinning.test(name))
}

export function catalogPlan(statement: Statement, facts: StatementFacts, writes = false): CatalogPlan {
  const effects = facts.catalogOnly.length > 0 || facts.volatile.length > 0 || facts.modifyingCte
  const temporary = facts.relations.some((use) => use.resolved.kind === 'temporary')
  return Object.freeze({ kind: 'catalog', rule: 'no table on a shard', text: statement.source.text, ...timeUse(statement, facts), writes: writes || effects, pins: temporary || pinsSession(facts) })
}

/** Every table with rows is on one shard, or tied to one bucket. */
export function oneShard(statement: Statement, facts: StatementFacts, context: NameContext): QueryPlan | undefined {
  if (facts.catalogOnly.length > 0 || facts.routerFacts.length > 0) return undefined
  if (facts.relations.some((use) => use.resolved.kind !== 'relation' || use.resolved.relation.table === undefined)) return undefined
  // A WITH that writes a reference table here would change one of its copies.
  if (facts.tables.some((use) => use.isTarget && use.relation.table?.kind === 'reference')) return undefined
  const singles = new Set<number>()
  let distributed = 0
  for (const { relation } of facts.tables) {
    if (relation.table?.kind === 'single') singles.add(relation.table.shard ?? 0)
    if (relation.table?.kind === 'distributed') distributed++
  }
  if (distributed === 0 && singles.size === 1) {
    return oneShardPlan('all tables are on one shard', { kind: 'shard', shard: [...singles][0] as number }, statement, facts)
  }
  if (distributed === 0 || singles.size > 0) return undefined
  const { members } = findTies(statement.node, context)
  const [first] = members
  if (members.length !== distributed || first === undefined) return undefined
  const key = commonKey(members)
  const { table } = first.relation
  if (key === undefined || table?.group === undefined || table.keyType === undefined) return undefined
  return oneShardPlan('all tables are tied to one key', { kind: 'bucket', group: table.group, keyType: table.keyType, key }, statement, facts)
}

/** Each shard answers for its rows, and the answers follow each other: see partition.ts for the rule. */
function scatter(statement: Statement, facts: StatementFacts, context: NameContext): QueryPlan | undefined {
  const select = statement.node.SelectStmt as SelectStmt | undefined
  if (select === undefined || facts.systemColumns.length > 0 || facts.modifyingCte || !safeEverywhere(facts)) return undefined
  if (facts.tables.some((use) => use.relation.table?.kind === 'single')) return undefined
  if (select.sortClause !== undefined || select.limitCount !== undefined || select.limitOffset !== undefined) return undefined
  const ties = findTies(statement.node, context)
  if (ties.members.length !== facts.tables.filter((use) => use.relation.table?.kind === 'distributed').length) return undefined
  const partition = partitionOf(select, ties, context, true)
  if (partition !== undefined) return scatterPlan('each row comes from one bucket', statement, facts, context, [...partition.root], undefined)
  const combine = combination(select, context)
  const rows = combine === undefined ? undefined : partitionOfRows(select, ties.members, ties, context)
  if (rows === undefined || hasForeignAggregates(select, ties, context)) return undefined
  return scatterPlan('each row that is counted comes from one bucket', statement, facts, context, [...rows.root], combine)
}

/** Nothing that gives something else, or does something else, when it runs on several servers. */
export function safeEverywhere(facts: StatementFacts): boolean {
  return (
    facts.volatile.length === 0 &&
    facts.catalogOnly.length === 0 &&
    facts.routerFacts.length === 0 &&
    !facts.hiddenTime &&
    facts.relations.every((use) => use.resolved.kind === 'relation' && use.resolved.relation.table !== undefined)
  )
}

export function scatterPlan(
  rule: string,
  statement: Statement,
  facts: StatementFacts,
  context: NameContext,
  root: readonly Member[],
  combine: readonly CombineFunction[] | undefined,
  writes = false,
): ScatterPlan {
  return Object.freeze({
    kind: 'scatter',
    rule,
    ...placesOf(root, context),
    text: scatterText(statement, facts),
    markers: markersOf(facts),
    writes,
    locks: facts.locking,
    combine,
  })
}

/** The shards that have rows of these members, and the keys that all of them are restricted to. */
export function placesOf(root: readonly Member[], context: NameContext): Pick<ScatterPlan, 'shards' | 'keys'> {
  const groups = [...new Set(root.map((member) => member.relation.table?.group ?? 0))].map((id) => context.snapshot.groups.get(id))
  const shards = [...new Set(groups.flatMap((group) => group?.owners ?? []))].sort((a, b) => a - b)
  const [group, ...others] = groups
  const sources = root.map((member) => member.constants[0])
  const known = sources.filter((one) => one !== undefined)
  if (group === undefined || others.length > 0 || known.length < sources.length) return { shards, keys: undefined }
  return { shards, keys: { group: group.id, keyType: group.keyType, sources: known.flat() } }
}

export function markersOf(facts: StatementFacts): string[] {
  return [...new Set(facts.tables.flatMap((use) => (use.relation.table === undefined ? [] : [markerName(use.relation.table)])))]
}

/** Only counts, one a column: their sum is the whole's. */
function combination(select: SelectStmt, context: NameContext): CombineFunction[] | undefined {
  if (select.op !== 'SETOP_NONE' || context.snapshot.functions.has('count')) return undefined
  if ((select.groupClause ?? select.havingClause ?? select.distinctClause ?? select.withClause ?? select.intoClause ?? select.lockingClause) !== undefined) return undefined
  const columns: CombineFunction[] = []
  for (const target of select.targetList ?? []) {
    const call = ((target as AnyNode).ResTarget?.val as AnyNode | undefined)?.FuncCall as FuncCall | undefined
    if (call === undefined || names(call.funcname as AnyNode[]).at(-1) !== 'count' || call.agg_distinct === true || call.over !== undefined) return undefined
    columns.push('sum-of-counts')
  }
  return columns.length > 0 ? columns : undefined
}

export function gather(statement: Statement, facts: StatementFacts, context: NameContext): QueryPlan {
  if (facts.locking) {
    throw refuse('cannot lock rows of several shards in this kind of query', 'Lock them in a simple SELECT by key, or without joins, first.')
  }
  if (facts.systemColumns.length > 0) throw refuse(`cannot read ${facts.systemColumns[0]} across shards`, 'Restrict the query to one key.')
  return buildGather(statement, facts, context, 'rows come together on the catalog')
}

