/** Random FROM clauses: tables, subqueries, functions and CTEs in joins of every kind. */
import { equality, joinCondition } from './conditions.ts'
import { value } from './expressions.ts'
import type { Writing } from './expressions.ts'
import type { Level, ScopeColumn } from './scope.ts'
import { select } from './select.ts'
import { types } from './types.ts'
import type { SqlType } from './types.ts'

export interface NamedQuery {
  readonly name: string
  readonly columns: readonly { readonly name: string; readonly type: SqlType }[]
}

export interface From {
  readonly sql: string
  readonly columns: readonly ScopeColumn[]
}

export interface FromOptions {
  readonly outer: Level | undefined
  readonly depth: number
  /** The WITH queries that are in sight. */
  readonly named: readonly NamedQuery[]
  readonly itemsMax: number
}

export function fromClause(writing: Writing, options: FromOptions): From {
  const { random } = writing
  const count = 1 + (options.itemsMax <= 1 || random.chance(40) ? 0 : random.chance(65) ? 1 : random.below(options.itemsMax))
  let all = item(writing, options, [])
  for (let i = 1; i < count; i++) all = joined(writing, options, all)
  return all
}

function joined(writing: Writing, options: FromOptions, left: From): From {
  const { random } = writing
  const isLateral = options.depth > 0 && random.chance(15)
  const before: Level = { columns: left.columns, outer: options.outer }
  if (isLateral) {
    const alias = writing.fresh('l')
    const lateral = random.chance(75)
      ? derived(writing, alias, 'LATERAL ', before, options)
      : { sql: `LATERAL generate_series(1, ${value(writing, 'int', before, 0)}) AS ${alias}`, columns: [{ alias, name: alias, type: types.int4 }] }
    const columns = [...left.columns, ...lateral.columns]
    const join = random.pick([', ', ' CROSS JOIN ', ' JOIN ', ' LEFT JOIN '])
    return { sql: `${left.sql}${join}${lateral.sql}${join.endsWith(' JOIN ') && !join.includes('CROSS') ? ' ON true' : ''}`, columns }
  }
  const right = random.chance(15) && options.depth > 0 ? nested(writing, options) : item(writing, options, left.columns)
  const columns = [...left.columns, ...right.columns]
  const level: Level = { columns, outer: options.outer }
  const kind = random.pick([',', 'JOIN', 'JOIN', 'INNER JOIN', 'LEFT JOIN', 'LEFT JOIN', 'RIGHT JOIN', 'FULL JOIN', 'CROSS JOIN', 'USING', 'USING', 'NATURAL'])
  if (kind === ',') return { sql: `${left.sql}, ${right.sql}`, columns }
  if (kind === 'CROSS JOIN') return { sql: `${left.sql} CROSS JOIN ${right.sql}`, columns }
  if (kind === 'USING' || kind === 'NATURAL') {
    const merged = merge(writing, kind, left, right)
    if (merged !== undefined) return merged
  }
  if (kind === 'FULL JOIN') {
    const on = equality(writing, left.columns, right.columns, level)
    if (on !== undefined) return { sql: `${left.sql} FULL JOIN ${right.sql} ON ${on}`, columns }
  }
  const plain = kind.endsWith('JOIN') && kind !== 'FULL JOIN' ? kind : 'JOIN'
  return { sql: `${left.sql} ${plain} ${right.sql} ON ${joinCondition(writing, left.columns, right.columns, level, options.depth)}`, columns }
}

function nested(writing: Writing, options: FromOptions): From {
  const inside = fromClause(writing, { ...options, itemsMax: 2, depth: options.depth - 1 })
  // What stands in parentheses with a comma is no join.
  return inside.sql.includes(' JOIN ') && !inside.sql.includes(', ') ? { ...inside, sql: `(${inside.sql})` } : item(writing, options, [])
}

/** Columns by name that both sides have once each; undefined when there is none. */
function merge(writing: Writing, kind: 'USING' | 'NATURAL', left: From, right: From): From | undefined {
  const { random } = writing
  const once = (side: From, name: string) => {
    const found = side.columns.filter((column) => column.name === name && column.isMerged !== true)
    return found.length === 1 ? found[0] : undefined
  }
  const bare = (side: From) => side.columns.filter((column) => column.isMerged !== true).map((column) => column.name)
  const common = [...new Set(bare(left))].filter((name) => bare(right).includes(name))
  const usable = common.filter((name) => once(left, name) !== undefined && once(left, name)?.type.family === once(right, name)?.type.family)
  if (usable.length === 0 || (kind === 'NATURAL' && usable.length !== common.length)) return undefined
  const names = kind === 'NATURAL' ? usable : random.some(usable, 1, 2)
  const type = random.pick(['', '', 'LEFT ', 'RIGHT ', 'FULL '])
  const text = kind === 'NATURAL' ? `${left.sql} NATURAL ${type}JOIN ${right.sql}` : `${left.sql} ${type}JOIN ${right.sql} USING (${names.join(', ')})`
  const hide = (column: ScopeColumn): ScopeColumn[] =>
    names.includes(column.name) && column.isMerged !== true ? (column.alias === undefined ? [] : [{ ...column, isMerged: true }]) : [column]
  const merged = names.flatMap((name): ScopeColumn[] => {
    const column = once(left, name)
    return column === undefined ? [] : [{ alias: undefined, name, type: column.type }]
  })
  return { sql: text, columns: [...merged, ...left.columns.flatMap(hide), ...right.columns.flatMap(hide)] }
}

function item(writing: Writing, options: FromOptions, taken: readonly ScopeColumn[]): From {
  const { random, schema } = writing
  if (options.depth > 0 && random.chance(14)) return derived(writing, writing.fresh('s'), '', options.outer, options)
  if (random.chance(5)) return generated(writing)
  const named = options.named.length > 0 && random.chance(55) ? random.pick(options.named) : undefined
  const table = named ?? random.pick(schema.tables)
  const alias = random.chance(70) || table.name.includes('.') || taken.some((column) => column.alias === table.name) ? writing.fresh('t') : undefined
  if (alias !== undefined && random.chance(4)) {
    const renamed = table.columns.map((column, i) => ({ alias, name: `${alias}_${i}`, type: column.type }))
    return { sql: `${table.name} AS ${alias} (${renamed.map((column) => column.name).join(', ')})`, columns: renamed }
  }
  const sql = alias === undefined ? table.name : `${table.name} ${random.pick(['', 'AS '])}${alias}`
  return { sql, columns: table.columns.map(({ name, type }) => ({ alias: alias ?? table.name, name, type })) }
}

function derived(writing: Writing, alias: string, prefix: string, outer: Level | undefined, options: FromOptions): From {
  const query = select(writing, outer, { depth: options.depth - 1, named: options.named, distinctNames: true })
  return { sql: `${prefix}(${query.sql}) AS ${alias}`, columns: query.columns.map(({ name, type }) => ({ alias, name, type })) }
}

function generated(writing: Writing): From {
  const { random } = writing
  const alias = writing.fresh('g')
  if (random.chance(50)) return { sql: `generate_series(0, ${1 + random.below(8)}) AS ${alias}`, columns: [{ alias, name: alias, type: types.int4 }] }
  const rows = Array.from({ length: 1 + random.below(3) }, () => `(${random.below(9)}, '${random.pick(['a', 'b', 'ab'])}')`)
  return {
    sql: `(VALUES ${rows.join(', ')}) AS ${alias} (id, name)`,
    columns: [
      { alias, name: 'id', type: types.int4 },
      { alias, name: 'name', type: types.text },
    ],
  }
}
