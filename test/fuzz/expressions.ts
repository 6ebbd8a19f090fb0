/** Random expressions that cannot fail whatever row they see: whether a failing one is evaluated depends on the plan. */
import type { Random } from '../support/random.ts'
import type { Schema } from './schema.ts'
import { columnsOf, reference } from './scope.ts'
import type { Level } from './scope.ts'
import { literal } from './literals.ts'
import type { Parameter } from './step.ts'
import { allTypes, types } from './types.ts'
import type { Family, SqlType } from './types.ts'

/** What all parts of one statement's writer share. */
export interface Writing {
  readonly random: Random
  readonly schema: Schema
  /** Undefined where the statement may not have any. */
  readonly parameters: Parameter[] | undefined
  /** Gives a name that no other part of the statement has. */
  fresh(prefix: string): string
  /** A subquery of one column and at most one row. */
  scalarSubquery(family: Family, level: Level, depth: number): string
}

/** Families whose equal values may look different: what is shown of them must not depend on which one was taken. */
export function exactForm(sql: string, family: Family): string {
  switch (family) {
    case 'numeric':
      return `round(${sql}, 2)`
    case 'float':
      return `(${sql} + 0::float8)`
    case 'interval':
      return `extract(epoch FROM ${sql})`
    case 'looseText':
      return `lower((${sql}) COLLATE "POSIX")`
    default:
      return sql
  }
}

/** Tells apart even what is equal: for orders that leave nothing to chance. */
export function totalForm(sql: string, family: Family): string {
  if (family === 'looseText') return `${sql} COLLATE "POSIX"`
  return family === 'numeric' || family === 'float' || family === 'interval' ? `(${sql})::text` : sql
}

export function typesOf(family: Family): readonly SqlType[] {
  return allTypes.filter((type) => type.family === family)
}

export const computable: readonly Family[] = ['int', 'int', 'int', 'text', 'text', 'numeric', 'float', 'bool', 'date', 'timestamp', 'intArray']

/** A family that some column here has, or one that can be computed. */
export function someFamily(writing: Writing, level: Level): Family {
  const { random } = writing
  const [first, ...more] = columnsOf(level, undefined, random)
  return first !== undefined && random.chance(75) ? random.pick([first, ...more]).column.type.family : random.pick(computable)
}

export function columnOr(writing: Writing, family: Family, level: Level, otherwise: () => string): string {
  const { random } = writing
  const columns = columnsOf(level, [family], random)
  if (columns.length === 0) return otherwise()
  const { column } = random.pick(columns)
  return reference(random, column, level)
}

/** A value of the family. */
export function value(writing: Writing, family: Family, level: Level, depth: number): string {
  const { random } = writing
  const constant = () => literal(writing, random.pick(typesOf(family)))
  const leaf = () => (random.chance(80) ? columnOr(writing, family, level, constant) : constant())
  if (depth <= 0 || random.chance(55)) return leaf()
  const of = (inner: Family) => value(writing, inner, level, depth - 1)
  if (random.chance(12)) return `coalesce(${leaf()}, ${of(family)})`
  if (random.chance(8)) return `nullif(${of(family)}, ${leaf()})`
  if (random.chance(8)) return `(${writing.scalarSubquery(family, level, depth - 1)})`
  const [form, ...more] = computed(writing, family, of)
  return form === undefined ? leaf() : random.pick([form, ...more])()
}

/** What gives a value of the family from values of others. */
function computed(writing: Writing, family: Family, of: (inner: Family) => string): (() => string)[] {
  const { random } = writing
  switch (family) {
    case 'int':
      return [
        () => `(${of('int')} + ${of('int')})`,
        () => `(${of('int')} - ${of('int')})`,
        () => `(${of('int')}::bigint * ${of('int')})`,
        () => `(${of('int')} % ${2 + random.below(5)})`,
        () => `abs(${of('int')})`,
        () => `(- ${of('int')})`,
        () => `length(${of('text')})`,
        () => `CASE WHEN ${of('bool')} THEN ${of('int')} ELSE ${of('int')} END`,
        () => `extract(year FROM ${of('date')})::int`,
        () => `cardinality(${of('intArray')})`,
        () => `(${of('intArray')})[1]`,
        () => `greatest(${of('int')}, ${of('int')})`,
        () => `(${of('date')} - ${of('date')})`,
        () => `position('a' IN ${of('text')})`,
        () => `(${of('bool')})::int`,
      ]
    case 'text':
      return [
        () => `(${of('text')} || ${of('text')})`,
        () => `upper(${of('text')})`,
        () => `(${of('int')})::text`,
        () => `substr(${of('text')}, 1, ${1 + random.below(3)})`,
        () => `concat(${of('text')}, '-', ${of('int')})`,
        () => `format('%s/%s', ${of('text')}, ${of('int')})`,
        () => `CASE ${of('int')} WHEN 1 THEN ${of('text')} WHEN 5 THEN 'five' END`,
        () => `to_char(${of('date')}, 'YYYY-MM')`,
        () => `trim(${of('text')})`,
        () => `(${of('jsonb')} ->> 'a')`,
        () => `overlay(${of('text')} placing 'Q' from 1 for 1)`,
        () => `cast(${of('bool')} AS text)`,
      ]
    case 'numeric':
      return [() => `(${of('numeric')} + ${of('int')})`, () => `(${of('int')} / 4.0)`, () => `round(${of('numeric')}, 1)`, () => `(${of('int')})::numeric(8,2)`]
    case 'float':
      return [() => `(${of('float')} * 2)`, () => `(${of('int')})::float8`, () => `(- ${of('float')})`]
    case 'bool':
      return [() => `(${of('int')} > ${of('int')})`, () => `(NOT ${of('bool')})`, () => `(${of('text')} IS NULL)`]
    case 'date':
      return [() => `(${of('date')} + ${of('int')})`, () => `(${of('timestamp')})::date`, () => `make_date(2024, 1, 1 + ${random.below(28)})`]
    case 'timestamp':
      return [() => `(${of('date')} + interval '1 day')`, () => `date_trunc('month', ${of('timestamp')})`]
    case 'intArray':
      return [() => `ARRAY[${of('int')}, ${of('int')}]::int[]`, () => `(${of('intArray')} || ${of('intArray')})`]
    case 'jsonb':
      return [() => `jsonb_build_object('a', ${of('int')}, 'b', ${of('text')})`, () => `to_jsonb(${of('int')})`, () => `(${of('jsonb')} -> 'b')`]
    case 'textArray':
      return [() => `ARRAY[${of('text')}]`, () => `string_to_array(${of('text')}, ' ')`]
    default:
      return []
  }
}

/** The type that a column of the family is taken for, when only its family is known. */
export function typeOfFamily(family: Family): SqlType {
  const [first = types.text, ...more] = typesOf(family)
  return more.find((type) => type === types.int8 || type === types.float8) ?? first
}
