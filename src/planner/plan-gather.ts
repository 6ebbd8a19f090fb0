/**
 * Gather: rows of the tables on shards come by COPY into temporary tables on the catalog, and the statement runs there,
 * with the tables' names replaced. It is right for every SELECT, since PostgreSQL itself does all the rest.
 *
 * To bring less, a fetch leaves out columns that the statement never names, and rows that a condition of its WHERE would
 * drop anyway. The statement still holds that condition, so a fetch may always bring more than it must.
 */
import { refuse } from '../base/errors.ts'
import type { Relation } from '../catalog/snapshot.ts'
import { markerName } from '../catalog/snapshot.ts'
import type { AnyNode, JoinExpr, RangeVar, SelectStmt } from '../sql/ast.ts'
import { names, walk } from '../sql/ast.ts'
import { parseOne } from '../sql/parse.ts'
import { renderCondition } from '../sql/render.ts'
import type { Statement } from '../sql/parse.ts'
import type { Edit } from '../sql/source-text.ts'
import { assertOnlyTablesChanged, dropColumnSchemas, replaceRelation } from './edits.ts'
import type { StatementFacts } from './facts.ts'
import type { Fetch, GatherPlan, TimedText, TimeUse } from './plan.ts'
import { pinsSession } from './plan-select.ts'
import type { NameContext } from './resolve.ts'
import { pushDown } from './push-down.ts'
import { hole, timeEdits } from './rewrite.ts'
import { routerFetch } from './router-facts.ts'
import { factFetch } from './shard-facts.ts'
import { conjuncts, findTies } from './ties.ts'
import { neverRun } from './unused-ctes.ts'

export function buildGather(statement: Statement, facts: StatementFacts, context: NameContext, rule: string): GatherPlan {
  const pushed = pushDown(statement, facts, context)
  const [rest, restFacts] = [pushed?.statement ?? statement, pushed?.facts ?? facts]
  const never = neverRun(rest.node, findTies(rest.node, context))
  const tables = restFacts.tables.filter((use) => !never.has(use.rangeVar))
  const { fetches, ...texts } = gatherSources(rest, { ...restFacts, tables }, context)
  const temporary = facts.relations.some((use) => use.resolved.kind === 'temporary')
  const writes = facts.catalogOnly.length > 0 || facts.volatile.length > 0
  const readsReference = readsReferences({ ...restFacts, tables }, context)
  return Object.freeze({ kind: 'gather', rule, readsReference, fetches: [...(pushed?.queries ?? []), ...fetches], ...texts, writes, pins: temporary || pinsSession(facts) })
}

/** The fetches of a statement and its text over what they bring. Tables that it writes are left as they are. */
export function gatherSources(
  statement: Statement,
  facts: StatementFacts,
  context: NameContext,
  more: readonly Edit[] = [],
  nameOf = (temporary: string) => `pg_temp.${temporary}`,
  timeMark = hole,
): { fetches: Fetch[]; text: string } & TimeUse<TimedText> {
  const conditions = pushableConditions(statement.node, context)
  const mentioned = mentionedNames(statement.node)
  const groups = JSON.stringify(statement.node).includes('"groupClause"')
  const edits: Edit[] = [...more]
  const byTable = new Map<string, Fetch>()
  for (const { rangeVar, relation, isTarget } of facts.tables) {
    if (relation.table === undefined || (relation.table.kind === 'reference' && context.fetchesReference !== true) || isTarget) continue
    if (rangeVar.inh !== true && relation.relkind === 'p') throw refuse('ONLY of a partitioned table is not supported across shards')
    const where = conditions.get(rangeVar) ?? []
    const key = JSON.stringify([relation.oid, where])
    const fetch = byTable.get(key) ?? {
      temporary: `pgherd_g${byTable.size + 1}`,
      relation,
      columns: neededColumns(relation, rangeVar, mentioned),
      where,
      primaryKey: [],
      shards: relation.table.kind === 'reference' ? [context.snapshot.shards[0]?.id ?? 0] : shardsOf(relation, context),
      markers: [markerName(relation.table)],
    }
    const columns = [...new Set([...fetch.columns, ...neededColumns(relation, rangeVar, mentioned)])]
    // GROUP BY of a primary key lets the table's other columns be named: PostgreSQL must see the key there too.
    const primaryKey = groups && relation.primaryKey.every((column) => columns.includes(column)) ? relation.primaryKey : []
    byTable.set(key, { ...fetch, columns, primaryKey })
    edits.push(...replaceRelation(statement.source, rangeVar, nameOf(fetch.temporary)))
  }
  if (edits.length > 0) edits.push(...dropColumnSchemas(statement.source, statement.node))
  const text = statement.source.edited(edits)
  if (edits.length > 0) assertOnlyTablesChanged(statement.node, text.replaceAll('\x01', ''))
  const timed = facts.usesTime ? { pieces: statement.source.edited([...edits, ...timeEdits(statement, timeMark)]).split(hole) } : undefined
  const fetches = [...byTable.values(), ...facts.shardFacts.map((fact) => factFetch(fact, context.snapshot)), ...facts.routerFacts.map(routerFetch)]
  return { fetches, text, timed, hiddenTime: facts.hiddenTime }
}

/** Whether the rest of a gather reads the catalog's own copies of reference tables. */
export function readsReferences({ tables }: StatementFacts, { fetchesReference }: NameContext): boolean {
  return fetchesReference !== true && tables.some((use) => use.relation.table?.kind === 'reference')
}

export function shardsOf(relation: Relation, context: NameContext): number[] {
  const { table } = relation
  if (table?.kind === 'single') return [table.shard ?? 0]
  return [...new Set(context.snapshot.groups.get(table?.group ?? 0)?.owners ?? [])].sort((a, b) => a - b)
}

interface Mentioned {
  readonly names: ReadonlySet<string>
  /** Names that stand alone, and names that stand behind each alias. */
  readonly alone: ReadonlySet<string>
  readonly of: ReadonlyMap<string, ReadonlySet<string>>
  /** A star, a whole row, NATURAL: any column may be meant. */
  readonly all: boolean
}

function mentionedNames(node: AnyNode): Mentioned {
  const found = new Set<string>()
  const alone = new Set<string>()
  const of = new Map<string, Set<string>>()
  let all = false
  walk(node, (tree, key) => {
    if (key === 'ColumnRef') {
      const fields = tree.fields as AnyNode[]
      if (fields.some((field) => field.A_Star !== undefined)) all = true
      const parts = names(fields)
      for (const name of parts) found.add(name)
      if (parts.length === 1) alone.add(parts[0] ?? '')
      else of.set(parts.at(-2) ?? '', (of.get(parts.at(-2) ?? '') ?? new Set()).add(parts.at(-1) ?? ''))
    } else if (key === 'JoinExpr') {
      if (tree.isNatural === true || tree.alias !== undefined) all = true
      for (const name of names(tree.usingClause as AnyNode[] | undefined)) found.add(name)
    } else if (key === 'A_Indirection' && JSON.stringify(tree.indirection).includes('"A_Star"')) all = true
  })
  return { names: found, alone, of, all }
}

function neededColumns(relation: Relation, rangeVar: RangeVar, mentioned: Mentioned): string[] {
  const { columns } = relation
  const alias = rangeVar.alias?.aliasname ?? rangeVar.relname ?? ''
  // An alias list renames columns; t as a value, or t.f where f is no column but a function of the row, needs them all.
  const renamed = rangeVar.alias?.colnames !== undefined
  const asRow = mentioned.alone.has(alias) || [...(mentioned.of.get(alias) ?? [])].some((name) => !columns.some((column) => column.name === name))
  const needed = mentioned.all || renamed || asRow ? columns : columns.filter((column) => mentioned.names.has(column.name))
  // Rows must be counted even when nothing of them is named.
  return (needed.length === 0 ? columns.slice(0, 1) : needed).map((column) => column.name)
}

/** The conditions that every row of the table must pass which a statement writes, as far as they speak of its columns alone. */
export function targetConditions(statement: AnyNode, rangeVar: RangeVar, context: NameContext): string[] {
  const { UpdateStmt, DeleteStmt, MergeStmt } = statement
  const others = UpdateStmt?.fromClause ?? DeleteStmt?.usingClause ?? (MergeStmt?.sourceRelation === undefined ? [] : [MergeStmt.sourceRelation])
  const condition = (UpdateStmt?.whereClause ?? DeleteStmt?.whereClause ?? MergeStmt?.joinCondition) as AnyNode | undefined
  const items = fromItems([{ RangeVar: rangeVar }, ...(others as AnyNode[])] as AnyNode[])
  return conjuncts(condition).flatMap((one) => (soleTarget(one, items, context) === rangeVar ? (conditionText(one) ?? []) : []))
}

/** The conditions of a view's WHERE, as far as they speak of its one table's columns. */
export function viewConditions(definition: string, context: NameContext): string[] {
  const select = parseOne(definition).SelectStmt as SelectStmt | undefined
  const items = fromItems((select?.fromClause ?? []) as AnyNode[])
  const [only] = items
  return conjuncts(select?.whereClause as AnyNode | undefined).flatMap((one) => (soleTarget(one, items, context) === only?.rangeVar ? (conditionText(one) ?? []) : []))
}

const plainTags = new Set(['A_Expr', 'BoolExpr', 'NullTest', 'BooleanTest', 'A_Const', 'TypeCast', 'TypeName', 'List', 'ColumnRef', 'String', 'Integer', 'ParamRef'])
const plainTypes = new Set(
  'int2 int4 int8 float4 float8 numeric text varchar bpchar bool date timestamp timestamptz time uuid interval bytea'.split(' '),
)
const plainKinds = new Set(['AEXPR_OP', 'AEXPR_IN', 'AEXPR_LIKE', 'AEXPR_ILIKE', 'AEXPR_BETWEEN', 'AEXPR_NOT_BETWEEN', 'AEXPR_DISTINCT', 'AEXPR_NOT_DISTINCT'])
const plainOperators = new Set(['=', '<>', '<', '>', '<=', '>=', '+', '-', '*', '~~', '!~~', '~~*', '!~~*', 'BETWEEN', 'NOT BETWEEN'])

/** For each table in a FROM, the conditions of its WHERE that speak of its columns alone. */
function pushableConditions(node: AnyNode, context: NameContext): Map<RangeVar, string[]> {
  const result = new Map<RangeVar, string[]>()
  walk(node, (tree, key) => {
    if (key !== 'SelectStmt' && key !== 'larg' && key !== 'rarg') return
    const select = tree as SelectStmt
    if (select.whereClause === undefined || select.fromClause === undefined) return
    const items = fromItems(select.fromClause as AnyNode[])
    for (const condition of conjuncts(select.whereClause as AnyNode)) {
      const target = soleTarget(condition, items, context)
      if (target === undefined) continue
      const text = conditionText(condition)
      if (text !== undefined) result.set(target, [...(result.get(target) ?? []), text])
    }
  })
  return result
}

interface FromItem {
  readonly alias: string
  readonly rangeVar: RangeVar | undefined
  /** Not on the nullable side of an outer join, where a row that WHERE would drop may stand for "no match". */
  readonly restrictable: boolean
}

function fromItems(list: readonly AnyNode[]): FromItem[] {
  const items: FromItem[] = []
  const visit = (node: AnyNode, restrictable: boolean): void => {
    const join = node.JoinExpr as JoinExpr | undefined
    if (join !== undefined) {
      const type = join.jointype
      const plain = join.alias === undefined
      visit(join.larg as AnyNode, restrictable && plain && (type === 'JOIN_INNER' || type === 'JOIN_LEFT'))
      visit(join.rarg as AnyNode, restrictable && plain && (type === 'JOIN_INNER' || type === 'JOIN_RIGHT'))
    } else if (node.RangeVar !== undefined) {
      const rangeVar = node.RangeVar as RangeVar
      items.push({ alias: rangeVar.alias?.aliasname ?? rangeVar.relname ?? '', rangeVar, restrictable: restrictable && rangeVar.alias?.colnames === undefined })
    } else items.push({ alias: '', rangeVar: undefined, restrictable: false })
  }
  for (const node of list) visit(node, true)
  return items
}

function soleTarget(condition: AnyNode, items: readonly FromItem[], context: NameContext): RangeVar | undefined {
  let target: FromItem | undefined
  let ok = true
  const relationOf = (item: FromItem): Relation | undefined => {
    const { schemaname, relname = '' } = item.rangeVar ?? {}
    for (const schema of schemaname === undefined ? context.searchPath : [schemaname]) {
      const relation = context.snapshot.relations.get(`${schema}\0${relname}`)
      if (relation !== undefined) return relation
    }
    return undefined
  }
  walk({ condition }, (tree, key) => {
    if (key !== 'ColumnRef') return
    const parts = names(tree.fields as AnyNode[])
    const column = parts.at(-1) ?? ''
    const candidates =
      parts.length === 2
        ? items.filter((item) => item.alias === parts[0])
        : parts.length === 1
          ? items.filter((item) => relationOf(item) === undefined || relationOf(item)?.columns.some((one) => one.name === column))
          : []
    const [only] = candidates
    if (candidates.length !== 1 || only === undefined || !only.restrictable || (target !== undefined && target !== only)) ok = false
    else if (relationOf(only)?.columns.some((one) => one.name === column) !== true) ok = false
    else target = only
  })
  return ok ? target?.rangeVar : undefined
}

/** The condition as text over bare column names; undefined when it holds anything but plain operators on plain types. */
function conditionText(condition: AnyNode): string | undefined {
  let plain = true
  walk({ condition }, (tree, key) => {
    if (/^[A-Z]/.test(key) && !plainTags.has(key)) plain = false
    if (key === 'A_Expr' && (!plainKinds.has(String(tree.kind)) || !plainOperators.has(names(tree.name as AnyNode[]).join('.')))) plain = false
    if (key === 'typeName' || key === 'TypeName') {
      const parts = names(tree.names as AnyNode[]).filter((part) => part !== 'pg_catalog')
      if (parts.length !== 1 || !plainTypes.has(parts[0] ?? '') || tree.arrayBounds !== undefined) plain = false
    }
  })
  if (!plain) return undefined
  const bare = JSON.parse(
    JSON.stringify(condition, (key, value: unknown) =>
      key === 'ColumnRef' ? { fields: ((value as { fields: unknown[] }).fields ?? []).slice(-1) } : value,
    ),
  ) as AnyNode
  return renderCondition(bare)
}
