/**
 * INSERT. Rows given as VALUES whose keys are constants, parameters or the next of a sequence go straight to their
 * shards. All other rows (a SELECT, defaults and keys that must be computed) are made on the catalog, each default
 * evaluated once, and brought to their shards.
 */
import { refuse } from '../base/errors.ts'
import { quoteIdent } from '../base/quote.ts'
import type { Column, Relation } from '../catalog/snapshot.ts'
import { leafName, markerName } from '../catalog/snapshot.ts'
import type { AnyNode, InsertStmt, SelectStmt } from '../sql/ast.ts'
import { contains } from '../sql/ast.ts'
import type { Statement } from '../sql/parse.ts'
import { parseOne } from '../sql/parse.ts'
import { sameTree } from '../sql/same-tree.ts'
import { findKeyword, nameEnd, nextToken } from '../sql/scanner.ts'
import type { ValuesList } from '../sql/values-list.ts'
import { valuesList } from '../sql/values-list.ts'
import { SourceText } from '../sql/source-text.ts'
import { dropColumnSchemas } from './edits.ts'
import type { StatementFacts } from './facts.ts'
import { statementFacts } from './facts.ts'
import { gatherSources } from './plan-gather.ts'
import type { InsertRow, InsertRowsPlan, KeySource, QueryPlan } from './plan.ts'
import { rowsTable } from './plan.ts'
import { hidesTime, isConstantDefault, refuseNotedDefaults, timeDefaults } from './constant-default.ts'
import { checkIdentityWrites } from './identity-rules.ts'
import { needsBench, onCatalog } from './plan-dml.ts'
import { workbench } from './plan-workbench.ts'
import { writesOf } from './writes.ts'
import { withDefaultsWritten } from './written-defaults.ts'
import { pinsSession } from './plan-select.ts'
import type { NameContext } from './resolve.ts'
import { hole, timeEdits } from './rewrite.ts'
import { keySource } from './key-source.ts'

export function planInsert(given: Statement, givenFacts: StatementFacts, context: NameContext): QueryPlan {
  const written = withDefaultsWritten(given, givenFacts, context)
  const { statement, facts } = withoutColumnSchemas(written.statement, written.facts, context)
  const insert = statement.node.InsertStmt as InsertStmt
  const target = facts.relations.find((use) => use.rangeVar === insert.relation)
  const relation = target?.resolved.kind === 'relation' ? target.resolved.relation : undefined
  if (relation?.table === undefined) return onCatalog(statement, facts, context)
  const writes = writesOf(statement.node, facts)
  checkIdentityWrites(writes)
  const needed = facts.modifyingCte ? 'all parts see the rows as they were' : (needsBench(writes, insert) ?? needsWholeTable(insert, facts))
  if (needed !== undefined) return workbench(needed, statement, facts, context)
  return insertRows(statement, facts, context, insert, relation, targetColumns(insert, relation)) ?? insertSelect(statement, facts, context, insert, relation)
}

/** The target goes by another name on shards, under its own as an alias: RETURNING s.t.c must say t.c. */
function withoutColumnSchemas(statement: Statement, facts: StatementFacts, context: NameContext): { statement: Statement; facts: StatementFacts } {
  const edits = dropColumnSchemas(statement.source, statement.node)
  if (edits.length === 0) return { statement, facts }
  const source = new SourceText(statement.source.edited(edits))
  const node = parseOne(source.text)
  return { statement: { source, node }, facts: statementFacts(node, context) }
}

/** A subquery behind the rows sees the whole table, and all others. */
function needsWholeTable(insert: InsertStmt, facts: StatementFacts): string | undefined {
  const reads = contains(insert.onConflictClause, 'SubLink') || contains(insert.returningClause, 'SubLink')
  return reads && facts.relations.length > 1 ? 'subqueries see whole tables' : undefined
}

function targetColumns(insert: InsertStmt, relation: Relation): string[] | undefined {
  if (insert.cols === undefined) return undefined
  return insert.cols.map((node) => (node as AnyNode).ResTarget).map((target) => {
    if ((target?.indirection?.length ?? 0) > 0) throw refuse(`cannot insert into a part of a column of "${relation.name}"`)
    return target?.name ?? ''
  })
}

function insertRows(
  statement: Statement,
  facts: StatementFacts,
  context: NameContext,
  insert: InsertStmt,
  relation: Relation,
  given: readonly string[] | undefined,
): InsertRowsPlan | undefined {
  const { source } = statement
  const select = (insert.selectStmt as AnyNode | undefined)?.SelectStmt as SelectStmt | undefined
  const lists = select === undefined ? [[]] : select.valuesLists?.map((row) => ((row as AnyNode).List?.items ?? []) as AnyNode[])
  if (lists === undefined || insert.withClause !== undefined) return undefined
  if (select !== undefined && (select.sortClause ?? select.limitCount ?? select.withClause) !== undefined) return undefined
  if (facts.catalogOnly.length > 0 || facts.hiddenTime || facts.relations.some((use) => use.rangeVar !== insert.relation)) return undefined
  if (relation.table?.kind === 'reference' && insert.onConflictClause !== undefined && contains(insert.onConflictClause, 'SetToDefault')) return undefined
  const isReference = relation.table?.kind === 'reference'
  if (isReference && (facts.volatile.length > 0 || facts.usesTime)) return undefined
  const spans = select === undefined ? undefined : valuesList(source.raw, nameEnd(source.raw, insert.relation?.location ?? 0))
  if (select !== undefined && spans?.rows.length !== lists.length) return undefined
  const width = lists[0]?.length ?? 0
  // INSERT INTO t VALUES (1): the values belong to the first columns.
  const columns = [...(given ?? relation.columns.slice(0, width).map((column) => column.name))]
  if (lists.some((row) => row.length !== width) || width > relation.columns.length || (given !== undefined && select !== undefined && width !== columns.length)) return undefined
  if (columns.some((name) => !relation.columns.some((column) => column.name === name))) return undefined

  const added = relation.columns.filter((column) => column.sequence !== undefined && !columns.includes(column.name))
  const left = relation.columns.filter((column) => column.default !== undefined && !column.generated && column.sequence === undefined && !columns.includes(column.name))
  refuseNotedDefaults(left, context)
  // A default that takes from a sequence and does more with it is the catalog's to compute.
  const computed = (column: Column) => column.sequence === undefined && /nextval\(/.test(column.default ?? '')
  const usesComputed = relation.columns.some((column) => {
    const at = columns.indexOf(column.name)
    return computed(column) && (at < 0 || lists.some((row) => row[at] === undefined || row[at]?.SetToDefault !== undefined))
  })
  if (usesComputed) return undefined
  if (relation.columns.some((column) => hidesTime(column, context))) return undefined
  if (isReference && left.some((column) => !isConstantDefault(column, context))) return undefined
  const keyName = relation.table?.keyColumn
  columns.push(...added.map((column) => column.name))
  const keyColumn = keyName === undefined ? -1 : columns.indexOf(keyName)
  if (keyName !== undefined && keyColumn < 0) {
    if (relation.columns.find((column) => column.name === keyName)?.default !== undefined) return undefined
  }
  const ignored = (column: Column | undefined) => insert.override === 'OVERRIDING_USER_VALUE' && column !== undefined && column.identity !== ''
  const sequences = relation.columns
    .filter((column) => column.sequence !== undefined)
    .map((column) => {
      const at = columns.indexOf(column.name)
      return {
        column: at,
        sequence: column.sequence ?? '',
        rows: lists.flatMap((row, i) => (at >= width || row[at]?.SetToDefault !== undefined || ignored(column) ? [i] : [])),
      }
    })
    .filter((one) => one.rows.length > 0)

  const rows: InsertRow[] = []
  for (const [i, list] of lists.entries()) {
    const values = [...(spans?.rows[i]?.values ?? []).map((span) => source.between(span.start, span.end).trim()), ...added.map(() => 'DEFAULT')]
    if (values.length !== columns.length) return undefined
    let key: KeySource | undefined = { kind: 'null' }
    if (keyColumn >= 0) {
      const node = list[keyColumn]
      if (node === undefined || node.SetToDefault !== undefined || ignored(relation.columns.find((column) => column.name === keyName))) {
        if (relation.columns.find((column) => column.name === keyName)?.sequence === undefined) return undefined
        key = undefined
      } else {
        key = keySource(node, relation.table?.keyType, context)
        if (key === undefined) return undefined
      }
    }
    rows.push({ values, key })
  }
  const plan: InsertRowsPlan = Object.freeze({
    kind: 'insert-rows',
    rule: 'each row goes where its key belongs',
    relation,
    alias: insert.relation?.alias?.aliasname,
    columns,
    rows,
    sequences,
    keyColumn,
    timeDefaults: timeDefaults(left, context),
    usesTime: false,
    tail: tailText(source, insert, spans?.end),
    returning: insert.returningClause !== undefined,
    everyRowReturns: insert.onConflictClause === undefined && !relation.triggers.some((trigger) => trigger.mayDropInserts),
    namesConstraint: insert.onConflictClause?.infer?.conname !== undefined,
    markers: relation.table === undefined ? [] : [markerName(relation.table)],
  })
  assertSameRows(insert, plan, lists, added.length)
  return withTimeHoles(plan, statement, facts, context, insert, lists, spans)
}

/** now() in values and in the tail becomes holes; so does DEFAULT where it is the time. */
function withTimeHoles(
  plan: InsertRowsPlan,
  statement: Statement,
  facts: StatementFacts,
  context: NameContext,
  insert: InsertStmt,
  lists: readonly AnyNode[][],
  spans: ValuesList | undefined,
): InsertRowsPlan {
  const { source } = statement
  const given = timeDefaults(plan.relation.columns.filter((column) => plan.columns.includes(column.name)), context)
  const defaults = new Map(given.map(({ column, pieces }) => [plan.columns.indexOf(column), pieces.join(hole)]))
  const usesDefaults = defaults.size > 0 && lists.some((list) => list.some((node, i) => defaults.has(i) && node.SetToDefault !== undefined))
  if (!facts.usesTime && !usesDefaults) return plan
  const edits = timeEdits(statement)
  const rows = plan.rows.map((row, i) => ({
    ...row,
    values: row.values.map((value, at) => {
      const span = spans?.rows[i]?.values[at]
      if (lists[i]?.[at]?.SetToDefault !== undefined) return defaults.get(at) ?? value
      return span === undefined ? value : source.editedBetween(span.start, span.end, edits).trim()
    }),
  }))
  const tail = plan.tail === '' ? '' : source.editedBetween(tailStart(source, insert, spans?.end), source.length, edits)
  return Object.freeze({ ...plan, rows, tail, usesTime: true })
}

/** What stands behind the rows. Without VALUES (DEFAULT VALUES) only RETURNING and ON CONFLICT can stand there. */
function tailText(source: SourceText, insert: InsertStmt, valuesEnd: number | undefined): string {
  return source.between(tailStart(source, insert, valuesEnd), source.length)
}

function tailStart(source: SourceText, insert: InsertStmt, valuesEnd: number | undefined): number {
  if (insert.onConflictClause !== undefined) return insert.onConflictClause.location ?? 0
  if (insert.returningClause === undefined) return source.length
  const returning = findKeyword(source.raw, 'returning', valuesEnd ?? 0, true)
  if (returning === undefined) throw refuse('cannot read the RETURNING clause')
  return returning.start
}

/** The statement built from the cut pieces must be the one that was sent, but for the columns that were added. */
function assertSameRows(insert: InsertStmt, plan: InsertRowsPlan, lists: readonly AnyNode[][], added: number): void {
  const built = parseOne(insertText(plan, leafName(0, 0), plan.rows)).InsertStmt as InsertStmt
  const rows = (((built.selectStmt as AnyNode | undefined)?.SelectStmt as SelectStmt | undefined)?.valuesLists ?? []).map((row) => {
    const items = ((row as AnyNode).List?.items ?? []) as AnyNode[]
    return items.slice(0, items.length - added)
  })
  const same = (insert.selectStmt === undefined || sameTree(rows, lists)) && sameTree(built.onConflictClause, insert.onConflictClause) && sameTree(built.returningClause, insert.returningClause)
  if (!same) throw refuse('the INSERT could not be taken apart for its shards', 'Please report it.')
}

/** An INSERT of some of the plan's rows into `target`, a leaf or the table itself. */
export function insertText(plan: InsertRowsPlan, target: string, rows: readonly { readonly values: readonly string[] }[]): string {
  const alias = quoteIdent(plan.alias ?? plan.relation.name)
  if (plan.columns.length === 0) return `INSERT INTO ${target} AS ${alias} DEFAULT VALUES ${plan.tail}`
  const columns = plan.columns.map(quoteIdent).join(', ')
  return `INSERT INTO ${target} AS ${alias} (${columns}) VALUES ${rows.map((row) => `(${row.values.join(', ')})`).join(', ')} ${plan.tail}`
}

/** Any INSERT: its rows are made in a temporary table on the catalog that has the target's columns and defaults. */
function insertSelect(
  statement: Statement,
  facts: StatementFacts,
  context: NameContext,
  insert: InsertStmt,
  relation: Relation,
): QueryPlan {
  const { source } = statement
  const conflict = insert.onConflictClause
  const behind = { conflict, returning: insert.returningClause }
  const differs = relation.table?.kind === 'reference' && conflict !== undefined && (facts.volatile.length > 0 || facts.usesTime || facts.catalogOnly.length > 0)
  if (differs || contains(behind, 'SubLink') || hasParameters(behind)) return workbench('runs over copies of its rows', statement, facts, context)
  if (insert.override === 'OVERRIDING_USER_VALUE') throw refuse('OVERRIDING USER VALUE is not supported for computed rows', 'Leave the identity column out.')
  refuseNotedDefaults(relation.columns.filter((column) => !column.generated && column.sequence === undefined), context)
  if (facts.locking) throw refuse('cannot lock rows in the SELECT of an INSERT across shards')
  const { text: gathered, fetches, timed, hiddenTime } = gatherSources(statement, facts, context)
  return Object.freeze({
    kind: 'insert-select',
    rule: 'rows are made on the catalog',
    relation,
    alias: insert.relation?.alias?.aliasname,
    fetches,
    text: intoRowsTable(gathered),
    timed: timed === undefined ? undefined : { pieces: intoRowsTable(timed.pieces.join(timeStandIn)).split(timeStandIn) },
    hiddenTime: hiddenTime || relation.columns.some((column) => hidesTime(column, context)),
    timeDefaults: timeDefaults(relation.columns, context),
    tail: { pieces: source.editedBetween(tailStart(source, insert, 0), source.length, facts.usesTime ? timeEdits(statement) : []).split(hole) },
    returning: insert.returningClause !== undefined,
    markers: relation.table === undefined ? [] : [markerName(relation.table)],
    pins: pinsSession(facts) || facts.relations.some((use) => use.resolved.kind === 'temporary'),
  })
}

/** What a hole for the time is while its text is parsed: nothing that a client may send. */
const timeStandIn = `'${hole}'`

/** The INSERT without its tail, into the temporary table. */
function intoRowsTable(text: string): string {
  const again = parseOne(text).InsertStmt as InsertStmt
  const whole = new SourceText(text)
  const start = again.relation?.location ?? 0
  let end = whole.length
  if (again.onConflictClause !== undefined) end = again.onConflictClause.location ?? end
  else if (again.returningClause !== undefined) end = findKeyword(whole.raw, 'returning', start, true)?.start ?? end
  const afterName = nameEnd(whole.raw, start)
  const body = whole.between(again.relation?.alias === undefined ? afterName : aliasEnd(whole.raw, afterName), end)
  return `${whole.between(0, start)}pg_temp.${rowsTable}${body}`
}

/** Behind [AS] alias. */
function aliasEnd(raw: string, from: number): number {
  const first = nextToken(raw, from)
  const isAs = first !== undefined && raw.slice(first.start, first.end).toLowerCase() === 'as'
  return (isAs ? nextToken(raw, first.end)?.end : first?.end) ?? from
}

function hasParameters(value: unknown): boolean {
  return JSON.stringify(value).includes('"ParamRef"')
}

