/**
 * The ladder for SELECT: one shard, scatter, gather. Each rung is taken only when the rule named in its plan holds.
 */
import { refuse } from '../base/errors.ts'
import type { Relation } from '../catalog/snapshot.ts'
import { markerName } from '../catalog/snapshot.ts'
import type { AnyNode, FuncCall, JoinExpr, SelectStmt } from '../sql/ast.ts'
import { names, walk } from '../sql/ast.ts'
import type { Statement } from '../sql/parse.ts'
import { oneShardPlan, scatterText, timeUse } from './rewrite.ts'
import type { StatementFacts } from './facts.ts'
import { buildGather } from './plan-gather.ts'
import type { CatalogPlan, CombineFunction, QueryPlan, ScatterPlan } from './plan.ts'
import type { NameContext } from './resolve.ts'
import { commonKey, findTies, tiedTo } from './ties.ts'

export function planSelect(statement: Statement, facts: StatementFacts, context: NameContext): QueryPlan {
  const tables = facts.tables.filter((use) => use.relation.table !== undefined)
  const onShards = tables.filter((use) => use.relation.table?.kind !== 'reference')
  if (onShards.length === 0 && facts.shardFacts.length > 0) return buildGather(statement, facts, context, 'the shards know their sizes and statistics')
  if (onShards.length === 0) return withoutShards(statement, facts, tables.length > 0)
  if (facts.systemColumns.includes('tableoid')) throw refuse('tableoid of a table on shards is not the table\'s own', 'Name the table as a constant.')
  if (facts.modifyingCte && facts.tables.some((use) => use.isTarget && use.relation.columns.some((column) => /nextval\(/.test(column.default ?? '') || column.identity !== ''))) {
    throw refuse('cannot insert into a table with a sequence inside WITH', 'Use INSERT ... VALUES, in a transaction.')
  }
  return oneShard(statement, facts, context) ?? scatter(statement, facts, context) ?? gather(statement, facts, context)
}

/** Catalog alone, or reference tables, of which every shard has a copy. */
function withoutShards(statement: Statement, facts: StatementFacts, hasReference: boolean): QueryPlan {
  const onCatalog = facts.relations.some((use) => use.resolved.kind !== 'relation' || use.resolved.relation.table === undefined)
  if (hasReference && !onCatalog && facts.catalogOnly.length === 0 && !facts.locking && !facts.modifyingCte && facts.systemColumns.length === 0) {
    return oneShardPlan('reference tables only', { kind: 'any' }, statement, facts)
  }
  if (facts.tables.some((use) => use.isTarget && use.relation.table !== undefined)) throw refuse('cannot change a reference table inside WITH', 'Use a statement of its own.')
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
  if (facts.catalogOnly.length > 0) return undefined
  if (facts.relations.some((use) => use.resolved.kind !== 'relation' || use.resolved.relation.table === undefined)) return undefined
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

/**
 * Each shard answers for its rows: right when each row of the answer comes from rows of one bucket, so that putting the
 * shards' answers together, in any order, is the answer.
 */
function scatter(statement: Statement, facts: StatementFacts, context: NameContext): QueryPlan | undefined {
  const select = statement.node.SelectStmt as SelectStmt | undefined
  if (select === undefined || facts.systemColumns.length > 0 || !safeEverywhere(facts)) return undefined
  if (facts.tables.some((use) => use.relation.table?.kind === 'single') || facts.windows) return undefined
  if (!isPlainSelect(select) || facts.modifyingCte) return undefined
  const { members } = findTies(statement.node, context)
  if (members.length !== facts.tables.filter((use) => use.relation.table?.kind === 'distributed').length) return undefined
  const roots = shardedItems(select, context)
  if (roots === undefined) return undefined
  const root = members.find((member) => roots.has(member.alias) && tiedTo(members, new Set([member])).size === members.length)
  if (root === undefined) return undefined
  const combine = combination(select, facts, context)
  if (combine === undefined && facts.aggregates) return undefined
  return scatterPlan('each row comes from one bucket', statement, facts, context, root, combine)
}

/** Nothing that gives something else, or does something else, when it runs on several servers. */
export function safeEverywhere(facts: StatementFacts): boolean {
  return (
    facts.volatile.length === 0 &&
    facts.catalogOnly.length === 0 &&
    !facts.hiddenTime &&
    facts.relations.every((use) => use.resolved.kind === 'relation' && use.resolved.relation.table !== undefined)
  )
}

export function scatterPlan(
  rule: string,
  statement: Statement,
  facts: StatementFacts,
  context: NameContext,
  root: { relation: Relation; constants: readonly (readonly import('./plan.ts').KeySource[])[] },
  combine: readonly CombineFunction[] | undefined,
  writes = false,
): ScatterPlan {
  const { table } = root.relation
  const group = context.snapshot.groups.get(table?.group ?? 0)
  const [keys] = root.constants
  return Object.freeze({
    kind: 'scatter',
    rule,
    shards: [...new Set(group?.owners ?? [])].sort((a, b) => a - b),
    keys: keys === undefined || table?.keyType === undefined || group === undefined ? undefined : { group: group.id, keyType: table.keyType, sources: keys },
    text: scatterText(statement, facts),
    markers: markersOf(facts),
    writes,
    combine,
  })
}

export function markersOf(facts: StatementFacts): string[] {
  return [...new Set(facts.tables.flatMap((use) => (use.relation.table === undefined ? [] : [markerName(use.relation.table)])))]
}

/** No part that looks at more than one row at a time, but for aggregates that can be combined. */
function isPlainSelect(select: SelectStmt): boolean {
  return (
    select.op === 'SETOP_NONE' &&
    select.withClause === undefined &&
    select.distinctClause === undefined &&
    select.groupClause === undefined &&
    select.havingClause === undefined &&
    select.sortClause === undefined &&
    select.limitCount === undefined &&
    select.limitOffset === undefined &&
    select.valuesLists === undefined &&
    select.intoClause === undefined
  )
}

/**
 * The aliases of tables whose rows FROM keeps apart by shard; undefined when some row of FROM may come from no shard's
 * rows alone (a reference table or subquery on the preserved side of an outer join).
 */
function shardedItems(select: SelectStmt, context: NameContext): Set<string> | undefined {
  const aliases = new Set<string>()
  let ok = true
  /** True when the item's rows differ from shard to shard. */
  const visit = (node: AnyNode): boolean => {
    if (node.RangeVar !== undefined) {
      const { relname = '', schemaname, alias } = node.RangeVar
      const relation = findRelation(context, schemaname, relname)
      if (relation?.table?.kind !== 'distributed') return false
      aliases.add(alias?.aliasname ?? relname)
      return true
    }
    const join = node.JoinExpr as JoinExpr | undefined
    if (join === undefined) {
      // Functions and subqueries without distributed tables give the same rows everywhere.
      walk(node, (tree) => {
        if (typeof tree.relname === 'string' && findRelation(context, tree.schemaname as string | undefined, tree.relname)?.table?.kind === 'distributed') ok = false
      })
      return false
    }
    if (join.alias !== undefined) ok = false
    const before = new Set(aliases)
    const left = visit(join.larg as AnyNode)
    const afterLeft = new Set(aliases)
    const right = visit(join.rarg as AnyNode)
    if (join.jointype === 'JOIN_INNER') return left || right
    if (join.jointype === 'JOIN_LEFT') {
      if (right && !left) ok = false
      aliases.clear()
      for (const alias of afterLeft) aliases.add(alias)
      return left
    }
    if (join.jointype === 'JOIN_RIGHT') {
      if (left && !right) ok = false
      for (const alias of afterLeft) if (!before.has(alias)) aliases.delete(alias)
      return right
    }
    if (left || right) ok = false
    return left || right
  }
  for (const item of select.fromClause ?? []) visit(item as AnyNode)
  return ok && aliases.size > 0 ? aliases : undefined
}

function findRelation(context: NameContext, schema: string | undefined, name: string): Relation | undefined {
  for (const path of schema === undefined ? context.searchPath : [schema]) {
    const relation = context.snapshot.relations.get(`${path}\0${name}`)
    if (relation !== undefined) return relation
  }
  return undefined
}

/** Only counts, one a column: their sum is the whole's. */
function combination(select: SelectStmt, facts: StatementFacts, context: NameContext): CombineFunction[] | undefined {
  if (!facts.aggregates || context.snapshot.functions.has('count')) return undefined
  const columns: CombineFunction[] = []
  for (const target of select.targetList ?? []) {
    const call = ((target as AnyNode).ResTarget?.val as AnyNode | undefined)?.FuncCall as FuncCall | undefined
    if (call === undefined || names(call.funcname as AnyNode[]).at(-1) !== 'count' || call.agg_distinct === true || call.over !== undefined) return undefined
    columns.push('sum-of-counts')
  }
  // An aggregate anywhere else (a subquery's own is found tied, and safe) would make rows of its own.
  return columns.length > 0 ? columns : undefined
}

export function gather(statement: Statement, facts: StatementFacts, context: NameContext): QueryPlan {
  if (facts.locking) {
    throw refuse('cannot lock rows of several shards in this kind of query', 'Lock them in a simple SELECT by key, or without joins, first.')
  }
  if (facts.systemColumns.length > 0) throw refuse(`cannot read ${facts.systemColumns[0]} across shards`, 'Restrict the query to one key.')
  if (facts.modifyingCte) throw refuse('cannot change tables inside WITH across shards', 'Use statements of their own in a transaction.')
  return buildGather(statement, facts, context, 'rows come together on the catalog')
}

