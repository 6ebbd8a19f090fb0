/** Smaller statements that are like a given one, by its parse tree. */
import { deparseSync } from 'pgsql-deparser'
import type { AnyNode } from '../../src/sql/ast.ts'
import { isTree } from '../../src/sql/ast.ts'
import { parseOne } from '../../src/sql/parse.ts'

/** Parts without which a statement often still parses. */
const optional = new Set(
  'whereClause sortClause limitCount limitOffset groupClause havingClause distinctClause withClause lockingClause agg_filter agg_order over returningClause onConflictClause fromClause usingClause frameOptions partitionClause orderClause quals valuesLists condition'.split(' '),
)
/** A node of these kinds may give way to one inside it. */
const replaceable = new Set(['A_Expr', 'BoolExpr', 'FuncCall', 'CoalesceExpr', 'CaseExpr', 'TypeCast', 'SubLink', 'NullTest', 'BooleanTest', 'JoinExpr', 'RangeSubselect', 'MinMaxExpr', 'CollateClause', 'RowExpr', 'A_ArrayExpr', 'GroupingSet', 'A_Indirection', 'SelectStmt', 'CommonTableExpr'])

type Path = readonly (string | number)[]

/** Texts to try instead, the boldest cuts first. */
export function smallerStatements(sql: string): string[] {
  const tree = parseOne(sql)
  const cuts: { path: Path; put: unknown }[] = []
  collect(tree, [], cuts)
  const texts = new Set<string>()
  for (const { path, put } of cuts.sort((a, b) => a.path.length - b.path.length)) {
    const text = tryDeparse(replaced(tree, path, put) as AnyNode)
    if (text !== undefined && text.length < sql.length) texts.add(text)
  }
  return [...texts].sort((a, b) => a.length - b.length)
}

const removed = Symbol('removed')

function collect(value: unknown, path: Path, cuts: { path: Path; put: unknown }[]): void {
  if (Array.isArray(value)) {
    for (const [i, item] of value.entries()) {
      if (value.length > 1) cuts.push({ path: [...path, i], put: removed })
      collect(item, [...path, i], cuts)
    }
    return
  }
  if (!isTree(value)) return
  for (const [key, child] of Object.entries(value)) {
    if (optional.has(key)) cuts.push({ path: [...path, key], put: removed })
    if (key === 'op' && typeof child === 'string' && child.startsWith('SETOP_') && child !== 'SETOP_NONE') {
      for (const side of ['larg', 'rarg']) cuts.push({ path, put: value[side] })
    }
    if (replaceable.has(key) && isTree(child)) {
      for (const inner of innerNodes(child)) cuts.push({ path, put: inner })
      if (key !== 'JoinExpr' && key !== 'SelectStmt' && path.length > 0) cuts.push({ path, put: { A_Const: { ival: { ival: 1 } } } })
    }
    if (typeof child === 'object') collect(child, [...path, key], cuts)
  }
}

function innerNodes(tree: object): unknown[] {
  return Object.entries(tree).flatMap(([key, child]) => {
    if (key === 'name' || key === 'funcname' || key === 'typeName' || key === 'alias') return []
    const nodes: unknown[] = Array.isArray(child) ? child : [child]
    return nodes.filter((node) => isTree(node) && Object.keys(node).length === 1 && /^[A-Z]/.test(Object.keys(node)[0] ?? ''))
  })
}

function replaced(value: unknown, path: Path, put: unknown): unknown {
  const [first, ...rest] = path
  if (first === undefined) return put
  if (Array.isArray(value)) {
    return value.flatMap((item: unknown, i) => {
      if (i !== first) return [item]
      const next = replaced(item, rest, put)
      return next === removed ? [] : [next]
    })
  }
  const tree = { ...(value as Record<string, unknown>) }
  const next = replaced(tree[first], rest, put)
  if (next === removed) delete tree[first]
  else tree[first] = next
  return tree
}

function tryDeparse(tree: AnyNode): string | undefined {
  try {
    const text = deparseSync(tree as never).replace(/\s+/g, ' ')
    parseOne(text)
    return text
  } catch {
    // The cut left a tree that is no statement.
    return undefined
  }
}
