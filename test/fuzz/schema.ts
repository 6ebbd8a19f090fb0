/** A random schema: tables of every kind, their rows, and how both are made. */
import type { Random } from '../support/random.ts'
import type { Step } from './step.ts'
import { allTypes, keyTypes, typeCommands, types } from './types.ts'
import type { SqlType } from './types.ts'

export interface TableColumn {
  /** Quoted where it must be. */
  readonly name: string
  readonly type: SqlType
  readonly notNull: boolean
  readonly generated: boolean
}

export interface Table {
  /** Quoted, with its schema where that is not on the search path. */
  readonly name: string
  readonly columns: readonly TableColumn[]
  /** Columns that no two rows have alike, and that are never NULL; empty where there are none. */
  readonly unique: readonly string[]
  /** What decides a row's place. */
  readonly shardKey: string | undefined
  readonly isView: boolean
}

export interface Schema {
  readonly tables: Table[]
  readonly random: Random
}

const columnNames = ['id', 'a', 'b', 'c', 'k', 'n', 'order', 'A b', 'count', 'max', 'ü', 'name', 'value', 'text', 'date', 'now', 'x', 'y', 'user', 'day']
const tableNames = ['t', 'u', 'v', 'orders', 'T x', 'select', 'items', 'count', 'Große', 'other.t', 'other.w']

const reserved = new Set(['order', 'select', 'user'])

/** Quoted where it must be. */
export function identifier(name: string): string {
  return /^[a-z_][a-z0-9_]*$/.test(name) && !reserved.has(name) ? name : `"${name.replaceAll('"', '""')}"`
}

export function tableFromName(name: string): string {
  return name.split('.').map(identifier).join('.')
}

/** The statements that make a schema of 4 to 7 tables with their rows. */
export function makeSchema(random: Random): { schema: Schema; steps: Step[] } {
  const steps: Step[] = [...typeCommands, 'CREATE SCHEMA other'].map((sql) => ({ sql }))
  const mainKey = random.pick(keyTypes)
  const names = random.some(tableNames, 4, 7)
  const tables = names.map((name) => {
    const table = makeTable(random, tableFromName(name), random.chance(60) ? mainKey : random.pick(keyTypes))
    steps.push(...table.steps)
    return table.table
  })
  return { schema: { tables, random }, steps }
}

type Kind = 'by primary key' | 'by part of the key' | 'without unique key' | 'reference' | 'single' | 'bag'
const kinds: readonly Kind[] = ['by primary key', 'by primary key', 'by primary key', 'by part of the key', 'by part of the key', 'without unique key', 'without unique key', 'reference', 'single', 'bag']

function makeTable(random: Random, name: string, keyType: SqlType): { table: Table; steps: Step[] } {
  const kind = random.pick(kinds)
  const [first = 'id', ...others] = [random.chance(70) ? 'id' : 'k', ...random.some(columnNames, 2, 5)].filter((one, i, all) => all.indexOf(one) === i)
  const key = identifier(first)
  const columns: TableColumn[] = [{ name: key, type: keyType, notNull: false, generated: false }]
  for (const other of others) {
    const type = random.chance(25) ? keyType : random.chance(35) ? random.pick([types.int4, types.text, types.int8]) : random.pick(allTypes)
    columns.push({ name: identifier(other), type, notNull: false, generated: false })
  }
  const second = columns[1]
  const composite = kind === 'by part of the key' && second !== undefined && second.type.family !== 'jsonb'
  const unique = kind === 'by primary key' || kind === 'single' || kind === 'reference' ? [key] : composite ? [key, second.name] : []
  const lines = columns.map(({ name, type }) => `${name} ${type.declared}${!unique.includes(name) && random.chance(10) ? ` DEFAULT ${quoted(random.pick(type.values))}` : ''}`)
  const number = columns.find(({ type }) => type === types.int4)
  if (number !== undefined && random.chance(20)) {
    columns.push({ name: 'made', type: types.int8, notNull: false, generated: true })
    lines.push(`made bigint GENERATED ALWAYS AS (${number.name}::bigint * 2) STORED`)
  }
  if (unique.length > 0) lines.push(`PRIMARY KEY (${unique.join(', ')})`)
  const steps: Step[] = [{ sql: `CREATE TABLE ${name} (${lines.join(', ')})` }]
  const literal = quoted(name)
  if (kind === 'by part of the key' || kind === 'without unique key') {
    const bare = key.startsWith('"') ? key.slice(1, -1) : key
    steps.push({ sql: `SELECT create_distributed_table(${literal}, ${quoted(bare)})`, clusterOnly: true })
  } else if (kind === 'reference') steps.push({ sql: `SELECT create_reference_table(${literal})`, clusterOnly: true })
  if (random.chance(15)) steps.push({ sql: `CREATE INDEX ON ${name} (${random.pick(columns).name})` })
  const finished = columns.map((column) => ({ ...column, notNull: unique.includes(column.name) }))
  const isOnShards = kind.startsWith('by') || kind === 'without unique key'
  const table: Table = { name, columns: finished, unique, shardKey: isOnShards ? key : undefined, isView: false }
  const count = random.chance(12) ? 0 : random.chance(15) ? 1 : 2 + random.below(22)
  if (count > 0) steps.push({ sql: insertRows(random, table, count), compareTable: name })
  return { table, steps }
}

/** One INSERT of rows that break no rule of the table. */
function insertRows(random: Random, table: Table, count: number): string {
  const columns = table.columns.filter((column) => !column.generated)
  const seen = new Set<string>()
  const rows: string[] = []
  for (let i = 0; i < count; i++) {
    const values = columns.map((column) => (!column.notNull && random.chance(12) ? 'NULL' : quoted(random.pick(column.type.values))))
    const key = columns.map((column, at) => (table.unique.includes(column.name) ? normal(values[at] ?? '', column.type) : '')).join('\0')
    if (table.unique.length > 0 && seen.has(key)) continue
    seen.add(key)
    rows.push(`(${values.join(', ')})`)
  }
  return `INSERT INTO ${table.name} (${columns.map((column) => column.name).join(', ')}) VALUES ${rows.join(', ')}`
}

/** Spellings of one value must be known as one: more than are one are harmless here. */
function normal(value: string, type: SqlType): string {
  const lower = value.trimEnd().toLowerCase()
  if (type.family === 'numeric' || type.family === 'float') return String(Number(value.slice(1, -1)))
  if (type.family === 'interval' || type.family === 'timestamptz' || type.family === 'jsonb') return ''
  return type.family === 'text' ? value : lower
}

export function quoted(value: string): string {
  return `'${value.replaceAll("'", "''")}'`
}
