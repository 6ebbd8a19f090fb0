/** Random conditions: what WHERE, ON, HAVING and FILTER hold. */
import { columnOr, someFamily, value } from './expressions.ts'
import type { Writing } from './expressions.ts'
import { comparand, literal } from './literals.ts'
import { columnsOf, reference } from './scope.ts'
import type { Level, ScopeColumn } from './scope.ts'
import { select } from './select.ts'
import type { Family } from './types.ts'

const comparisons = ['=', '=', '=', '=', '<>', '<', '>', '<=', '>=', '!=']

export function condition(writing: Writing, level: Level, depth: number): string {
  const { random } = writing
  if (depth > 0 && random.chance(30)) {
    const parts = [condition(writing, level, depth - 1), condition(writing, level, depth - 1)]
    return `(${parts.join(random.chance(65) ? ' AND ' : ' OR ')})`
  }
  if (depth > 0 && random.chance(10)) return `NOT (${condition(writing, level, depth - 1)})`
  if (depth > 0 && random.chance(28)) return withSubquery(writing, level, depth - 1)
  return simple(writing, level, depth)
}

/** A column compared with something, by preference. */
function simple(writing: Writing, level: Level, depth: number): string {
  const { random } = writing
  const found = columnsOf(level, undefined, random)
  if (found.length === 0) return `${value(writing, 'int', level, 0)} ${random.pick(comparisons)} ${value(writing, 'int', level, 0)}`
  const { column } = random.pick(found)
  const { family } = column.type
  const name = reference(random, column, level)
  const constant = () => comparand(writing, column.type)
  const one = () => (random.chance(50) ? constant() : columnOr(writing, family, level, constant))
  const forms = [
    () => `${name} ${random.pick(comparisons)} ${constant()}`,
    () => `${name} = ${constant()}`,
    () => `${name} = ${one()}`,
    () => `${constant()} ${random.pick(comparisons)} ${name}`,
    () => `${name} ${random.pick(comparisons)} ${one()}`,
    () => `${name} IS ${random.pick(['', 'NOT '])}NULL`,
    () => `${name} IS ${random.pick(['', 'NOT '])}DISTINCT FROM ${one()}`,
    () => `${name} ${random.pick(['', 'NOT '])}IN (${[constant(), constant(), random.chance(10) ? 'NULL' : constant()].join(', ')})`,
    () => `${name} IN (${constant()})`,
    () => `${name} ${random.pick(['', 'NOT '])}BETWEEN ${random.pick(['', '', 'SYMMETRIC '])}${constant()} AND ${constant()}`,
    () => `${name} ${random.pick(['= ANY', '<> ALL', '> ALL'])} (ARRAY[${literal(writing, column.type)}, ${literal(writing, column.type)}])`,
    () => `(${name}, ${value(writing, 'int', level, 0)}) ${random.pick(['=', '<', '>=', '<>'])} (${one()}, ${value(writing, 'int', level, 0)})`,
    () => `(${name} = ${constant()}) ${random.pick(['IS TRUE', 'IS NOT TRUE', 'IS UNKNOWN', 'IS NOT FALSE'])}`,
  ]
  if (family === 'text') forms.push(() => `${name} ${random.pick(['LIKE', 'NOT LIKE', 'ILIKE', '~', '!~*', '^@'])} ${random.pick(["'a%'", "'_'", "'%b%'", "''"])}`)
  if (family === 'bool') forms.push(() => name, () => `NOT ${name}`, () => `${name} IS NOT FALSE`)
  if (family === 'intArray') forms.push(() => `${random.below(6)} = ANY (${name})`, () => `${name} @> '{5}'`, () => `${name} && ARRAY[1, 5]`)
  if (family === 'jsonb') forms.push(() => `${name} @> '{"a": 1}'`, () => `${name} ? 'a'`)
  if (family === 'int') forms.push(() => `${name} ${random.pick(comparisons)} ${value(writing, 'int', level, depth)}`)
  return random.pick(forms)()
}

function withSubquery(writing: Writing, level: Level, depth: number): string {
  const { random } = writing
  const family = someFamily(writing, level)
  const left = () => value(writing, family, level, 0)
  const query = (families: readonly Family[]) => select(writing, level, { families, depth }).sql
  return random.pick([
    () => `${random.pick(['', '', 'NOT '])}EXISTS (${select(writing, level, { depth }).sql})`,
    () => `${left()} IN (${query([family])})`,
    () => `${left()} NOT IN (${query([family])})`,
    () => `${left()} ${random.pick(['=', '>', '<='])} ANY (${query([family])})`,
    () => `${left()} ${random.pick(['<>', '>', '<'])} ALL (${query([family])})`,
    () => `(${left()}, ${value(writing, 'int', level, 0)}) IN (${query([family, 'int'])})`,
    () => `${left()} = (${writing.scalarSubquery(family, level, depth)})`,
    () => `${random.below(4)} < (${writing.scalarSubquery('int', level, depth)})`,
  ])()
}

/** What ties two sides of a join: mostly equal columns. */
export function joinCondition(writing: Writing, left: readonly ScopeColumn[], right: readonly ScopeColumn[], both: Level, depth: number): string {
  const { random } = writing
  const pairs = equalPairs(left, right)
  if (pairs.length === 0 || random.chance(8)) return random.chance(20) ? 'true' : condition(writing, both, depth)
  const equality = () => {
    const [one, other] = random.pick(pairs)
    const texts = [reference(random, one, both), reference(random, other, both)]
    return random.chance(50) ? texts.join(' = ') : texts.reverse().join(' = ')
  }
  if (random.chance(25)) return `${equality()} AND ${random.chance(50) ? equality() : condition(writing, both, 0)}`
  return random.chance(5) ? `${equality()} OR ${equality()}` : equality()
}

/** One equality alone: FULL JOIN knows no other. */
export function equality(writing: Writing, left: readonly ScopeColumn[], right: readonly ScopeColumn[], both: Level): string | undefined {
  const [first, ...more] = equalPairs(left, right)
  if (first === undefined) return undefined
  const [one, other] = writing.random.pick([first, ...more])
  return `${reference(writing.random, one, both)} = ${reference(writing.random, other, both)}`
}

function equalPairs(left: readonly ScopeColumn[], right: readonly ScopeColumn[]): [ScopeColumn, ScopeColumn][] {
  const named = (list: readonly ScopeColumn[]) => list.filter((column) => column.alias !== undefined)
  return named(left).flatMap((one) => named(right).flatMap((other): [ScopeColumn, ScopeColumn][] => (one.type.family === other.type.family ? [[one, other]] : [])))
}

