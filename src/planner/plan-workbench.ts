/**
 * Workbench: the rung below all others for writes. The statement runs on the catalog over copies: of the tables that it
 * reads, as in a gather, and of the rows that it may write, locked on their shards, in tables (*benches*) with the users'
 * own defaults and rules. So PostgreSQL itself decides what the statement does, all its parts see the rows as they were
 * before it, and its RETURNING is right. What it did to the benches is then done to the tables (executor/workbench.ts).
 */
import { refuse } from '../base/errors.ts'
import { quoteIdent, quoteLiteral } from '../base/quote.ts'
import { markerName } from '../catalog/snapshot.ts'
import type { AnyNode, RangeVar } from '../sql/ast.ts'
import type { Statement } from '../sql/parse.ts'
import { parseOne } from '../sql/parse.ts'
import type { Edit } from '../sql/source-text.ts'
import { SourceText } from '../sql/source-text.ts'
import { hidesTime, refuseNotedDefaults, timeDefaults } from './constant-default.ts'
import { dropColumnSchemas, replaceRelation } from './edits.ts'
import type { StatementFacts } from './facts.ts'
import { gatherSources, shardsOf, targetConditions, viewConditions } from './plan-gather.ts'
import type { ViewChain } from './plan-view-write.ts'
import { keySource } from './key-source.ts'
import type { Bench, BenchView, KeyList, KeySource, WorkbenchPlan } from './plan.ts'
import { pinsSession } from './plan-select.ts'
import type { NameContext } from './resolve.ts'
import { findTies } from './ties.ts'
import type { Write } from './writes.ts'
import { mergeActions, writesOf } from './writes.ts'

export function workbench(rule: string, statement: Statement, facts: StatementFacts, context: NameContext): WorkbenchPlan {
  if (facts.locking) throw refuse('cannot lock rows of several shards in a statement that writes', 'Lock them in a SELECT of its own first.')
  if (facts.systemColumns.length > 0) throw refuse(`cannot use ${facts.systemColumns[0]} in a statement that writes across shards`, 'Name rows by their keys.')
  const benches = new Map<number, Bench>()
  const edits: Edit[] = []
  for (const write of writesOf(statement.node, facts)) {
    if (write.relation.table === undefined) continue
    refuseUnknownEffects(write, context)
    const bench = merged(benches.get(write.relation.oid), benchOf(write, `pgherd_w${benches.size + 1}`, statement, context))
    benches.set(write.relation.oid, bench)
    edits.push(...replaceRelation(statement.source, write.rangeVar, `pg_temp.${bench.temporary}`))
  }
  const all = [...benches.values()]
  const { fetches, text, timed, hiddenTime } = gatherSources(statement, facts, context, edits)
  return Object.freeze({
    kind: 'workbench',
    rule,
    benches: all,
    views: [],
    fetches,
    text,
    timed,
    hiddenTime: hiddenTime || all.some(({ relation }) => relation.columns.some((column) => hidesTime(column, context))),
    timeDefaults: all.map(({ temporary, relation }) => ({ temporary, defaults: timeDefaults(relation.columns, context) })),
    pins: pinsSession(facts) || facts.relations.some((use) => use.resolved.kind === 'temporary'),
  })
}

/** A write to a view: the bench is its table's, and the view stands over it. */
export function viewBench(statement: Statement, facts: StatementFacts, context: NameContext, write: Write, chain: ViewChain): WorkbenchPlan {
  const { table, views } = chain
  const temporary = 'pgherd_w1'
  const onTable = { ...write, relation: table, sets: new Set(table.columns.map((column) => column.name)) }
  refuseUnknownEffects(onTable, context)
  const bench: Bench = { ...benchOf(onTable, temporary, statement, context), where: views.length === 1 ? viewConditions(views[0]?.viewDefinition ?? '', context) : [], keys: undefined }
  const made = views.map((view, i): BenchView => {
    const source = new SourceText(view.viewDefinition ?? '')
    const rangeVar = (parseOne(source.text).SelectStmt?.fromClause?.[0] as AnyNode | undefined)?.RangeVar as RangeVar
    const below = i + 1 === views.length ? temporary : `pgherd_v${i + 2}`
    const columns = view.columns.map((column) => quoteIdent(column.name)).join(', ')
    const options = (view.view?.options ?? []).filter((option) => /^(check_option|security_barrier)=/.test(option))
    const text = source.edited([...replaceRelation(source, rangeVar, `pg_temp.${below}`), ...dropColumnSchemas(source, parseOne(source.text))])
    const defaults = view.columns.flatMap((column) => (column.default === undefined ? [] : [{ column: column.name, text: column.default }]))
    return { temporary: `pgherd_v${i + 1}`, relation: view, text: `(${columns})${options.length === 0 ? '' : ` WITH (${options.join(', ')})`} AS ${text}`, defaults }
  })
  const edits = replaceRelation(statement.source, write.rangeVar, 'pg_temp.pgherd_v1')
  const { fetches, text, timed, hiddenTime } = gatherSources(statement, facts, context, edits)
  return Object.freeze({
    kind: 'workbench',
    rule: 'a view stands over copies of its table',
    benches: [bench],
    views: made.toReversed(),
    fetches,
    text,
    timed,
    hiddenTime: hiddenTime || table.columns.some((column) => hidesTime(column, context)),
    timeDefaults: [{ temporary, defaults: timeDefaults(table.columns, context) }],
    pins: pinsSession(facts) || facts.relations.some((use) => use.resolved.kind === 'temporary'),
  })
}

function benchOf(write: Write, temporary: string, statement: Statement, context: NameContext): Bench {
  const { relation, node, rangeVar } = write
  const { table } = relation
  const inserted = insertedKeys(write, context)
  const whereInserted = inserted === undefined ? [] : [`${quoteIdent(table?.keyColumn ?? '')} IN (${['NULL', ...inserted.sources.map(keyText)].join(', ')})`]
  return {
    temporary,
    relation,
    changes: write.changes || node.InsertStmt?.onConflictClause !== undefined,
    where: restricts(write) ? targetConditions(node, rangeVar, context) : whereInserted,
    keys: restricts(write) && node.MergeStmt === undefined ? keysOf(write, statement, context) : inserted,
    sets: [...write.sets],
    shards: shardsOf(relation, context),
    markers: table === undefined ? [] : [markerName(table)],
  }
}

/** Whether the statement's condition says which rows can change. */
function restricts({ node }: Write): boolean {
  return node.InsertStmt === undefined && !mergeActions(node).some((when) => when.matchKind === 'MERGE_WHEN_NOT_MATCHED_BY_SOURCE')
}

function keysOf({ relation, rangeVar }: Write, statement: Statement, context: NameContext): KeyList | undefined {
  const { table } = relation
  const [sources] = findTies(statement.node, context).members.find((member) => member.rangeVar === rangeVar)?.constants ?? []
  if (sources === undefined || table?.group === undefined || table.keyType === undefined) return undefined
  return { group: table.group, keyType: table.keyType, sources }
}

/**
 * The keys of an INSERT's rows, where all of them are known at Bind: no other rows can be in conflict with them, since every
 * unique index has the key. A varchar(n) drops spaces, so that its values are not known here.
 */
function insertedKeys({ node, relation }: Write, context: NameContext): KeyList | undefined {
  const { table } = relation
  const insert = node.InsertStmt
  const column = relation.columns.find((one) => one.name === table?.keyColumn)
  if (insert === undefined || column === undefined || table?.group === undefined || table.keyType === undefined || column.baseType?.includes('(') !== false) return undefined
  const names = insert.cols?.map((target) => (target as AnyNode).ResTarget?.name) ?? relation.columns.map((one) => one.name)
  const rows = ((insert.selectStmt as AnyNode | undefined)?.SelectStmt?.valuesLists ?? []) as AnyNode[]
  const sources: KeySource[] = []
  for (const row of rows) {
    const value = ((row.List?.items ?? []) as AnyNode[])[names.indexOf(column.name)]
    const source = value === undefined ? undefined : keySource(value, table.keyType, context)
    if (source === undefined) return undefined
    if (source.kind !== 'null') sources.push(source)
  }
  return sources.length === 0 ? undefined : { group: table.group, keyType: table.keyType, sources }
}

const keyText = (source: KeySource) => (source.kind === 'parameter' ? `$${source.number}` : source.kind === 'constant' ? quoteLiteral(source.text) : 'NULL')

/** Two writes of one table share its bench: it has the rows of both. */
function merged(one: Bench | undefined, other: Bench): Bench {
  if (one === undefined) return other
  const alone = !one.changes ? other : !other.changes ? one : undefined
  return {
    ...one,
    changes: one.changes || other.changes,
    where: alone?.where ?? [],
    keys: alone?.keys,
    sets: [...new Set([...one.sets, ...other.sets])],
  }
}

function refuseUnknownEffects({ node, relation, rangeVar }: Write, context: NameContext): void {
  if (rangeVar.inh !== true && relation.relkind === 'p') throw refuse('ONLY of a partitioned table is not supported across shards')
  refuseNotedDefaults(relation.columns.filter((column) => !column.generated && column.sequence === undefined), context)
  const identity = relation.columns.some((column) => column.identity !== '')
  const overrides = [node.InsertStmt?.override, ...mergeActions(node).map((when) => when.override)]
  if (identity && overrides.includes('OVERRIDING_USER_VALUE')) throw refuse('OVERRIDING USER VALUE is not supported for computed rows', 'Leave the identity column out.')
  if (relation.table?.kind === 'reference' && relation.primaryKey.length === 0 && (node.InsertStmt === undefined || node.InsertStmt.onConflictClause !== undefined)) {
    throw refuse(`cannot change rows of reference table "${relation.name}" in this statement: it has no primary key`, 'Compute the values first, and give them as constants.')
  }
}
