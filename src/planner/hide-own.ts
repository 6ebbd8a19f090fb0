/**
 * What is pgherd's own is left out of what the system's tables say: a client sees what one PostgreSQL would show.
 *
 * A table of the system becomes a join with nothing, whose condition drops pgherd's own rows:
 *
 *   pg_class c   ->   (pg_class c JOIN (SELECT) pgherd_own1 ON c.relnamespace <> ALL (...))
 *
 * So it is still the table itself, under its name: system columns, stars and GROUP BY of its key mean what they meant.
 */
import { quoteIdent } from '../base/quote.ts'
import type { Builtins } from '../catalog/snapshot.ts'
import { nameEnd, nextToken } from '../sql/scanner.ts'
import type { Edit, SourceText } from '../sql/source-text.ts'
import { tableCommand } from './edits.ts'
import type { RelationUse } from './facts.ts'
import { systemRelationKey } from './resolve.ts'

const schemas = `'{pgherd,pgherd_data}'::pg_catalog.regnamespace[]`
const differs = (column: string, array: string) => `${column} OPERATOR(pg_catalog.<>) ALL (${array})`
/** The alias of the condition's own look at pg_class. */
export const ownAlias = 'pgherd_own'
const ownRelations = (column: string) => `ARRAY(SELECT ${column} FROM pg_catalog.pg_class ${ownAlias} WHERE NOT (${differs('relnamespace', schemas)}))`

/** By the name of the column that says whose a row is. What pgherd makes among a session's temporary tables is its own, too. */
export function ownCondition(alias: string, column: string): string {
  const at = `${alias}.${quoteIdent(column)}`
  if (column === 'relnamespace') {
    const notTemporary = `(${alias}.relpersistence OPERATOR(pg_catalog.<>) 't' OR ${alias}.relname OPERATOR(pg_catalog.!~~) 'pgherd\\_%')`
    const notToast = `(${alias}.relkind OPERATOR(pg_catalog.<>) 't' OR ${differs(`${alias}.oid`, ownRelations('reltoastrelid'))})`
    return `${differs(at, schemas)} AND ${notTemporary} AND ${notToast}`
  }
  if (/namespace$|^oid$/.test(column)) return differs(at, schemas)
  if (/relid$|^ev_class$/.test(column)) return differs(at, ownRelations('oid'))
  const names = column === 'datname' ? `'{pgherd}'` : `'{pgherd,pgherd_data}'`
  return `(${at} IS NULL OR ${differs(`${at}::pg_catalog.name`, `${names}::pg_catalog.name[]`)})`
}

/** The column by which a use of a system's table is restricted; undefined when nothing of pgherd's can be in it. */
export function ownerColumn({ resolved, rangeVar, isTarget }: RelationUse, builtins: Builtins): string | undefined {
  if (resolved.kind !== 'system' || isTarget) return undefined
  return builtins.ownerColumns.get(systemRelationKey(rangeVar, builtins))
}

/** Drops pgherd's own rows from the number-th use of a relation in the statement. */
export function hideEdits(source: SourceText, use: RelationUse, number: number, builtins: Builtins): Edit[] {
  const column = ownerColumn(use, builtins)
  if (column === undefined || use.rangeVar.alias?.colnames !== undefined) return []
  const { raw } = source
  const start = use.rangeVar.location ?? 0
  const { relname = '', alias } = use.rangeVar
  const only = /\bonly\s*$/i.exec(raw.slice(0, start))
  const end = alias === undefined ? nameEnd(raw, start) : aliasEnd(raw, nameEnd(raw, start))
  const joined = ` JOIN (SELECT) AS ${ownAlias}${number} ON ${ownCondition(quoteIdent(alias?.aliasname ?? relname), column)})`
  return [...tableCommand(source, use.rangeVar), { start: only?.index ?? start, end: only?.index ?? start, text: '(' }, { start: end, end, text: joined }]
}

/** Behind `t`, the end of ` AS x` or ` x`. */
function aliasEnd(raw: string, from: number): number {
  let token = nextToken(raw, from)
  if (token !== undefined && raw.slice(token.start, token.end) === '*') token = nextToken(raw, token.end)
  if (token !== undefined && /^as$/i.test(raw.slice(token.start, token.end))) token = nextToken(raw, token.end)
  return token?.end ?? from
}
