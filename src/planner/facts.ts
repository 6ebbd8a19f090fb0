/**
 * What a statement touches: its relations (a CTE's name is not one), and what the functions in it are like.
 *
 * The facts err on one side: a function that might be volatile is, so a plan that needs it not to be is not chosen.
 */
import { refuse, SqlError } from '../base/errors.ts'
import type { Relation, Snapshot } from '../catalog/snapshot.ts'
import type { AnyNode, RangeVar, Tree, WithClause } from '../sql/ast.ts'
import { isRepetition, isTree, names } from '../sql/ast.ts'
import type { NameContext, Resolved } from './resolve.ts'
import { resolveName } from './resolve.ts'
import type { RouterFact } from './router-facts.ts'
import { routerFactOf } from './router-facts.ts'
import type { ShardFact } from './shard-facts.ts'

export interface RelationUse {
  readonly rangeVar: RangeVar
  readonly resolved: Resolved
  /** The table that a statement writes. */
  readonly isTarget: boolean
}

export interface StatementFacts {
  readonly relations: readonly RelationUse[]
  readonly tables: readonly (RelationUse & { readonly relation: Relation })[]
  /** Functions whose every call may give something else, or has an effect. */
  readonly volatile: readonly string[]
  /** Functions that mean something on the catalog only: sequences, advisory locks, large objects, notifications, transaction ids. */
  readonly catalogOnly: readonly string[]
  /** What only the shards can tell of their tables, to be fetched. */
  readonly shardFacts: readonly ShardFact[]
  /** What is to be fetched of the router. */
  readonly routerFacts: readonly RouterFact[]
  readonly functionNames: readonly string[]
  /** Calls that give the transaction's time. */
  readonly usesTime: boolean
  /** Uses of the time that no text can replace: in the body of a function, or 'now' as a string. */
  readonly hiddenTime: boolean
  readonly aggregates: boolean
  readonly windows: boolean
  /** A function whose body touches tables, with the reason. */
  readonly tableFunctions: readonly string[]
  readonly parameters: ReadonlySet<number>
  /** ctid, tableoid and the like: what they say differs from one PostgreSQL's. */
  readonly systemColumns: readonly string[]
  readonly locking: boolean
  /** INSERT, UPDATE, DELETE or MERGE inside WITH. */
  readonly modifyingCte: boolean
}

export const catalogOnlyPattern =
  /^(nextval|setval|currval|lastval|pg_(try_)?advisory_.*|pg_notify|txid_.*|pg_current_xact_id.*|pg_backend_pid|pg_sequence_last_value|pg_my_temp_schema|pg_export_snapshot|pg_current_snapshot|to_reg.*|pg_get_serial_sequence|pg_relation_.*|pg_(table|total_relation|indexes|database|tablespace)_size|statement_timestamp|lo_.*|loread|lowrite)$/
/** Functions of schema pgherd that a session calls in the name of its role, and no client: they hold up other sessions, or decide for them. */
const ownFunctions = new Set(['decide', 'pass_gate', 'open_transaction', 'is_transaction_open', 'open_cursors'])
const timeFunctions = new Set(['now', 'transaction_timestamp'])
/** OIDs and sizes of the shell's tables are not the shards'. */
const registryType = /^reg(class|type|proc|procedure|oper|operator|namespace|role|config|dictionary|collation)$/
export const systemColumnNames = new Set(['ctid', 'tableoid', 'xmin', 'xmax', 'cmin', 'cmax'])

class Collector {
  readonly relations: RelationUse[] = []
  readonly volatile = new Set<string>()
  readonly functionNames = new Set<string>()
  readonly catalogOnly = new Set<string>()
  readonly tableFunctions = new Set<string>()
  readonly routerFacts = new Set<RouterFact>()
  readonly parameters = new Set<number>()
  readonly systemColumns = new Set<string>()
  usesTime = false
  hiddenTime = false
  aggregates = false
  windows = false
  locking = false
  modifyingCte = false
  private readonly context: NameContext

  constructor(context: NameContext) {
    this.context = context
  }

  visit(value: unknown, key: string, ctes: ReadonlySet<string>): void {
    if (Array.isArray(value)) {
      for (const item of value) this.visit(item, key, ctes)
      return
    }
    if (!isTree(value) || isRepetition(value, key)) return
    this.note(value, key, ctes)
    const inner = this.visitWith(value, ctes)
    for (const [name, child] of Object.entries(value)) {
      // FOR UPDATE OF names what FROM calls its tables, and no tables.
      if (name !== 'withClause' && name !== 'lockedRels' && typeof child === 'object') this.visit(child, name, inner)
    }
  }

  /** The names of a WITH are seen by what it stands in; each of its queries sees those before it (all, if RECURSIVE). */
  private visitWith(tree: Tree, ctes: ReadonlySet<string>): ReadonlySet<string> {
    const clause = tree.withClause as WithClause | undefined
    if (clause === undefined) return ctes
    const list = (clause.ctes ?? []).map((node) => (node as AnyNode).CommonTableExpr)
    const all = new Set([...ctes, ...list.map((cte) => cte?.ctename ?? '')])
    const seen = new Set(ctes)
    for (const cte of list) {
      const query = cte?.ctequery as AnyNode | undefined
      if (query?.SelectStmt === undefined) this.modifyingCte = true
      this.visit(query, 'ctequery', clause.recursive ? all : new Set(seen))
      seen.add(cte?.ctename ?? '')
    }
    return all
  }

  private note(tree: Tree, key: string, ctes: ReadonlySet<string>): void {
    if (typeof tree.relname === 'string' && typeof tree.relpersistence === 'string') this.relation(tree as RangeVar, key, ctes)
    else if (key === 'FuncCall' || key === 'funccall') this.functionCall(names(tree.funcname as AnyNode[]), tree.over !== undefined)
    else if (key === 'SQLValueFunction') {
      if (/CURRENT_(DATE|TIME)|LOCALTIME/.test(String(tree.op))) this.usesTime = true
    } else if (key === 'TypeCast') {
      const type = names((tree.typeName as { names?: AnyNode[] } | undefined)?.names).at(-1) ?? ''
      if (registryType.test(type)) this.catalogOnly.add(type)
    } else if (key === 'A_Const') {
      if (/^\s*now\s*$/i.test((tree.sval as { sval?: string } | undefined)?.sval ?? '')) this.hiddenTime = true
    } else if (key === 'ParamRef') this.parameters.add((tree.number as number | undefined) ?? 0)
    else if (key === 'lockingClause' || key === 'LockingClause') this.locking = true
    else if (key === 'ColumnRef') {
      const last = names((tree.fields as AnyNode[]).slice(-1))[0] ?? ''
      if (systemColumnNames.has(last)) this.systemColumns.add(last)
    }
  }

  private relation(rangeVar: RangeVar, key: string, ctes: ReadonlySet<string>): void {
    const { schemaname, relname = '' } = rangeVar
    if (schemaname === undefined && ctes.has(relname)) return
    const resolved = resolveName(this.context, schemaname, relname)
    this.relations.push({ rangeVar, resolved, isTarget: key === 'relation' })
  }

  private functionCall(parts: readonly string[], isWindow: boolean): void {
    const { snapshot } = this.context
    const name = parts.at(-1) ?? ''
    if (isWindow) this.windows = true
    this.functionNames.add(name)
    if (ownFunctions.has(name) && (parts[0] === 'pgherd' || (parts.length === 1 && this.context.searchPath.includes('pgherd')))) {
      throw new SqlError('42501', `permission denied for function ${name}: pgherd calls it itself`)
    }
    const fact = parts[0] === 'pgherd' ? routerFactOf(name) : undefined
    if (fact !== undefined) this.routerFacts.add(fact)
    const own = parts[0] === 'pg_catalog' ? undefined : snapshot.functions.get(name)
    for (const one of own ?? []) {
      if (one.volatility === 'v') this.volatile.add(name)
      if (one.kind === 'a' && !isWindow) this.aggregates = true
      if (one.usesTime) this.hiddenTime = true
      if (one.touchesTables !== undefined) this.tableFunctions.add(`${name}: ${one.touchesTables}`)
    }
    if (own !== undefined && !snapshot.builtins.all.has(name)) return
    if (snapshot.builtins.aggregates.has(name) && !isWindow) this.aggregates = true
    if (timeFunctions.has(name)) this.usesTime = true
    // age(timestamp) counts from the current date.
    if (name === 'age') this.hiddenTime = true
    if (catalogOnlyPattern.test(name)) this.catalogOnly.add(name)
    else if (snapshot.builtins.volatile.has(name)) this.volatile.add(name)
  }
}

export function statementFacts(node: AnyNode, context: NameContext): StatementFacts {
  const collector = new Collector(context)
  collector.visit(node, '', new Set())
  const tables = collector.relations.flatMap((use) => (use.resolved.kind === 'relation' ? [{ ...use, relation: use.resolved.relation }] : []))
  return {
    relations: collector.relations,
    tables,
    functionNames: [...collector.functionNames],
    volatile: [...collector.volatile],
    catalogOnly: [...collector.catalogOnly],
    shardFacts: [],
    routerFacts: [...collector.routerFacts],
    usesTime: collector.usesTime,
    hiddenTime: collector.hiddenTime,
    aggregates: collector.aggregates,
    windows: collector.windows,
    tableFunctions: [...collector.tableFunctions],
    parameters: collector.parameters,
    systemColumns: [...collector.systemColumns],
    locking: collector.locking,
    modifyingCte: collector.modifyingCte,
  }
}

/** On the shell the user's tables are empty, so a function that reads them there would be silently wrong. */
export function refuseTableFunctions(facts: StatementFacts): void {
  const [first] = facts.tableFunctions
  if (first === undefined) return
  throw refuse(`cannot call a function that reads or writes tables (${first})`, 'Write its query into the statement.')
}

export function isShardTable(relation: Relation): boolean {
  return relation.table !== undefined
}

export function userColumnsNamed(snapshot: Snapshot, name: string): boolean {
  for (const relation of snapshot.relations.values()) {
    if (relation.columns.some((column) => column.name === name)) return true
  }
  return false
}
