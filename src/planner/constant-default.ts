/** What a column's default is like, when it is left to a shard. */
import { refuse } from '../base/errors.ts'
import type { Column } from '../catalog/snapshot.ts'
import type { TimeDefault } from './plan.ts'
import { parseOne } from '../sql/parse.ts'
import { SourceText } from '../sql/source-text.ts'
import { statementFacts } from './facts.ts'
import type { NameContext } from './resolve.ts'
import { hole, timeEdits } from './rewrite.ts'

/** Gives the same on every server, at any time. */
export function isConstantDefault(column: Column, context: NameContext): boolean {
  if (column.default === undefined) return true
  const facts = statementFacts(parseOne(`SELECT ${column.default}`), context)
  return facts.volatile.length === 0 && !facts.usesTime && !facts.hiddenTime && facts.catalogOnly.length === 0
}

/** On shards a column has no default that takes from a sequence: the sequences are the catalog's. */
export function takesFromSequence(column: Column): boolean {
  return column.sequence !== undefined || column.identity !== '' || /nextval\(/.test(column.default ?? '')
}

/** A default that calls a function over tables would see those of one server. */
export function refuseNotedDefaults(columns: readonly Column[], context: NameContext): void {
  for (const column of columns) {
    if (column.default === undefined) continue
    const [noted] = statementFacts(parseOne(`SELECT ${column.default}`), context).tableFunctions
    if (noted !== undefined) throw refuse(`cannot use the default of column "${column.name}" (${noted})`, 'Give the value.')
  }
}

/** Asks for the time where no text can replace it. */
export function hidesTime(column: Column, context: NameContext): boolean {
  return column.default !== undefined && !column.generated && statementFacts(parseOne(`SELECT ${column.default}`), context).hiddenTime
}

/** The columns whose defaults depend on the time. */
export function timeDefaults(columns: readonly Column[], context: NameContext): TimeDefault[] {
  return columns.flatMap((column) => {
    const pieces = timeDefault(column, context)
    return pieces === undefined ? [] : [{ column: column.name, pieces }]
  })
}

/** A default that depends on the time, as text with a hole for it; undefined for others. */
function timeDefault(column: Column, context: NameContext): string[] | undefined {
  if (column.default === undefined || column.generated) return undefined
  const text = `SELECT (${column.default}) AS value`
  const node = parseOne(text)
  if (!statementFacts(node, context).usesTime) return undefined
  const source = new SourceText(text)
  return source.edited(timeEdits({ source, node })).slice('SELECT '.length, -' AS value'.length).split(hole)
}
