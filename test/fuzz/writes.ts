/** Random INSERT, UPDATE, DELETE and MERGE whose effect does not depend on the order of rows. */
import { condition } from './conditions.ts'
import { value } from './expressions.ts'
import type { Writing } from './expressions.ts'
import { comparand, literal } from './literals.ts'
import type { Level } from './scope.ts'
import { quoted } from './schema.ts'
import type { Table, TableColumn } from './schema.ts'
import { select } from './select.ts'
import { types } from './types.ts'

export interface Write {
  readonly sql: string
  readonly table: Table
}

export function write(writing: Writing): Write | undefined {
  const { random } = writing
  const tables = writing.schema.tables.filter((table) => !table.isView)
  const table = random.pick(tables)
  if (table === undefined) return undefined
  const form = random.pick([insertValues, insertValues, insertSelect, update, update, updateFrom, updateKey, remove, remove, removeUsing, merge, withWrite])
  return { sql: form(writing, table), table }
}

const settable = (table: Table) => table.columns.filter((column) => !column.generated)
const levelOf = (table: Table, alias: string): Level => ({ columns: table.columns.map(({ name, type }) => ({ alias, name, type })), outer: undefined })

function newValue(writing: Writing, column: TableColumn): string {
  const { random } = writing
  if (!column.notNull && random.chance(8)) return random.pick(['NULL', 'DEFAULT'])
  if (column.type.family === 'int' && random.chance(50)) return String(100 + random.below(900))
  if (column.type.family === 'text' && random.chance(40)) return quoted(`new ${random.below(60)}`)
  return random.chance(50) ? literal(writing, column.type) : comparand(writing, column.type)
}

function returning({ random }: Writing, table: Table, alias: string): string {
  if (!random.chance(40)) return ''
  return ` RETURNING ${random.chance(40) ? `${alias}.*` : random.some(table.columns, 1, 3).map((column) => `${alias}.${column.name}`).join(', ')}`
}

function onConflict(writing: Writing, table: Table): string {
  const { random } = writing
  if (table.unique.length === 0 || random.chance(45)) return ''
  const target = `(${table.unique.join(', ')})`
  const others = settable(table).filter((column) => !table.unique.includes(column.name))
  if (others.length === 0 || random.chance(50)) return ` ON CONFLICT ${random.chance(50) ? target : ''} DO NOTHING`
  const sets = random.some(others, 1, 2).map((column) => `${column.name} = ${random.pick([`excluded.${column.name}`, literal(writing, column.type)])}`)
  return ` ON CONFLICT ${target} DO UPDATE SET ${sets.join(', ')}`
}

function insertValues(writing: Writing, table: Table): string {
  const { random } = writing
  const key = settable(table).filter((column) => column.notNull)
  const others = settable(table).filter((column) => !column.notNull)
  const columns = [...key, ...(random.chance(70) ? others : random.some(others, 0, 2))]
  if (columns.length === 0) return `INSERT INTO ${table.name} DEFAULT VALUES`
  const rows = Array.from({ length: random.chance(50) ? 1 : 1 + random.below(5) }, () => `(${columns.map((column) => newValue(writing, column)).join(', ')})`)
  const alias = random.chance(30) ? writing.fresh('i') : undefined
  const head = `INSERT INTO ${table.name}${alias === undefined ? '' : ` AS ${alias}`}`
  return `${head} (${columns.map((column) => column.name).join(', ')}) VALUES ${rows.join(', ')}${onConflict(writing, table)}${returning(writing, table, alias ?? table.name)}`
}

/** Types that a subquery gives exactly as a column takes them. */
const plainColumn = (column: TableColumn) => column.type.exact && column.type.family !== 'enum' && column.type !== types.domain

/** One row for each key, the same whatever order they come in. */
function rowsByKey(writing: Writing, columns: readonly TableColumn[], keys: readonly string[], depth: number): { sql: string; names: string[] } {
  const query = select(writing, undefined, { families: columns.map((column) => column.type.family), depth, exact: true })
  const names = columns.map((_, i) => `v${i + 1}`)
  const rows = `(${query.sql}) AS q (${names.join(', ')})`
  const keyNames = columns.flatMap((column, i) => (keys.includes(column.name) ? [`v${i + 1}`] : []))
  if (keyNames.length === 0) return { sql: `SELECT ${names.join(', ')} FROM ${rows}`, names }
  const known = keyNames.map((name) => `${name} IS NOT NULL`).join(' AND ')
  return { sql: `SELECT DISTINCT ON (${keyNames.join(', ')}) ${names.join(', ')} FROM ${rows} WHERE ${known} ORDER BY ${[...keyNames, ...names].join(', ')}`, names }
}

function insertSelect(writing: Writing, table: Table): string {
  const { random } = writing
  const columns = settable(table).filter((column) => column.notNull || (plainColumn(column) && random.chance(75)))
  if (columns.length === 0 || columns.some((column) => column.notNull && !plainColumn(column))) return insertValues(writing, table)
  const rows = rowsByKey(writing, columns, table.unique, 1)
  return `INSERT INTO ${table.name} (${columns.map((column) => column.name).join(', ')}) ${rows.sql}${onConflict(writing, table)}${returning(writing, table, table.name)}`
}

function update(writing: Writing, table: Table): string {
  const { random } = writing
  const alias = random.chance(60) ? writing.fresh('t') : table.name
  const level = levelOf(table, alias)
  const columns = settable(table).filter((column) => !table.unique.includes(column.name) && column.name !== table.shardKey)
  if (columns.length === 0) return updateKey(writing, table)
  const sets = random.some(columns, 1, 2).map((column) => {
    const of = random.pick([() => value(writing, column.type.family, level, 2), () => literal(writing, column.type), () => (column.type === types.domain ? 'DEFAULT' : literal(writing, column.type))])
    return random.chance(10) ? `(${column.name}) = ROW (${of()})` : `${column.name} = ${of()}`
  })
  const both = random.chance(15) ? severalColumns(writing, columns.filter(plainColumn), level) : undefined
  if (both !== undefined) sets.splice(0, sets.length, both)
  const where = random.chance(90) ? ` WHERE ${condition(writing, level, 1)}` : ''
  return `UPDATE ${table.name}${alias === table.name ? '' : ` AS ${alias}`} SET ${sets.join(', ')}${where}${returning(writing, table, alias)}`
}

/** (a, b) = (SELECT ...), of one row or none. */
function severalColumns(writing: Writing, columns: readonly TableColumn[], level: Level): string | undefined {
  if (columns.length < 2) return undefined
  const own = writing.random.some(columns, 2, 2)
  const query = select(writing, level, { families: own.map((column) => column.type.family), depth: 1, exact: true })
  return `(${own.map((column) => column.name).join(', ')}) = (SELECT z.v, z.w FROM (${query.sql}) AS z (v, w) ORDER BY 1, 2 LIMIT 1)`
}

/** From one row for each of the other's keys, so that no row is changed by two. */
function updateFrom(writing: Writing, table: Table): string {
  const { random } = writing
  const alias = writing.fresh('t')
  const columns = settable(table).filter((column) => !table.unique.includes(column.name) && column.name !== table.shardKey && plainColumn(column))
  const ties = settable(table).filter(plainColumn)
  const [column, tie] = [columns[random.below(Math.max(columns.length, 1))], ties[random.below(Math.max(ties.length, 1))]]
  if (column === undefined || tie === undefined) return update(writing, table)
  const rows = rowsByKey(writing, [tie, { ...column, name: ' new' }], [tie.name], 1)
  return `UPDATE ${table.name} AS ${alias} SET ${column.name} = f.v2 FROM (${rows.sql}) AS f WHERE ${alias}.${tie.name} = f.v1${returning(writing, table, alias)}`
}

function updateKey(writing: Writing, table: Table): string {
  const { random } = writing
  const key = table.columns.find((column) => column.name === (table.shardKey ?? table.unique[0]))
  if (key === undefined) return remove(writing, table)
  const level = levelOf(table, table.name)
  if (key.type.family === 'int' && key.type !== types.domain && random.chance(50)) {
    return `UPDATE ${table.name} SET ${key.name} = ${key.name} + 1000 WHERE ${random.chance(60) ? condition(writing, level, 1) : `${key.name} < 8`}${returning(writing, table, table.name)}`
  }
  return `UPDATE ${table.name} SET ${key.name} = ${newValue(writing, key)} WHERE ${key.name} = ${comparand(writing, key.type)}${returning(writing, table, table.name)}`
}

function remove(writing: Writing, table: Table): string {
  const { random } = writing
  const alias = random.chance(50) ? writing.fresh('t') : table.name
  const where = ` WHERE ${condition(writing, levelOf(table, alias), 1)}${random.chance(60) ? ` AND ${condition(writing, levelOf(table, alias), 0)}` : ''}`
  return `DELETE FROM ${table.name}${alias === table.name ? '' : ` AS ${alias}`}${where}${returning(writing, table, alias)}`
}

function removeUsing(writing: Writing, table: Table): string {
  const { random } = writing
  const alias = writing.fresh('t')
  const other = random.pick(writing.schema.tables)
  const u = writing.fresh('u')
  const pairs = table.columns.flatMap((one) => other.columns.flatMap((two) => (one.type.family === two.type.family ? [`${alias}.${one.name} = ${u}.${two.name}`] : [])))
  if (pairs.length === 0) return remove(writing, table)
  const own = condition(writing, levelOf(table, alias), 0)
  return `DELETE FROM ${table.name} AS ${alias} USING ${other.name} AS ${u} WHERE ${random.pick(pairs)} AND ${own}${returning(writing, table, alias)}`
}

function merge(writing: Writing, table: Table): string {
  const { random } = writing
  const key = settable(table).find((column) => column.name === (table.unique[0] ?? table.shardKey))
  const others = settable(table).filter((column) => !table.unique.includes(column.name) && column !== key && plainColumn(column))
  if (key === undefined || table.unique.length > 1 || !plainColumn(key) || others.length === 0) return removeUsing(writing, table)
  const own = random.some(others, 1, 2)
  const rows = rowsByKey(writing, [key, ...own], [key.name], 1)
  const t = writing.fresh('t')
  const s = writing.fresh('s')
  const set = own.map((column, i) => `${column.name} = ${random.chance(70) ? `${s}.v${i + 2}` : literal(writing, column.type)}`).join(', ')
  const matched = random.pick([`UPDATE SET ${set}`, `UPDATE SET ${set}`, 'DELETE', 'DO NOTHING'])
  const when = [` WHEN MATCHED${random.chance(40) ? ` AND ${condition(writing, levelOf(table, t), 0)}` : ''} THEN ${matched}`]
  if (random.chance(60)) when.push(` WHEN NOT MATCHED THEN INSERT (${[key, ...own].map((column) => column.name).join(', ')}) VALUES (${rows.names.map((name) => `${s}.${name}`).join(', ')})`)
  if (random.chance(20)) when.push(` WHEN NOT MATCHED BY SOURCE${random.chance(50) ? ` AND ${condition(writing, levelOf(table, t), 0)}` : ''} THEN DELETE`)
  return `MERGE INTO ${table.name} AS ${t} USING (${rows.sql}) AS ${s} ON ${t}.${key.name} = ${s}.v1${when.join('')}${random.chance(25) ? ` RETURNING merge_action(), ${t}.${key.name}` : ''}`
}

/** A write inside WITH, whose rows the rest reads: it sees no other change of its own statement. */
function withWrite(writing: Writing, table: Table): string {
  const { random } = writing
  const inner = random.pick([insertValues, update, remove])(writing, table).replace(/ RETURNING .*$/, '')
  const alias = / AS ([a-z]\d+)/.exec(inner)?.[1] ?? table.name
  const shown = table.columns[0]?.name ?? 'id'
  return `WITH changed AS (${inner} RETURNING ${inner.startsWith('INSERT') ? '' : `${alias}.`}${shown}) ${random.pick(['SELECT count(*) FROM changed', `SELECT * FROM changed`, `SELECT count(*) FROM changed, ${random.pick(writing.schema.tables).name}`])}`
}

