/** A statement's text as shards get it. */
import { quoteIdent } from '../base/quote.ts'
import { leafName, markerName } from '../catalog/snapshot.ts'
import type { AnyNode } from '../sql/ast.ts'
import { walk } from '../sql/ast.ts'
import type { Statement } from '../sql/parse.ts'
import { nameEnd, nextToken } from '../sql/scanner.ts'
import type { Edit } from '../sql/source-text.ts'
import { assertOnlyTablesChanged, dropColumnSchemas, dropOnly, replaceRelation } from './edits.ts'
import type { StatementFacts } from './facts.ts'
import type { LeafText, OneShardPlan, OneShardRoute, TimedText } from './plan.ts'

export const hole = '\x01'

/** The names of distributed tables become holes for leaves; others keep theirs and need a marker. */
export function oneShardPlan(rule: string, route: OneShardRoute, statement: Statement, facts: StatementFacts, writes = facts.modifyingCte): OneShardPlan {
  const markers = new Set<string>()
  const edits: Edit[] = []
  for (const { rangeVar, relation } of facts.tables) {
    if (relation.table === undefined) continue
    if (relation.table.kind === 'distributed') edits.push(...replaceRelation(statement.source, rangeVar, `${hole}${relation.table.id}${hole}`))
    else {
      edits.push(...qualify(statement, rangeVar, relation.schema, relation.name, relation.table.kind === 'single'))
      markers.add(markerName(relation.table))
    }
  }
  if (edits.length > 0) edits.push(...dropColumnSchemas(statement.source, statement.node))
  return Object.freeze({ kind: 'one-shard', rule, route, text: leafText(statement, edits), markers: [...markers], writes })
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
  const parts = statement.source.edited(edits).split(hole)
  const pieces = parts.filter((_, i) => i % 2 === 0)
  const tableIds = parts.filter((_, i) => i % 2 === 1).map(Number)
  if (edits.length > 0) {
    const sample = parts.map((part, i) => (i % 2 === 0 ? part : leafName(Number(part), 0))).join('')
    assertOnlyTablesChanged(statement.node, sample)
  }
  return { pieces, tableIds }
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

/** now() and its kin, in parentheses so that what follows them still applies. The column's name is kept by the caller. */
export function timeEdits(statement: Statement): Edit[] {
  const { raw } = statement.source
  const edits: Edit[] = []
  walk(statement.node, (tree, key) => {
    const start = (tree.location as number | undefined) ?? 0
    if (key === 'SQLValueFunction' && timeTypes[String(tree.op)] !== undefined) {
      let { end = start } = nextToken(raw, start) ?? {}
      let precision = ''
      if (String(tree.op).endsWith('_N')) {
        end = raw.indexOf(')', end) + 1
        precision = `(${String(tree.typmod ?? 0)})`
      }
      edits.push({ start, end, text: `(${hole}::${timeTypes[String(tree.op)]}${precision})` })
    } else if (key === 'FuncCall') {
      const parts = (tree.funcname as AnyNode[]).map((part) => part.String?.sval)
      if (!/^(now|transaction_timestamp)$/.test(parts.at(-1) ?? '')) return
      const open = nextToken(raw, nameEnd(raw, start))
      const close = nextToken(raw, open?.end ?? start)
      edits.push({ start, end: close?.end ?? start, text: `(${hole})` })
    }
  })
  return edits
}

/** The text with the time put in: an ISO timestamp with time zone, or '' where there is no hole. */
export function renderTimedText(text: TimedText, timestamp: string): string {
  return text.pieces.join(`'${timestamp}'::timestamptz`)
}
