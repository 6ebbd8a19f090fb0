/** Random aggregates and window functions whose values do not depend on the order that rows arrive in. */
import { condition } from './conditions.ts'
import { someFamily, totalForm, value } from './expressions.ts'
import type { Writing } from './expressions.ts'
import { columnsOf, reference } from './scope.ts'
import type { Level } from './scope.ts'
import type { Family } from './types.ts'

export interface Output {
  readonly sql: string
  readonly family: Family
}

const totalColumnsMax = 14

export function aggregate(writing: Writing, level: Level, depth: number): Output {
  const { random } = writing
  const bare = plainAggregate(writing, level, depth)
  return random.chance(18) ? { ...bare, sql: `${bare.sql} FILTER (WHERE ${condition(writing, level, 0)})` } : bare
}

function plainAggregate(writing: Writing, level: Level, depth: number): Output {
  const { random } = writing
  const of = (family: Family) => value(writing, family, level, Math.min(depth, 1))
  const int = () => of('int')
  const any = () => of(someFamily(writing, level))
  const [forms, family] = random.pick<readonly [() => string, Family]>([
    [() => 'count(*)', 'int'],
    [() => 'count(*)', 'int'],
    [() => `count(${any()})`, 'int'],
    [() => `count(DISTINCT ${any()})`, 'int'],
    [() => `sum(${int()})`, 'int'],
    [() => `sum(DISTINCT ${int()})`, 'int'],
    [() => `min(${int()})`, 'int'],
    [() => `max(${int()})`, 'int'],
    [() => `avg(${int()})`, 'numeric'],
    [() => `sum(${of('numeric')})`, 'numeric'],
    [() => `avg(${of('numeric')})`, 'numeric'],
    [() => `sum(${of('float')})`, 'float'],
    [() => `sum(${of('bigKey')})`, 'numeric'],
    [() => `min(${of('bigKey')})`, 'bigKey'],
    [() => `max(${of('bigKey')})`, 'bigKey'],
    [() => `min(${of('text')})`, 'text'],
    [() => `max(${of('text')})`, 'text'],
    [() => `max(${of('icuText')})`, 'icuText'],
    [() => `min(${of('bpchar')})`, 'bpchar'],
    [() => `min(${of('date')})`, 'date'],
    [() => `max(${of('timestamp')})`, 'timestamp'],
    [() => `max(${of('enum')})`, 'enum'],
    [() => `bool_and(${of('bool')})`, 'bool'],
    [() => `every(${int()} > 0)`, 'bool'],
    [() => `bool_or(${int()} = 5)`, 'bool'],
    [() => `bit_or(${int()})`, 'int'],
    [() => `var_pop(${int()})`, 'numeric'],
    [() => `string_agg(DISTINCT ${of('text')}, ',')`, 'text'],
    [() => sortedArray(int()), 'intArray'],
    [() => `percentile_disc(0.5) WITHIN GROUP (ORDER BY ${int()})`, 'int'],
    [() => `(count(*) + sum(${int()}))`, 'int'],
    [() => `coalesce(sum(${int()}), 0)`, 'int'],
    [() => `(max(${int()}) - min(${int()}))`, 'int'],
  ])
  return { sql: forms(), family }
}

function sortedArray(of: string): string {
  return `array_agg(${of} ORDER BY ${of})`
}

/** FILTER is an aggregate's own: what an expression around it holds can't take it. */
export function aggregateText(writing: Writing, level: Level, depth: number): Output {
  const one = aggregate(writing, level, depth)
  return /^\(|^coalesce/.test(one.sql) ? { ...one, sql: one.sql.replace(/ FILTER \(WHERE .*$/, '') } : one
}

export function windowFunction(writing: Writing, level: Level): Output {
  const { random } = writing
  const keys = columnsOf(level, undefined, random).map(({ column }) => column)
  const own = level.columns
  const some = () => reference(random, random.pick(keys), level)
  const partition = random.chance(60) && keys.length > 0 ? `PARTITION BY ${some()} ` : ''
  const total = own.map((column) => (column.alias === undefined ? undefined : totalForm(`${column.alias}.${column.name}`, column.type.family)))
  const int = () => value(writing, 'int', level, 0)
  const named = total.filter((text) => text !== undefined)
  if (random.chance(55) && named.length > 0 && named.length <= totalColumnsMax && own.length > 0) {
    const order = `ORDER BY ${random.chance(50) && keys.length > 0 ? `${some()} ${random.pick(['DESC', 'ASC NULLS FIRST', 'DESC NULLS LAST'])}, ` : ''}${named.join(', ')}`
    const frame = random.pick(['', '', ' ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING', ' ROWS UNBOUNDED PRECEDING', ' ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING'])
    const call = random.pick([() => 'row_number()', () => `lag(${int()})`, () => `lead(${int()}, 2, -1)`, () => `first_value(${int()})`, () => `last_value(${int()})`, () => `nth_value(${int()}, 2)`, () => `sum(${int()})`, () => 'ntile(3)'])
    return { sql: `${call()} OVER (${partition}${order}${frame})`, family: 'int' }
  }
  const order = keys.length > 0 && random.chance(70) ? `ORDER BY ${some()}` : ''
  const call = random.pick([() => 'rank()', () => 'dense_rank()', () => 'count(*)', () => `sum(${int()})`, () => `max(${int()})`, () => `count(*) FILTER (WHERE ${int()} > 1)`])
  return { sql: `${call()} OVER (${partition}${order})`, family: 'int' }
}
