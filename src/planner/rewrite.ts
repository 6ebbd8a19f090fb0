/** A statement's text as shards get it. */
import { quoteIdent } from '../base/quote.ts'
import { markerName } from '../catalog/snapshot.ts'
import type { AnyNode } from '../sql/ast.ts'
import { names, walk } from '../sql/ast.ts'
import type { Statement } from '../sql/parse.ts'
import { nameEnd, nextToken } from '../sql/scanner.ts'
import type { Edit } from '../sql/source-text.ts'
import { assertOnlyTablesChanged, dropColumnSchemas, dropOnly, replaceRelation } from './edits.ts'
import type { StatementFacts } from './facts.ts'
import { isPointRead } from './point-read.ts'
import type { LeafText, OneShardPlan, OneShardRoute, TimedText, TimeUse } from './plan.ts'
import { renderLeafText, timeHole } from './plan.ts'

export const hole = '\x01'

/** The names of distributed tables become holes for leaves; others keep theirs and need a marker. */
export function oneShardPlan(rule: string, route: OneShardRoute, statement: Statement, facts: StatementFacts, writes = facts.modifyingCte): OneShardPlan {
  const markers = new Set<string>()
  const leafMarkers = new Set<string>()
  const edits: Edit[] = []
  for (const { rangeVar, relation } of facts.tables) {
    if (relation.table === undefined) continue
    if (relation.table.kind === 'distributed') {
      edits.push(...replaceRelation(statement.source, rangeVar, `${hole}${relation.table.id}${hole}`))
      leafMarkers.add(markerName(relation.table))
    } else {
      edits.push(...qualify(statement, rangeVar, relation.schema, relation.name, relation.table.kind === 'single'))
      markers.add(markerName(relation.table))
    }
  }
  if (edits.length > 0) edits.push(...dropColumnSchemas(statement.source, statement.node))
  const text = leafText(statement, edits)
  const timed = facts.usesTime ? cutLeafText(statement.source.edited([...edits, ...timeEdits(statement, `${hole}${timeHole}${hole}`)])) : undefined
  return Object.freeze({ kind: 'one-shard', rule, route, text, timed, hiddenTime: facts.hiddenTime, markers: [...markers], leafMarkers: [...leafMarkers], writes, isPointRead: !writes && isPointRead(statement.node, facts) })
}

/** How a text that runs as it is uses the time. */
export function timeUse(statement: Statement, facts: StatementFacts): TimeUse<TimedText> {
  const timed = facts.usesTime ? { pieces: statement.source.edited(timeEdits(statement)).split(hole) } : undefined
  return { timed, hiddenTime: facts.hiddenTime }
}

/** A name found by the session's search path is made to say its schema: what else is on a shard must not be found first. */
export function qualify(statement: Statement, rangeVar: { location?: number; schemaname?: string; inh?: boolean }, schema: string, name: string, keepOnly = false): Edit[] {
  // On its one shard a single table is as it was declared, with its partitions.
  const edits = keepOnly ? [] : dropOnly(statement.source, rangeVar)
  if (rangeVar.schemaname !== undefined) return edits
  const start = rangeVar.location ?? 0
  return [...edits, { start, end: nameEnd(statement.source.raw, start), text: `${quoteIdent(schema)}.${quoteIdent(name)}` }]
}

function leafText(statement: Statement, edits: readonly Edit[]): LeafText {
  const text = cutLeafText(statement.source.edited(edits))
  if (edits.length > 0) assertOnlyTablesChanged(statement.node, renderLeafText(text, 0))
  return text
}

function cutLeafText(text: string): LeafText {
  const parts = text.split(hole)
  return { pieces: parts.filter((_, i) => i % 2 === 0), tableIds: parts.filter((_, i) => i % 2 === 1).map(Number) }
}

/** Names keep their tables' own; calls for the time become holes, so that all shards have the same. */
export function scatterText(statement: Statement, facts: StatementFacts): TimedText {
  const edits: Edit[] = []
  for (const { rangeVar, relation } of facts.tables) {
    if (relation.table !== undefined) edits.push(...qualify(statement, rangeVar, relation.schema, relation.name))
  }
  if (edits.length > 0) assertOnlyTablesChanged(statement.node, statement.source.edited(edits))
  if (facts.usesTime) edits.push(...timeEdits(statement))
  return { pieces: statement.source.edited(edits).split(hole) }
}

const timeTypes: Readonly<Record<string, string>> = {
  SVFOP_CURRENT_DATE: 'date',
  SVFOP_CURRENT_TIME: 'timetz',
  SVFOP_CURRENT_TIME_N: 'timetz',
  SVFOP_CURRENT_TIMESTAMP: 'timestamptz',
  SVFOP_CURRENT_TIMESTAMP_N: 'timestamptz',
  SVFOP_LOCALTIME: 'time',
  SVFOP_LOCALTIME_N: 'time',
  SVFOP_LOCALTIMESTAMP: 'timestamp',
  SVFOP_LOCALTIMESTAMP_N: 'timestamp',
}

const timeNames: Readonly<Record<string, string>> = {
  SVFOP_CURRENT_DATE: 'current_date',
  SVFOP_CURRENT_TIME: 'current_time',
  SVFOP_CURRENT_TIMESTAMP: 'current_timestamp',
  SVFOP_LOCALTIME: 'localtime',
  SVFOP_LOCALTIMESTAMP: 'localtimestamp',
}

/** Calls for the time that give a column its name, alone or under casts, with that name. */
function namingCalls(node: AnyNode): Map<unknown, string> {
  const found = new Map<unknown, string>()
  walk(node, (tree, key) => {
    if (key !== 'ResTarget' || tree.name !== undefined) return
    let at = tree.val as AnyNode | undefined
    while (at?.TypeCast !== undefined || at?.CollateClause !== undefined) at = (at.TypeCast ?? at.CollateClause)?.arg as AnyNode | undefined
    if (at?.FuncCall !== undefined) found.set(at.FuncCall, names(at.FuncCall.funcname as AnyNode[]).at(-1) ?? '')
    if (at?.SQLValueFunction !== undefined) found.set(at.SQLValueFunction, timeNames[String(at.SQLValueFunction.op).replace(/_N$/, '')] ?? '')
  })
  return found
}

/**
 * now() and its kin, in parentheses so that what follows them still applies. One that gives a column its name becomes a
 * subquery whose column has that name, which names the outer one in the same way.
 */
export function timeEdits(statement: Statement, mark = hole): Edit[] {
  const { raw } = statement.source
  // SET (a, b) = (...) stands in the tree once for each of its columns.
  const edits = new Map<number, Edit>()
  const naming = namingCalls(statement.node)
  const written = (tree: unknown, value: string) => (naming.has(tree) ? `(SELECT ${value} AS ${quoteIdent(naming.get(tree) ?? '')})` : `(${value})`)
  walk(statement.node, (tree, key) => {
    const start = (tree.location as number | undefined) ?? 0
    if (key === 'SQLValueFunction' && timeTypes[String(tree.op)] !== undefined) {
      let { end = start } = nextToken(raw, start) ?? {}
      let precision = ''
      if (String(tree.op).endsWith('_N')) {
        end = raw.indexOf(')', end) + 1
        precision = `(${String(tree.typmod ?? 0)})`
      }
      edits.set(start, { start, end, text: written(tree, `${mark}::${timeTypes[String(tree.op)]}${precision}`) })
    } else if (key === 'FuncCall') {
      const parts = (tree.funcname as AnyNode[]).map((part) => part.String?.sval)
      if (!/^(now|transaction_timestamp)$/.test(parts.at(-1) ?? '')) return
      const open = nextToken(raw, nameEnd(raw, start))
      const close = nextToken(raw, open?.end ?? start)
      edits.set(start, { start, end: close?.end ?? start, text: written(tree, mark) })
    }
  })
  return [...edits.values()]
}

/** The text with the time put in: an ISO timestamp with time zone, or undefined for the server's own. */
export function renderTimedText(text: TimedText, timestamp: string | undefined): string {
  return text.pieces.join(timestamp === undefined ? 'pg_catalog.now()' : `'${timestamp}'::timestamptz`)
}
