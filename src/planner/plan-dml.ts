/** UPDATE, DELETE and MERGE: one shard; all shards at once; a reference table everywhere; else over copies of the rows. */
import { refuse } from '../base/errors.ts'
import type { Relation } from '../catalog/snapshot.ts'
import type { AnyNode, InsertStmt } from '../sql/ast.ts'
import { contains } from '../sql/ast.ts'
import { qualified } from '../base/quote.ts'
import type { Statement } from '../sql/parse.ts'
import type { StatementFacts } from './facts.ts'
import { withoutFreshValues } from './fresh-values.ts'
import { isConstantDefault, takesFromSequence } from './constant-default.ts'
import { checkIdentityWrites } from './identity-rules.ts'
import { gatherSources, readsReferences, shardsOf } from './plan-gather.ts'
import type { QueryPlan } from './plan.ts'
import { timeHole } from './plan.ts'
import { catalogPlan, markersOf, oneShard, pinsSession, safeEverywhere, scatterPlan } from './plan-select.ts'
import type { NameContext } from './resolve.ts'
import { withDefaultsWritten } from './written-defaults.ts'
import { hole, qualify, scatterText } from './rewrite.ts'
import { keySource } from './key-source.ts'
import { findTies, sameKey, tiedTo } from './ties.ts'
import { workbench } from './plan-workbench.ts'
import type { Write } from './writes.ts'
import { defaultsSet, writesOf } from './writes.ts'

export function planDml(given: Statement, givenFacts: StatementFacts, context: NameContext): QueryPlan {
  const { statement, facts } = withDefaultsWritten(given, givenFacts, context)
  const writes = writesOf(statement.node, facts)
  checkIdentityWrites(writes)
  const own = (statement.node.UpdateStmt ?? statement.node.DeleteStmt ?? statement.node.MergeStmt)?.relation
  const target = facts.relations.find((use) => use.rangeVar === own)
  const relation = target?.resolved.kind === 'relation' ? target.resolved.relation : undefined
  if (relation?.table === undefined) return onCatalog(statement, facts, context)
  if (facts.systemColumns.includes('tableoid')) throw refuse("tableoid of a table on shards is not the table's own")
  const needed = needsBench(writes)
  if (needed !== undefined) return rekey(statement, facts, context, writes) ?? workbench(needed, statement, facts, context)
  if (relation.table.kind === 'reference') return everywhere(statement, facts, relation) ?? workbench(otherwise, statement, facts, context)
  const single = oneShard(statement, facts, context)
  if (single?.kind === 'one-shard') return Object.freeze({ ...single, writes: true })
  return scatterDml(statement, facts, context, relation) ?? broadcastDml(statement, facts, context, relation) ?? workbench(otherwise, statement, facts, context)
}

const otherwise = 'runs over copies of its rows'

/** A temporary table, or none that is known: the shell answers, over gathered rows where the statement reads tables. */
export function onCatalog(statement: Statement, facts: StatementFacts, context: NameContext): QueryPlan {
  if (facts.tables.some((use) => use.isTarget && use.relation.table !== undefined)) return workbench(otherwise, statement, facts, context)
  const reads = facts.tables.filter((use) => use.relation.table !== undefined && use.relation.table.kind !== 'reference')
  if (reads.length === 0) return catalogPlan(statement, facts, true)
  return Object.freeze({ kind: 'gather', rule: 'writes a table of the catalog', readsReference: readsReferences(facts, context), ...gatherSources(statement, facts, context), writes: true, pins: pinsSession(facts) || facts.relations.some((use) => use.resolved.kind === 'temporary') })
}

/** Why what is written can't be left to the shards as it stands; undefined when it can. New rows of `own` are its planner's. */
export function needsBench(writes: readonly Write[], own?: InsertStmt): string | undefined {
  for (const { node, relation, sets, inserts } of writes) {
    if (relation.table === undefined) continue
    const key = relation.table.keyColumn
    if (key !== undefined && sets.has(key)) return 'a row moves with its key'
    const sequenced = new Set(relation.columns.filter(takesFromSequence).map((column) => column.name))
    if (sequenced.size > 0 && inserts && (own === undefined || node.InsertStmt !== own)) return 'sequences are the catalog\'s'
    if (defaultsSet(node).some(({ column }) => sequenced.has(column))) return 'sequences are the catalog\'s'
  }
  return undefined
}

/** UPDATE of the key of one row, to a value that is known at Bind: mostly the same value, or one of the same bucket. */
function rekey(statement: Statement, facts: StatementFacts, context: NameContext, writes: readonly Write[]): QueryPlan | undefined {
  const [write] = writes
  const { UpdateStmt } = statement.node
  const table = write?.relation.table
  if (UpdateStmt === undefined || writes.length !== 1 || table?.kind !== 'distributed') return undefined
  if (needsBench([{ ...(write as Write), sets: new Set() }]) !== undefined) return undefined
  const targets = (UpdateStmt.targetList ?? []).map((node) => (node as AnyNode).ResTarget)
  const value = targets.find((target) => target?.name === table.keyColumn)?.val as AnyNode | undefined
  const newKey = value === undefined ? undefined : keySource(value, table.keyType, context)
  const stays = oneShard(statement, facts, context)
  if (newKey === undefined || stays?.kind !== 'one-shard' || stays.route.kind !== 'bucket') return undefined
  const one = Object.freeze({ ...stays, writes: true })
  if (sameKey(newKey, stays.route.key)) return one
  return Object.freeze({ kind: 'rekey', rule: 'a row moves with its key', newKey, stays: one, moves: workbench('a row moves with its key', statement, facts, context) })
}

/** Undefined when the statement may give different values on each server. */
function everywhere(statement: Statement, facts: StatementFacts, relation: Relation): QueryPlan | undefined {
  const others = facts.tables.filter((use) => use.relation.table !== undefined && use.relation.table.kind !== 'reference')
  const differs = statement.node.MergeStmt !== undefined || facts.systemColumns.length > 0 || facts.modifyingCte || contains(statement.node, 'SetToDefault') || JSON.stringify(statement.node).includes('"limitCount"')
  if (others.length > 0 || !safeEverywhere(facts) || differs) return undefined
  return Object.freeze({ kind: 'everywhere', table: qualified(relation.schema, relation.name), rule: 'a reference table has a copy on every server', text: scatterText(statement, facts), markers: markersOf(facts) })
}

function scatterDml(statement: Statement, facts: StatementFacts, context: NameContext, relation: Relation): QueryPlan | undefined {
  if (statement.node.MergeStmt !== undefined || facts.modifyingCte || facts.systemColumns.length > 0 || !safeEverywhere(withoutFreshValues(statement.node, facts, context))) return undefined
  if (contains(statement.node, 'SetToDefault') && relation.columns.some((column) => !isConstantDefault(column, context))) return undefined
  if (relation.table?.kind !== 'distributed' || facts.tables.some((use) => use.relation.table?.kind === 'single')) return undefined
  const { members } = findTies(statement.node, context)
  if (members.length !== facts.tables.filter((use) => use.relation.table?.kind === 'distributed').length) return undefined
  const target = facts.tables.find((use) => use.isTarget)
  const root = members.find((member) => member.rangeVar === target?.rangeVar)
  if (root === undefined || tiedTo(members, new Set([root])).size !== members.length) return undefined
  return scatterPlan('each row is changed where it lives', statement, facts, context, [root], undefined, true)
}

/**
 * Each shard changes its own rows, and finds all rows of the other tables beside them: right when the statement gives the
 * same for a row of the target wherever it runs. MERGE that inserts would insert on every shard.
 */
function broadcastDml(statement: Statement, facts: StatementFacts, context: NameContext, relation: Relation): QueryPlan | undefined {
  const { node } = statement
  const others = facts.tables.filter((use) => !use.isTarget)
  if (facts.modifyingCte || facts.locking || facts.systemColumns.length > 0 || !safeEverywhere(withoutFreshValues(statement.node, facts, context)) || others.length === 0) return undefined
  if (facts.tables.filter((use) => use.isTarget).length !== 1) return undefined
  if (node.MergeStmt !== undefined && relation.table?.kind !== 'single' && JSON.stringify(node).includes('"CMD_INSERT"')) return undefined
  if (contains(node, 'SetToDefault') && relation.columns.some((column) => !isConstantDefault(column, context))) return undefined
  const target = facts.tables.find((use) => use.isTarget)
  const edits = target === undefined ? [] : qualify(statement, target.rangeVar, relation.schema, relation.name)
  const { fetches, text, timed } = gatherSources(statement, facts, context, edits, (temporary) => `${hole}${temporary}${hole}`, `${hole}time${hole}`)
  const parts = timed?.pieces ?? text.split(hole)
  return Object.freeze({
    kind: 'broadcast',
    rule: 'rows of other tables are brought to each shard',
    fetches,
    pieces: parts.filter((_, i) => i % 2 === 0),
    uses: parts.filter((_, i) => i % 2 === 1).map((name) => (name === 'time' ? timeHole : fetches.findIndex((fetch) => fetch.temporary === name))),
    shards: shardsOf(relation, context),
    // Only the tables that are read where they are: the target, and copies of reference tables.
    markers: markersOf({ ...facts, tables: facts.tables.filter((use) => use.isTarget || use.relation.table?.kind === 'reference') }),
  })
}
