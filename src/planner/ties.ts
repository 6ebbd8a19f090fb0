/**
 * Which distributed tables of a statement are tied to the same key.
 *
 * Words: a *member* is one appearance of a distributed table. A member is *tied* to a key when only its rows with that key
 * can matter to the answer. Ties come from conditions that every row of the member must pass: `m.key = constant`, or
 * `m.key = other.key` where the other member is tied. Which conditions those are:
 * - WHERE and the ON of inner joins bind every member of their query level;
 * - the ON of an outer join binds the members on its nullable side alone, by members of either side;
 * - a subquery's conditions may name members of the levels around it, and bind only the subquery's own.
 *
 * Everything else is not understood, and leaves a member untied: that costs speed, never rows.
 */
import type { KeyType, Relation } from '../catalog/snapshot.ts'
import type { A_Expr, AnyNode, ColumnRef, JoinExpr, RangeVar, SelectStmt } from '../sql/ast.ts'
import { isTree, names, walk } from '../sql/ast.ts'
import type { KeySource } from './plan.ts'
import type { NameContext } from './resolve.ts'
import { resolveName } from './resolve.ts'

export interface Member {
  readonly rangeVar: RangeVar
  readonly relation: Relation
  readonly alias: string
  /** Keys that the member is restricted to by constants (one: tied; several: an IN list). */
  readonly constants: (readonly KeySource[])[]
  /** Members by whose key this one is tied. */
  readonly by: Member[]
}

interface Item {
  readonly alias: string
  /** Undefined for what is no table: its columns are not known here. */
  readonly relation: Relation | undefined
  readonly member: Member | undefined
}

interface Level {
  readonly items: Item[]
  readonly outer: Level | undefined
}

export interface Ties {
  readonly members: readonly Member[]
}

export function findTies(node: AnyNode, context: NameContext): Ties {
  const finder = new TieFinder(context)
  finder.statement(node, undefined, new Set())
  return { members: finder.members }
}

/** The members that are tied when `roots` are: the closure over `by`. */
export function tiedTo(members: readonly Member[], roots: ReadonlySet<Member>): Set<Member> {
  const tied = new Set(roots)
  for (let grew = true; grew; ) {
    grew = false
    for (const member of members) {
      if (tied.has(member) || !member.by.some((other) => tied.has(other) && other.relation.table?.group === member.relation.table?.group)) continue
      tied.add(member)
      grew = true
    }
  }
  return tied
}

/** The one key that ties every member, if there is one. */
export function commonKey(members: readonly Member[]): KeySource | undefined {
  for (const member of members) {
    const single = member.constants.find((list) => list.length === 1)?.[0]
    if (single === undefined) continue
    const same = new Set(members.filter((other) => other.constants.some((list) => list.length === 1 && sameKey(list[0], single))))
    const sameGroup = [...same].every((other) => other.relation.table?.group === member.relation.table?.group)
    if (sameGroup && tiedTo(members, same).size === members.length) return single
  }
  return undefined
}

function sameKey(a: KeySource | undefined, b: KeySource): boolean {
  return a !== undefined && JSON.stringify(a) === JSON.stringify(b)
}

class TieFinder {
  readonly members: Member[] = []
  private readonly context: NameContext

  constructor(context: NameContext) {
    this.context = context
  }

  statement(node: AnyNode, outer: Level | undefined, ctes: ReadonlySet<string>): void {
    if (node.SelectStmt !== undefined) return this.select(node.SelectStmt as SelectStmt, outer, ctes)
    const statement = node.UpdateStmt ?? node.DeleteStmt
    if (statement === undefined) return this.expressions(node, outer, ctes)
    const visible = this.withClause(statement.withClause, outer, ctes)
    const level: Level = { items: [], outer }
    if (statement.relation !== undefined) this.rangeVar(statement.relation, level, visible)
    const from = ('fromClause' in statement ? statement.fromClause : 'usingClause' in statement ? statement.usingClause : undefined) ?? []
    for (const item of from) this.fromItem(item as AnyNode, level, visible)
    for (const condition of conjuncts(statement.whereClause as AnyNode | undefined)) this.condition(condition, level, undefined)
    const { relation: _target, withClause: _with, ...rest } = statement as unknown as Record<string, unknown>
    this.expressions({ ...rest, fromClause: undefined, usingClause: undefined }, level, visible)
  }

  private withClause(clause: SelectStmt['withClause'], outer: Level | undefined, ctes: ReadonlySet<string>): ReadonlySet<string> {
    const visible = new Set(ctes)
    for (const node of clause?.ctes ?? []) visible.add((node as AnyNode).CommonTableExpr?.ctename ?? '')
    for (const node of clause?.ctes ?? []) {
      const query = (node as AnyNode).CommonTableExpr?.ctequery as AnyNode | undefined
      if (query !== undefined) this.statement(query, outer, visible)
    }
    return visible
  }

  private select(select: SelectStmt, outer: Level | undefined, ctes: ReadonlySet<string>): void {
    const visible = this.withClause(select.withClause, outer, ctes)
    if (select.larg !== undefined && select.rarg !== undefined) {
      this.select(select.larg, outer, visible)
      this.select(select.rarg, outer, visible)
    }
    const level: Level = { items: [], outer }
    for (const item of select.fromClause ?? []) this.fromItem(item as AnyNode, level, visible)
    for (const condition of conjuncts(select.whereClause as AnyNode | undefined)) this.condition(condition, level, undefined)
    const { larg: _l, rarg: _r, withClause: _w, fromClause: _f, ...rest } = select as unknown as Record<string, unknown>
    this.expressions(rest, level, visible)
  }

  /** Subqueries anywhere in expressions are levels of their own. */
  private expressions(value: unknown, level: Level | undefined, ctes: ReadonlySet<string>): void {
    walk(value, (tree) => {
      if (!isTree(tree.SelectStmt)) return true
      this.select(tree.SelectStmt as SelectStmt, level, ctes)
      return false
    })
  }

  /** Gives the members below this FROM item. */
  private fromItem(node: AnyNode, level: Level, ctes: ReadonlySet<string>): Member[] {
    if (node.RangeVar !== undefined) return this.rangeVar(node.RangeVar as RangeVar, level, ctes)
    if (node.JoinExpr !== undefined) return this.join(node.JoinExpr as JoinExpr, level, ctes)
    if (node.RangeTableSample !== undefined) return this.fromItem(node.RangeTableSample.relation as AnyNode, level, ctes)
    const alias = (node.RangeSubselect?.alias ?? node.RangeFunction?.alias)?.aliasname ?? ''
    const before = this.members.length
    // Only LATERAL lets a subquery see its siblings; functions always do.
    const isLateral = node.RangeSubselect === undefined || node.RangeSubselect.lateral === true
    this.expressions(node, isLateral ? level : level.outer, ctes)
    level.items.push({ alias, relation: undefined, member: undefined })
    return this.members.slice(before)
  }

  private rangeVar(rangeVar: RangeVar, level: Level, ctes: ReadonlySet<string>): Member[] {
    const { schemaname, relname = '' } = rangeVar
    const alias = rangeVar.alias?.aliasname ?? relname
    const resolved =
      schemaname === undefined && ctes.has(relname) ? undefined : resolveName(this.context, schemaname, relname)
    const relation = resolved?.kind === 'relation' ? resolved.relation : undefined
    // Columns renamed by the alias can't be told by their own names.
    const known = rangeVar.alias?.colnames === undefined ? relation : undefined
    if (relation?.table?.kind !== 'distributed') {
      level.items.push({ alias, relation: known, member: undefined })
      return []
    }
    const member: Member = { rangeVar, relation, alias, constants: [], by: [] }
    this.members.push(member)
    level.items.push({ alias, relation: known, member: known === undefined ? undefined : member })
    return [member]
  }

  private join(join: JoinExpr, level: Level, ctes: ReadonlySet<string>): Member[] {
    const leftStart = level.items.length
    const left = this.fromItem(join.larg as AnyNode, level, ctes)
    const rightStart = level.items.length
    const right = this.fromItem(join.rarg as AnyNode, level, ctes)
    const rightEnd = level.items.length
    const bound =
      join.jointype === 'JOIN_INNER' ? [...left, ...right] : join.jointype === 'JOIN_LEFT' ? right : join.jointype === 'JOIN_RIGHT' ? left : []
    // ON sees the two sides of its own join, then the levels around.
    const sides: Level = { items: level.items.slice(leftStart, rightEnd), outer: level.outer }
    for (const condition of conjuncts(join.quals as AnyNode | undefined)) this.condition(condition, sides, new Set(bound))
    for (const column of names(join.usingClause as AnyNode[] | undefined)) {
      const one = this.byColumn(level.items.slice(leftStart, rightStart), column)
      const other = this.byColumn(level.items.slice(rightStart, rightEnd), column)
      if (one !== undefined && other !== undefined) link(one, other, new Set(bound))
    }
    this.expressions(join.quals, sides, ctes)
    if (join.alias !== undefined) {
      // (a JOIN b) AS j: a and b can't be named outside, and j's columns are not known here.
      level.items.splice(leftStart, rightEnd - leftStart, { alias: join.alias.aliasname ?? '', relation: undefined, member: undefined })
    }
    return [...left, ...right]
  }

  private byColumn(items: readonly Item[], column: string): Member | undefined {
    const having = items.filter((item) => item.relation === undefined || item.relation.columns.some((c) => c.name === column))
    const [only] = having
    return having.length === 1 && only?.member?.relation.table?.keyColumn === column ? only.member : undefined
  }

  /** `bound`: the members that the condition may bind; undefined for all of this level. */
  private condition(node: AnyNode, level: Level, bound: ReadonlySet<Member> | undefined): void {
    const expression = node.A_Expr as A_Expr | undefined
    if (expression === undefined || names(expression.name as AnyNode[]).join('.') !== '=' || this.context.snapshot.ownEquality) return
    const here = (member: Member | undefined) =>
      member !== undefined && level.items.some((item) => item.member === member) && (bound === undefined || bound.has(member))
    const left = this.keyMember(expression.lexpr as AnyNode | undefined, level)
    if (expression.kind === 'AEXPR_IN') {
      const items = ((expression.rexpr as AnyNode | undefined)?.List?.items ?? []).map((item) =>
        left === undefined ? undefined : keySource(item as AnyNode, left.relation.table?.keyType, this.context),
      )
      if (left !== undefined && here(left) && items.every((item) => item !== undefined)) left.constants.push(items as KeySource[])
      return
    }
    if (expression.kind !== 'AEXPR_OP') return
    const right = this.keyMember(expression.rexpr as AnyNode | undefined, level)
    if (left !== undefined && right !== undefined) {
      if (left === right) return
      if (here(left)) left.by.push(right)
      if (here(right)) right.by.push(left)
      return
    }
    const member = left ?? right
    if (member === undefined || !here(member)) return
    const other = (left === undefined ? expression.lexpr : expression.rexpr) as AnyNode | undefined
    const source = other === undefined ? undefined : keySource(other, member.relation.table?.keyType, this.context)
    if (source !== undefined) member.constants.push([source])
  }

  /** The member whose key column an expression is. */
  private keyMember(node: AnyNode | undefined, level: Level): Member | undefined {
    const fields = (node?.ColumnRef as ColumnRef | undefined)?.fields as AnyNode[] | undefined
    if (fields === undefined || fields.some((field) => field.String === undefined)) return undefined
    const parts = names(fields)
    if (parts.length > 2) return undefined
    const column = parts.at(-1) ?? ''
    for (let at: Level | undefined = level; at !== undefined; at = at.outer) {
      if (parts.length === 1) {
        if (!at.items.some((item) => item.relation?.columns.some((c) => c.name === column))) {
          // An item whose columns are not known may have it: then this name is not one from further out.
          if (at.items.some((item) => item.relation === undefined)) return undefined
          continue
        }
        const having = at.items.filter((item) => item.relation?.columns.some((c) => c.name === column))
        const [only] = having
        return having.length === 1 && only?.member?.relation.table?.keyColumn === column ? only.member : undefined
      }
      const item = at.items.find((one) => one.alias === parts.at(-2))
      if (item !== undefined) return item.member?.relation.table?.keyColumn === column ? item.member : undefined
    }
    return undefined
  }
}

function link(one: Member, other: Member, bound: ReadonlySet<Member>): void {
  if (bound.has(one)) one.by.push(other)
  if (bound.has(other)) other.by.push(one)
}

export function conjuncts(node: AnyNode | undefined): AnyNode[] {
  if (node === undefined) return []
  if (node.BoolExpr?.boolop !== 'AND_EXPR') return [node]
  return (node.BoolExpr.args ?? []).flatMap((arg) => conjuncts(arg as AnyNode))
}

const typeFamily: Readonly<Record<string, string>> = {
  int2: 'int', int4: 'int', int8: 'int', smallint: 'int', integer: 'int', int: 'int', bigint: 'int',
  text: 'text', varchar: 'text', uuid: 'uuid',
}

/** Types of parameters, by OID. */
const oidFamily: Readonly<Record<number, string>> = { 20: 'int', 21: 'int', 23: 'int', 25: 'text', 1043: 'text', 705: 'text', 2950: 'uuid' }

/**
 * A constant or parameter that compares with a key of this type by the key's own equality; else undefined.
 *
 * A number with a fraction, say, makes `=` compare as numeric, where 1.0 equals 1 though their hashes differ.
 */
export function keySource(node: AnyNode, keyType: KeyType | undefined, context: NameContext, isCast = false): KeySource | undefined {
  if (node.ParamRef !== undefined) {
    const number = node.ParamRef.number ?? 0
    const family = oidFamily[context.parameterTypes[number - 1] ?? 0]
    const fits = family === undefined ? (context.parameterTypes[number - 1] ?? 0) === 0 : family === typeFamily[keyType ?? ''] || (isCast && family === 'text')
    return fits ? { kind: 'parameter', number } : undefined
  }
  const constant = node.A_Const
  if (constant !== undefined) {
    if (constant.isnull === true) return { kind: 'null' }
    const isInt = typeFamily[keyType ?? ''] === 'int'
    if (constant.ival !== undefined) return isInt ? { kind: 'constant', text: String(constant.ival.ival ?? 0) } : undefined
    if (constant.sval !== undefined) return { kind: 'constant', text: constant.sval.sval ?? '' }
    // An integer too large for int4 is a Float to the grammar and an int8 to the analyser.
    if (constant.fval !== undefined && isInt && /^-?\d{1,18}$/.test(constant.fval.fval ?? '')) return { kind: 'constant', text: constant.fval.fval ?? '' }
    return undefined
  }
  const cast = node.TypeCast
  if (cast?.arg === undefined || cast.typeName === undefined) return undefined
  const parts = names(cast.typeName.names as AnyNode[]).filter((part) => part !== 'pg_catalog')
  const hasModifier = (cast.typeName.typmods?.length ?? 0) > 0 || (cast.typeName.arrayBounds?.length ?? 0) > 0
  if (hasModifier || parts.length !== 1 || typeFamily[parts[0] ?? ''] !== typeFamily[keyType ?? '']) return undefined
  const inner = cast.arg as AnyNode
  if (inner.A_Const === undefined && inner.ParamRef === undefined) return undefined
  if (inner.A_Const?.fval !== undefined) return undefined
  return keySource(inner, keyType, context, true)
}
