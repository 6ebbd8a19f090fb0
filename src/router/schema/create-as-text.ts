/** The parts of CREATE TABLE AS, CREATE MATERIALIZED VIEW and SELECT INTO: what is made, and the query that fills it. */
import { refuse } from '../../base/errors.ts'
import type { SelectStmt } from '../../sql/ast.ts'
import { intoOf } from '../../sql/ast.ts'
import type { Statement } from '../../sql/parse.ts'
import { findKeyword, nameEnd, nextToken } from '../../sql/scanner.ts'

export interface CreateAs {
  /** CREATE ... AS */
  readonly head: string
  readonly query: string
  readonly withoutData: boolean
}

export function splitCreateAs(statement: Statement): CreateAs {
  const { source, node } = statement
  if (node.SelectStmt !== undefined) return splitSelectInto(statement)
  const as = findKeyword(source.raw, 'as')
  const withData = /\bwith\s+(no\s+)?data\s*;?\s*$/i.exec(source.raw)
  return {
    head: source.between(0, as?.end ?? 0),
    query: source.between(as?.end ?? 0, withData?.index ?? source.length).replace(/;\s*$/, ''),
    withoutData: node.CreateTableAsStmt?.into?.skipData === true,
  }
}

/** SELECT ... INTO [TEMP | UNLOGGED] [TABLE] name ... is CREATE TABLE name AS SELECT ... without it. */
function splitSelectInto({ source, node }: Statement): CreateAs {
  const { raw } = source
  const start = intoOf(node.SelectStmt as SelectStmt | undefined)?.rel?.location ?? 0
  const end = nameEnd(raw, start)
  const before: { start: number; end: number }[] = []
  for (let token = nextToken(raw, 0); token !== undefined && token.start < start; token = nextToken(raw, token.end)) before.push(token)
  const into = before.findLast((token) => raw.slice(token.start, token.end).toLowerCase() === 'into')
  if (into === undefined) throw refuse('cannot read this SELECT INTO', 'Use CREATE TABLE AS.')
  const words = source.between(into.end, start).replace(/\btable\b/i, '')
  return {
    head: `CREATE ${words} TABLE ${source.between(start, end)} AS`,
    query: `${source.between(0, into.start)} ${source.between(end, source.length)}`.replace(/;\s*$/, ''),
    withoutData: false,
  }
}
