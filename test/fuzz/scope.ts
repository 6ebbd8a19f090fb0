/** The columns that an expression may name, level by level, and how it names them. */
import type { Random } from '../support/random.ts'
import type { Family, SqlType } from './types.ts'

export interface ScopeColumn {
  /** Undefined for a column that USING has merged: it has its name alone. */
  readonly alias: string | undefined
  readonly name: string
  readonly type: SqlType
  /** Merged away by USING or NATURAL: only its alias still tells it. */
  readonly isMerged?: boolean
}

export interface Level {
  readonly columns: readonly ScopeColumn[]
  readonly outer: Level | undefined
}

export const nothing: Level = { columns: [], outer: undefined }

function byName(level: Level, name: string): readonly ScopeColumn[] {
  return level.columns.filter((column) => column.name === name && column.isMerged !== true)
}

/** As text: often with the alias, sometimes by the bare name where that is not ambiguous. */
export function reference(random: Random, column: ScopeColumn, level: Level): string {
  const bareMeansIt = (from: Level): boolean => {
    const found = byName(from, column.name)
    if (found.length > 0) return found.length === 1 && found[0] === column
    return from.outer !== undefined && bareMeansIt(from.outer)
  }
  if (column.alias === undefined) return column.name
  return bareMeansIt(level) && random.chance(35) ? column.name : `${column.alias}.${column.name}`
}

/** A column merged by USING can be named only where no other has its name. */
function canBeNamed(column: ScopeColumn, level: Level): boolean {
  return column.alias !== undefined || byName(level, column.name).length === 1
}

/** The columns of a family that can be named here, those of the level itself first choice. */
export function columnsOf(level: Level, families: readonly Family[] | undefined, random: Random): { column: ScopeColumn; level: Level }[] {
  const own = level.columns.filter((column) => (families === undefined || families.includes(column.type.family)) && canBeNamed(column, level))
  const found = own.map((column) => ({ column, level }))
  if (level.outer === undefined || (found.length > 0 && !random.chance(30))) return found
  // What an inner level calls by the same alias or bare name hides it.
  const outer = columnsOf(level.outer, families, random).filter(({ column }) =>
    column.alias === undefined ? byName(level, column.name).length === 0 : !level.columns.some((one) => one.alias === column.alias),
  )
  return outer.length > 0 && (found.length === 0 || random.chance(60)) ? outer : found
}
