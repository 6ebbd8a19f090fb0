/** UPDATE, DELETE and MERGE: one shard; all shards at once; a reference table everywhere; else refused. */
import { refuse } from '../base/errors.ts'
import type { Relation } from '../catalog/snapshot.ts'
import type { AnyNode, UpdateStmt } from '../sql/ast.ts'
import { contains } from '../sql/ast.ts'
import { qualified } from '../base/quote.ts'
import type { Statement } from '../sql/parse.ts'
import type { StatementFacts } from './facts.ts'
import { isConstantDefault } from './constant-default.ts'
import { gatherSources, shardsOf } from './plan-gather.ts'
import type { QueryPlan } from './plan.ts'
import { timeHole } from './plan.ts'
import { catalogPlan, markersOf, oneShard, pinsSession, safeEverywhere, scatterPlan } from './plan-select.ts'
import type { NameContext } from './resolve.ts'
import { withDefaultsWritten } from './written-defaults.ts'
import { hole, qualify, scatterText } from './rewrite.ts'
import { findTies, tiedTo } from './ties.ts'

export function planDml(given: Statement, givenFacts: StatementFacts, context: NameContext): QueryPlan {
  const { statement, facts } = withDefaultsWritten(given, givenFacts, context)
  const own = (statement.node.UpdateStmt ?? statement.node.DeleteStmt ?? statement.node.MergeStmt)?.relation
  const target = facts.relations.find((use) => use.rangeVar === own)
  const relation = target?.resolved.kind === 'relation' ? target.resolved.relation : undefined
  if (relation?.table === undefined) return onCatalog(statement, facts, context)
  refuseKeyChange(statement.node, relation)
  refuseSequenceDefaults(statement.node, facts)
  if (facts.systemColumns.includes('tableoid')) throw refuse("tableoid of a table on shards is not the table's own")
  if (relation.table.kind === 'reference') return everywhere(statement, facts, relation)
  const single = oneShard(statement, facts, context)
  if (single?.kind === 'one-shard') return Object.freeze({ ...single, writes: true })
  return scatterDml(statement, facts, context, relation) ?? broadcastDml(statement, facts, context, relation) ?? refuseDml(statement, relation)
}

/** A temporary table, or none that is known: the shell answers, over gathered rows where the statement reads tables. */
function onCatalog(statement: Statement, facts: StatementFacts, context: NameContext): QueryPlan {
  refuseTargetsOnShards(facts)
  const reads = facts.tables.filter((use) => use.relation.table !== undefined && use.relation.table.kind !== 'reference')
  if (reads.length === 0) return catalogPlan(statement, facts, true)
  return Object.freeze({ kind: 'gather', rule: 'writes a table of the catalog', ...gatherSources(statement, facts, context), writes: true, pins: pinsSession(facts) || facts.relations.some((use) => use.resolved.kind === 'temporary') })
}

/** WITH in a statement on the catalog: a table on shards that it writes would be the empty one of the shell. */
export function refuseTargetsOnShards(facts: StatementFacts): void {
  if (facts.tables.some((use) => use.isTarget && use.relation.table !== undefined)) {
    throw refuse('cannot change tables inside WITH across shards', 'Use statements of their own in a transaction.')
  }
}

/** On shards a column has no default that takes from a sequence: the router takes its values, in INSERT ... VALUES alone. */
function refuseSequenceDefaults(node: AnyNode, facts: StatementFacts): void {
  const targets = facts.tables.filter((use) => use.isTarget && use.relation.columns.some((column) => /nextval\(/.test(column.default ?? '') || column.identity !== ''))
  if (targets.length === 0) return
  const inserts = node.MergeStmt !== undefined && JSON.stringify(node).includes('"CMD_INSERT"')
  if (contains(node, 'SetToDefault') || inserts || facts.modifyingCte) {
    throw refuse('cannot take the next value of a sequence in this statement', 'Give the value, or use INSERT ... VALUES.')
  }
}

/** A row's key decides where it lives; changing it would have to move the row. */
function refuseKeyChange(node: AnyNode, relation: Relation): void {
  const update = node.UpdateStmt as UpdateStmt | undefined
  const key = relation.table?.keyColumn
  for (const target of update?.targetList ?? []) {
    const { name, val } = (target as AnyNode).ResTarget ?? {}
    const column = relation.columns.find((one) => one.name === name)
    if (key !== undefined && name === key) {
      throw refuse(`cannot change the shard key "${key}" of a row`, 'Delete the row and insert it anew, in one transaction.')
    }
    if (column?.sequence !== undefined && (val as AnyNode | undefined)?.SetToDefault !== undefined) {
      throw refuse(`cannot set "${column.name}" to the next value of its sequence`, 'Give the value: nextval() in a SELECT of its own.')
    }
  }
}

function everywhere(statement: Statement, facts: StatementFacts, relation: Relation): QueryPlan {
  const others = facts.tables.filter((use) => use.relation.table !== undefined && use.relation.table.kind !== 'reference')
  const differs = statement.node.MergeStmt !== undefined || facts.systemColumns.length > 0 || facts.modifyingCte || contains(statement.node, 'SetToDefault') || JSON.stringify(statement.node).includes('"limitCount"')
  if (others.length > 0 || !safeEverywhere(facts) || differs) {
    throw refuse(
      'cannot write to a reference table by a statement that may give different values on each shard',
      'Compute the values first, and give them as constants.',
    )
  }
  return Object.freeze({ kind: 'everywhere', table: qualified(relation.schema, relation.name), rule: 'a reference table has a copy on every server', text: scatterText(statement, facts), markers: markersOf(facts) })
}

function scatterDml(statement: Statement, facts: StatementFacts, context: NameContext, relation: Relation): QueryPlan | undefined {
  if (statement.node.MergeStmt !== undefined || facts.modifyingCte || facts.systemColumns.length > 0 || !safeEverywhere(facts)) return undefined
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
  if (facts.modifyingCte || facts.locking || facts.systemColumns.length > 0 || !safeEverywhere(facts) || others.length === 0) return undefined
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

function refuseDml(statement: Statement, relation: Relation): never {
  const verb = statement.node.MergeStmt !== undefined ? 'MERGE into' : statement.node.UpdateStmt !== undefined ? 'UPDATE' : 'DELETE from'
  throw refuse(
    `cannot ${verb} "${relation.name}" by rows of other shards, or with functions that differ from shard to shard`,
    'Read the values first, or tie the tables by their shard keys.',
  )
}
