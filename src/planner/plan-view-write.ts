/**
 * Writes to views, as PostgreSQL rewrites them (manual, CREATE VIEW, "Updatable Views").
 *
 * A view that it cannot update is left to the shell, which refuses as it does. A write to a view whose columns are its
 * table's own becomes one to the table. All others run over copies, under a temporary view like the user's, so that check
 * options, computed columns and whole rows are PostgreSQL's own.
 */
import { deparseSync } from 'pgsql-deparser'
import { refuse } from '../base/errors.ts'
import { qualified, quoteIdent } from '../base/quote.ts'
import type { Relation } from '../catalog/snapshot.ts'
import type { AnyNode, ColumnRef, RangeVar, SelectStmt } from '../sql/ast.ts'
import { contains, names, walk } from '../sql/ast.ts'
import type { Statement } from '../sql/parse.ts'
import { parseOne } from '../sql/parse.ts'
import { sameTree } from '../sql/same-tree.ts'
import { findKeyword, nameEnd, nextToken } from '../sql/scanner.ts'
import type { Edit } from '../sql/source-text.ts'
import { SourceText } from '../sql/source-text.ts'
import type { StatementFacts } from './facts.ts'
import { statementFacts } from './facts.ts'
import type { QueryPlan } from './plan.ts'
import { catalogPlan } from './plan-select.ts'
import { viewBench } from './plan-workbench.ts'
import type { NameContext } from './resolve.ts'
import { resolveName } from './resolve.ts'
import { writesOf } from './writes.ts'
import type { Write } from './writes.ts'

/** The view and the views below it, down to its table. */
export interface ViewChain {
  readonly views: readonly Relation[]
  readonly table: Relation
}

/** The statement on the table, or the plan of a statement that needs its view; undefined when it writes no view. */
export function planViewWrite(statement: Statement, facts: StatementFacts, context: NameContext): { rewritten: Statement } | { plan: QueryPlan } | undefined {
  const writes = writesOf(statement.node, facts).filter((write) => write.relation.viewDefinition !== undefined)
  const [write] = writes
  if (write === undefined) return undefined
  const { relation } = write
  const own = statement.node.InsertStmt ?? statement.node.UpdateStmt ?? statement.node.DeleteStmt ?? statement.node.MergeStmt
  if (writes.length > 1 || own?.relation !== write.rangeVar) throw refuse(`cannot write to view "${relation.name}" inside WITH`, 'Write to its table.')
  if (relation.view?.hasTriggers === true) throw refuse(`cannot write to view "${relation.name}", which has triggers`, 'Write to its table.')
  if (relation.view?.isUpdatable !== true) return { plan: catalogPlan(statement, facts, true) }
  const chain = chainOf(relation, context)
  const rewritten = onTable(statement, facts, write, chain)
  return rewritten === undefined ? { plan: viewBench(statement, facts, context, write, chain) } : { rewritten }
}

function chainOf(relation: Relation, context: NameContext): ViewChain {
  const views: Relation[] = []
  let at = relation
  while (at.viewDefinition !== undefined) {
    views.push(at)
    const { relations, tableFunctions } = statementFacts(parseOne(at.viewDefinition), context)
    if (relations.length > 1 || tableFunctions.length > 0) throw refuse(`cannot write to view "${relation.name}", whose condition reads other tables`, 'Write to its table.')
    const from = (parseOne(at.viewDefinition).SelectStmt?.fromClause ?? []) as AnyNode[]
    const rangeVar = from[0]?.RangeVar as RangeVar | undefined
    const resolved = resolveName(context, rangeVar?.schemaname, rangeVar?.relname ?? '')
    if (resolved.kind !== 'relation') throw refuse(`cannot write to view "${relation.name}"`, 'Write to its table.')
    at = resolved.relation
  }
  if (at.table === undefined) throw refuse(`cannot write to view "${relation.name}"`, 'Write to its table.')
  return { views, table: at }
}

/** The write as one to the table, where names mean the same there; else undefined. */
function onTable(statement: Statement, facts: StatementFacts, write: Write, { views, table }: ViewChain): Statement | undefined {
  const [view, below] = views
  const { node, rangeVar } = write
  if (view === undefined || below !== undefined || node.MergeStmt !== undefined || facts.modifyingCte) return undefined
  if (view.view?.options.some((option) => /^security_barrier=(true|on)/.test(option)) === true) return undefined
  const checks = view.view?.options.some((option) => option.startsWith('check_option=')) === true
  if (checks && node.DeleteStmt === undefined) return undefined
  if (view.columns.some((column) => column.default !== undefined) || !hasOwnColumns(view)) return undefined
  const alias = rangeVar.alias?.aliasname ?? rangeVar.relname ?? ''
  if (rangeVar.alias?.colnames !== undefined || rangeVar.inh !== true || !namesColumnsOf(view, table, statement.node, alias)) return undefined
  const { source } = statement
  const start = rangeVar.location ?? 0
  const isInsert = node.InsertStmt !== undefined
  const name = rangeVar.alias === undefined ? `${qualified(table.schema, table.name)} AS ${quoteIdent(alias)}` : qualified(table.schema, table.name)
  const edits: Edit[] = [{ start, end: nameEnd(source.raw, start), text: name }]
  if (isInsert) {
    const list = columnList(write, view)
    if (list === undefined) return undefined
    const at = rangeVar.alias === undefined ? nameEnd(source.raw, start) : aliasEnd(source.raw, nameEnd(source.raw, start))
    if (list !== '') edits.push({ start: at, end: at, text: list })
  } else {
    const condition = viewCondition(view, alias)
    if (condition === undefined) return undefined
    if (condition !== '') edits.push(...conditionEdits(source, start, node.UpdateStmt?.whereClause ?? node.DeleteStmt?.whereClause, condition))
  }
  const edited = new SourceText(source.edited(edits))
  return { source: edited, node: parseOne(edited.text) }
}

/** Every column is a column of the table, under its own name. */
function hasOwnColumns(view: Relation): boolean {
  const select = parseOne(view.viewDefinition ?? '').SelectStmt as SelectStmt | undefined
  return (select?.targetList ?? []).every((target) => {
    const { name, val } = (target as AnyNode).ResTarget ?? {}
    const fields = names(((val as AnyNode | undefined)?.ColumnRef?.fields ?? []) as AnyNode[])
    return fields.length > 0 && (name === undefined || name === fields.at(-1)) && fields.at(-1) !== ''
  })
}

/** The statement means neither the view as a whole nor columns that the table alone has. */
function namesColumnsOf(view: Relation, table: Relation, node: AnyNode, alias: string): boolean {
  const own = new Set(view.columns.map((column) => column.name))
  const hidden = new Set(table.columns.map((column) => column.name).filter((name) => !own.has(name)))
  let plain = true
  walk(node, (tree, key) => {
    if (key === 'ResTarget' && typeof tree.name === 'string' && hidden.has(tree.name)) plain = false
    if (key !== 'ColumnRef') return
    const fields = (tree as ColumnRef).fields as AnyNode[]
    const last = names(fields).at(-1) ?? ''
    if (fields.some((field) => field.A_Star !== undefined) || hidden.has(last) || (fields.length === 1 && last === alias) || fields.length > 2) plain = false
    if (names(fields)[0] === alias && fields.length === 2 && !own.has(last)) plain = false
  })
  return plain
}

/** Without names, the values of an INSERT are the view's columns'. */
function columnList({ node }: Write, view: Relation): string | undefined {
  const insert = node.InsertStmt
  if (insert?.cols !== undefined || insert?.selectStmt === undefined) return ''
  const rows = ((insert.selectStmt as AnyNode).SelectStmt as SelectStmt | undefined)?.valuesLists
  const width = (rows?.[0] as AnyNode | undefined)?.List?.items?.length
  if (width === undefined || width > view.columns.length) return undefined
  return ` (${view.columns.slice(0, width).map((column) => quoteIdent(column.name)).join(', ')})`
}

/** Behind [AS] alias. */
function aliasEnd(raw: string, from: number): number {
  const first = nextToken(raw, from)
  const isAs = first !== undefined && raw.slice(first.start, first.end).toLowerCase() === 'as'
  return (isAs ? nextToken(raw, first.end)?.end : first?.end) ?? from
}

/** The view's WHERE over the target's alias; '' when it has none, undefined when it can't be written so. */
function viewCondition(view: Relation, alias: string): string | undefined {
  const where = parseOne(view.viewDefinition ?? '').SelectStmt?.whereClause as AnyNode | undefined
  if (where === undefined) return ''
  if (contains(where, 'SubLink')) return undefined
  const own = JSON.parse(
    JSON.stringify(where, (key, value: unknown) => (key === 'ColumnRef' ? { fields: [{ String: { sval: alias } }, ...((value as ColumnRef).fields ?? []).slice(-1)] } : value)),
  ) as AnyNode
  const text = deparseSync(own as never)
  return sameTree(parseOne(`SELECT WHERE ${text}`).SelectStmt?.whereClause, own) ? text : undefined
}

/** ... WHERE (given) AND (condition) ...; a comment at the end of a line must not swallow what is added. */
function conditionEdits(source: SourceText, from: number, given: unknown, condition: string): Edit[] {
  const returning = findKeyword(source.raw, 'returning', from, true)
  const end = returning?.start ?? source.raw.replace(/;\s*$/, '').length
  if (given === undefined) return [{ start: end, end, text: `\nWHERE (${condition})\n` }]
  const where = findKeyword(source.raw, 'where', from)
  if (where === undefined) throw refuse('cannot read the WHERE clause')
  return [
    { start: where.end, end: where.end, text: ' (' },
    { start: end, end, text: `\n) AND (${condition})\n` },
  ]
}
