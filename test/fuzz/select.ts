/** Random SELECTs. Each has one right answer: LIMIT has a total order beneath it, and no row stands for an equal one that looks different. */
import { aggregateText, windowFunction } from './aggregates.ts'
import type { Output } from './aggregates.ts'
import { condition } from './conditions.ts'
import { exactForm, someFamily, totalForm, typeOfFamily, value } from './expressions.ts'
import type { Writing } from './expressions.ts'
import { fromClause } from './from-clause.ts'
import type { NamedQuery } from './from-clause.ts'
import { columnsOf, nothing, reference } from './scope.ts'
import type { Level } from './scope.ts'
import type { Family, SqlType } from './types.ts'

export interface SelectOptions {
  readonly depth: number
  /** The families of the columns, where the statement around it says so. */
  readonly families?: readonly Family[]
  readonly named?: readonly NamedQuery[]
  /** Each column gets a name of its own. */
  readonly distinctNames?: boolean
  /** The rows come in a settled order. */
  readonly ordered?: boolean
  /** Outputs look alike when they are equal. */
  readonly exact?: boolean
}

export interface Query {
  readonly sql: string
  readonly columns: readonly { readonly name: string; readonly type: SqlType }[]
}

/** A SELECT before its ORDER BY. */
interface Body {
  readonly sql: string
  readonly outputs: readonly Output[]
  /** What ORDER BY may name first, beside its outputs. */
  readonly sortable: readonly string[]
  /** True when equal outputs look alike, and only places of outputs can be sorted by. */
  readonly exact: boolean
}

export function select(writing: Writing, outer: Level | undefined, options: SelectOptions): Query {
  const { random } = writing
  const { depth } = options
  const withClause = depth > 0 && random.chance(12) ? namedQueries(writing, outer, options) : undefined
  const inner: SelectOptions = { ...options, named: [...(options.named ?? []), ...(withClause?.named ?? [])] }
  const body = depth > 0 && random.chance(14) ? setOperation(writing, outer, inner) : simpleSelect(writing, outer, inner)
  const limited = random.chance(options.ordered === true ? 50 : 12)
  const order = options.ordered === true || limited ? orderBy(writing, body) : ''
  const limit = limited ? random.pick([` LIMIT ${random.below(6)}`, ` LIMIT ${1 + random.below(8)} OFFSET ${random.below(4)}`, ` OFFSET ${random.below(5)}`, ` FETCH FIRST ${1 + random.below(4)} ROWS ONLY`]) : ''
  const columns = body.outputs.map(({ family }, i) => ({ name: `c${i + 1}`, type: typeOfFamily(family) }))
  return { sql: `${withClause?.sql ?? ''}${body.sql}${order}${limit}`, columns }
}

/** An order that leaves nothing open. */
function orderBy(writing: Writing, body: Body): string {
  const { random } = writing
  const direction = () => random.pick(['', '', ' DESC', ' NULLS FIRST', ' DESC NULLS LAST', ' ASC'])
  const first = random.chance(60) ? random.some(body.sortable, 0, 2).map((one) => one + direction()) : []
  const places = body.outputs.map((_, i) => i)
  if (random.chance(40)) places.reverse()
  const rest = places.map((i) => {
    const { sql, family } = body.outputs[i] as Output
    const tellsApart = body.exact ? undefined : totalForm(sql, family)
    return `${tellsApart === undefined || tellsApart === sql ? i + 1 : tellsApart}${direction()}`
  })
  return ` ORDER BY ${[...first, ...rest].join(', ')}`
}

function simpleSelect(writing: Writing, outer: Level | undefined, options: SelectOptions): Body {
  const { random } = writing
  const from = fromClause(writing, { outer, depth: options.depth, named: options.named ?? [], itemsMax: 3 })
  const level: Level = { columns: from.columns, outer }
  const where = random.chance(60) ? ` WHERE ${condition(writing, level, Math.min(options.depth, 2))}` : ''
  const tail = ` FROM ${from.sql}${where}`
  const kind = random.below(100)
  if (kind < 28) return grouped(writing, level, tail, options)
  const count = options.families?.length ?? 1 + random.below(4)
  const families = options.families ?? Array.from({ length: count }, () => someFamily(writing, level))
  const isDistinct = kind < 38
  const exact = options.exact === true || isDistinct
  const windows = kind >= 90 && !exact && options.families === undefined
  const outputs = families.map((family): Output => {
    const sql = value(writing, family, level, Math.min(options.depth, 2))
    return { sql: exact ? exactForm(sql, family) : sql, family: exact ? exactFamily(family) : family }
  })
  if (windows) outputs.push(windowFunction(writing, level))
  const list = outputList(writing, outputs, options)
  const keys = columnsOf({ ...level, outer: undefined }, undefined, random)
  if (isDistinct && random.chance(40) && keys.length > 0 && options.families === undefined) {
    // Which row of equal ones stays is settled by all outputs.
    const own = keys.map(({ column }) => reference(random, column, level))
    const on = random.some(own, 1, 2)
    const order = [...on, ...outputs.map((_, i) => String(i + 1))].join(', ')
    return { sql: `SELECT * FROM (SELECT DISTINCT ON (${on.join(', ')}) ${list}${tail} ORDER BY ${order}) AS ${writing.fresh('d')}`, outputs, sortable: [], exact: true }
  }
  const sortable = isDistinct ? [] : keys.map(({ column }) => reference(random, column, level))
  return { sql: `SELECT ${isDistinct ? 'DISTINCT ' : ''}${list}${tail}`, outputs, sortable, exact }
}

/** A view or a subquery needs names; a client's own SELECT shows those that PostgreSQL gives. */
function outputList(writing: Writing, outputs: readonly Output[], options: SelectOptions): string {
  return outputs.map(({ sql }, i) => (options.distinctNames === true || writing.random.chance(30) ? `${sql} AS c${i + 1}` : sql)).join(', ')
}

function exactFamily(family: Family): Family {
  return family === 'interval' ? 'numeric' : family === 'looseText' ? 'posixText' : family
}

function grouped(writing: Writing, level: Level, tail: string, options: SelectOptions): Body {
  const { random } = writing
  const keys = columnsOf({ ...level, outer: undefined }, undefined, random)
    .map(({ column }): Output => ({ sql: reference(random, column, level), family: column.type.family }))
    .filter((_, i) => i < 12)
  if (random.chance(20)) keys.push({ sql: `(${value(writing, 'int', level, 0)} % 3)`, family: 'int' })
  const wanted = options.families
  const groups = random.some(keys, random.chance(25) ? 0 : 1, 3)
  const shown = (one: Output): Output => ({ sql: exactForm(one.sql, one.family), family: exactFamily(one.family) })
  const aggregates = (): Output => shown(aggregateText(writing, level, options.depth))
  const outputs: Output[] = []
  if (wanted === undefined) {
    outputs.push(...groups.filter(() => random.chance(75)).map(shown))
    for (let left = random.below(3) + (outputs.length === 0 ? 1 : 0); left > 0; left--) outputs.push(aggregates())
  } else {
    for (const family of wanted) {
      const key = groups.find((one) => one.family === family)
      if (key !== undefined) outputs.push(options.exact === true ? shown(key) : key)
      else if (family === 'int') outputs.push({ sql: random.pick(['count(*)', `max(${value(writing, 'int', level, 0)})`]), family })
      else {
        const sql = family === 'text' ? `max(${value(writing, 'text', level, 0)})` : value(writing, family, nothing, 0)
        outputs.push(options.exact === true ? shown({ sql, family }) : { sql, family })
      }
    }
  }
  const texts = groups.map((one) => one.sql)
  const sets = texts.length > 0 && random.chance(20)
  const groupBy =
    texts.length === 0
      ? random.pick(['', '', ' GROUP BY ()'])
      : sets
        ? ` GROUP BY ${random.pick([`ROLLUP (${texts.join(', ')})`, `CUBE (${texts.slice(0, 2).join(', ')})${texts.slice(2).map((one) => `, ${one}`).join('')}`, `GROUPING SETS ((${texts.join(', ')}), (${texts[0]}), ())`])}`
        : ` GROUP BY ${texts.join(', ')}`
  if (sets && wanted === undefined && random.chance(50)) outputs.push({ sql: `grouping(${texts[0]})`, family: 'int' })
  const having = random.chance(22) ? ` HAVING ${random.pick([`count(*) > ${random.below(3)}`, `max(${value(writing, 'int', level, 0)}) IS NOT NULL`, `sum(${value(writing, 'int', level, 0)}) > ${random.below(20)}`, `count(*) = 0`])}` : ''
  return { sql: `SELECT ${outputList(writing, outputs, options)}${tail}${groupBy}${having}`, outputs, sortable: [...texts, 'count(*)'], exact: wanted === undefined || options.exact === true }
}

function setOperation(writing: Writing, outer: Level | undefined, options: SelectOptions): Body {
  const { random } = writing
  const families = options.families ?? Array.from({ length: 1 + random.below(3) }, () => random.pick<Family>(['int', 'int', 'text', 'date', 'numeric', 'bool', 'uuid']))
  const part = () => {
    const one = select(writing, outer, { ...options, families, exact: true, ordered: false, depth: options.depth - 1 })
    return `(${one.sql})`
  }
  const operator = () => random.pick([' UNION ALL ', ' UNION ', ' INTERSECT ', ' EXCEPT ', ' EXCEPT ALL ', ' INTERSECT ALL '])
  const parts = [part(), part(), ...(random.chance(20) ? [part()] : [])]
  const sql = parts.reduce((all, next) => `${all}${operator()}${next}`)
  return { sql, outputs: families.map((family, i) => ({ sql: String(i + 1), family: exactFamily(family) })), sortable: [], exact: true }
}

function namedQueries(writing: Writing, outer: Level | undefined, options: SelectOptions): { sql: string; named: NamedQuery[] } {
  const { random, schema } = writing
  const named: NamedQuery[] = []
  const texts: string[] = []
  const isRecursive = random.chance(20)
  for (let left = 1 + random.below(2); left > 0; left--) {
    // A CTE may hide a table of the same name.
    const plain = schema.tables.map((table) => table.name).filter((name) => !name.includes('.') && !named.some((one) => one.name === name))
    const name = random.chance(15) && plain.length > 0 ? random.pick(plain) : writing.fresh('w')
    const query = select(writing, outer, { depth: options.depth - 1, named: [...(options.named ?? []), ...named], distinctNames: true })
    texts.push(`${name} (${query.columns.map((column) => column.name).join(', ')}) AS ${random.pick(['', '', 'MATERIALIZED ', 'NOT MATERIALIZED '])}(${query.sql})`)
    named.push({ name, columns: query.columns })
  }
  if (isRecursive) {
    const name = writing.fresh('r')
    const start = select(writing, outer, { depth: options.depth - 1, families: ['int'], named: [...(options.named ?? []), ...named] })
    texts.push(`${name} (n, level) AS (SELECT s.n::bigint, 0 FROM (${start.sql}) AS s (n) UNION SELECT ${name}.n + 1, ${name}.level + 1 FROM ${name} WHERE ${name}.level < ${1 + random.below(4)})`)
    named.push({ name, columns: [{ name: 'n', type: typeOfFamily('int') }, { name: 'level', type: typeOfFamily('int') }] })
  }
  return { sql: `WITH ${isRecursive ? 'RECURSIVE ' : ''}${texts.join(', ')} `, named }
}
