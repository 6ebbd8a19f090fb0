/** Edits of a statement's text at the places that the tree names, and the proof that nothing else changed. */
import { quoteIdent } from '../base/quote.ts'
import { refuse } from '../base/errors.ts'
import type { AnyNode, ColumnRef, RangeVar } from '../sql/ast.ts'
import { names, walk } from '../sql/ast.ts'
import { parseOne } from '../sql/parse.ts'
import { nameEnd, nextToken } from '../sql/scanner.ts'
import type { Edit, SourceText } from '../sql/source-text.ts'

/** Replaces a table's name by other text, keeping the name by which the rest of the statement calls it. */
export function replaceRelation(source: SourceText, rangeVar: RangeVar, text: string): Edit[] {
  const start = rangeVar.location ?? 0
  const end = nameEnd(source.raw, start)
  const alias = rangeVar.alias === undefined ? ` AS ${quoteIdent(rangeVar.relname ?? '')}` : ''
  return [...tableCommand(source, rangeVar), ...dropOnly(source, rangeVar), { start, end, text: text + alias }]
}

/** TABLE t is SELECT * FROM t, and takes a bare name alone. */
export function tableCommand(source: SourceText, rangeVar: RangeVar): Edit[] {
  const before = source.raw.slice(0, rangeVar.location ?? 0)
  const match = /\btable\s+(?=(only\s*)?$)/i.exec(before)
  return match === null ? [] : [{ start: match.index, end: match.index + match[0].length, text: 'SELECT * FROM ' }]
}

/** ONLY before a name: on the shell every table is plain, so it means nothing; on a shard it would. */
export function dropOnly(source: SourceText, rangeVar: RangeVar): Edit[] {
  if (rangeVar.inh === true) return []
  const before = source.raw.slice(0, rangeVar.location ?? 0)
  const match = /\bonly\s*$/i.exec(before)
  if (match === null) throw refuse('ONLY (table) is not supported here', 'Leave the parentheses out.')
  return [{ start: match.index, end: before.length, text: '' }]
}

/** Column references that name a schema (s.t.c): the schema goes, since the table's replacement is known as t alone. */
export function dropColumnSchemas(source: SourceText, node: AnyNode): Edit[] {
  const edits: Edit[] = []
  walk(node, (tree, key) => {
    if (key !== 'ColumnRef') return
    const { fields, location = 0 } = tree as ColumnRef
    // Of s.t.c and d.s.t.c the last two parts stay.
    let end = location
    for (let left = (fields?.length ?? 0) - 2; left > 0; left--) {
      const dot = nextToken(source.raw, nextToken(source.raw, end)?.end ?? end)
      end = nextToken(source.raw, dot?.end ?? end)?.start ?? end
    }
    if (end === location) return
    const [table = ''] = names((fields as AnyNode[]).slice(-2))
    if (waysToName(node, table) > 1) throw refuse(`cannot tell apart the tables that are named "${table}" here`, 'Give each an alias.')
    edits.push({ start: location, end, text: '' })
  })
  return edits
}

/** How many different things the name t alone stands for in a statement: s.t, another schema's t, an alias. */
function waysToName(node: AnyNode, name: string): number {
  const ways = new Set<string>()
  walk(node, (tree, key) => {
    const isTable = typeof tree.relname === 'string' && typeof tree.relpersistence === 'string'
    if (key === 'alias' && tree.aliasname === name) ways.add('alias')
    else if (isTable && tree.relname === name && tree.alias === undefined) ways.add(`schema ${String(tree.schemaname ?? '')}`)
  })
  return ways.size
}

const positions = new Set(['location', 'stmt_location', 'stmt_len', 'rexpr_list_start', 'rexpr_list_end', 'list_start', 'list_end'])

/** The tree as text, without positions and without the names of tables. */
function skeleton(node: unknown): string {
  return JSON.stringify(node, (key, value: unknown) => {
    if (positions.has(key)) return undefined
    if (typeof value !== 'object' || value === null) return value
    if ('relname' in value && 'relpersistence' in value) return 'relation'
    if (key === 'ColumnRef') return { fields: ((value as ColumnRef).fields ?? []).slice(-2) }
    return value
  })
}

/** Throws when an edited text means anything but the original with other tables. */
export function assertOnlyTablesChanged(original: AnyNode, edited: string): void {
  if (skeleton(original) !== skeleton(parseOne(edited))) {
    throw refuse('the statement could not be rewritten for its shards', 'Please report it.')
  }
}
