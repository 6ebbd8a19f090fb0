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
import type { AnyNode, Tree } from '../sql/ast.ts'
import { isTree, names } from '../sql/ast.ts'
import { nameEnd, nextToken } from '../sql/scanner.ts'
import type { Edit, SourceText } from '../sql/source-text.ts'
import { tableCommand } from './edits.ts'
import type { RelationUse } from './facts.ts'
import { systemColumnNames } from './facts.ts'
import { systemRelationKey } from './resolve.ts'

const schemas = `'{pgherd,pgherd_data}'::pg_catalog.regnamespace[]`
const differs = (column: string, array: string) => `${column} OPERATOR(pg_catalog.<>) ALL (${array})`
/** The alias of the condition's own look at pg_class. */
export const ownAlias = 'pgherd_own'

/** True of relations that are not pgherd's: neither in its schemas nor what a gather has made among a session's temporary tables. */
const isUsers = (alias: string) =>
  `${differs(`${alias}.relnamespace`, schemas)} AND (${alias}.relpersistence OPERATOR(pg_catalog.<>) 't' OR ${alias}.relname OPERATOR(pg_catalog.!~~) 'pgherd\\_%')`

const ownRelations = (column: string) => `ARRAY(SELECT ${column} FROM pg_catalog.pg_class ${ownAlias} WHERE NOT (${isUsers(ownAlias)}))`

/** What is true of a row that is not pgherd's, by the column that says whose it is. */
export function ownCondition(alias: string, column: string): string {
  const at = `${alias}.${quoteIdent(column)}`
  if (column === 'relnamespace') return `${isUsers(alias)} AND (${alias}.relkind OPERATOR(pg_catalog.<>) 't' OR ${differs(`${alias}.oid`, ownRelations('reltoastrelid'))})`
  if (column === 'typnamespace') {
    const inTemporary = `${at}::pg_catalog.regnamespace::pg_catalog.text OPERATOR(pg_catalog.~) '^pg_temp_'`
    return `${differs(at, schemas)} AND NOT (${alias}.typname OPERATOR(pg_catalog.~) '^_?pgherd_' AND ${inTemporary})`
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

/**
 * System columns that stand alone: behind a join their table must be named. Only a SELECT from one table can have them so.
 */
export function qualifySystemColumns(node: unknown, alias: string | undefined = undefined): Edit[] {
  if (Array.isArray(node)) return node.flatMap((item) => qualifySystemColumns(item, alias))
  if (!isTree(node)) return []
  if (Array.isArray(node.targetList)) {
    const [only, ...more] = (node.fromClause ?? []) as AnyNode[]
    const table = more.length === 0 ? only?.RangeVar : undefined
    if (only !== undefined) return Object.values(node).flatMap((child) => qualifySystemColumns(child, table?.alias?.aliasname ?? table?.relname))
  }
  const fields = isTree(node.ColumnRef) ? names(node.ColumnRef.fields as AnyNode[]) : []
  if (alias === undefined || fields.length !== 1 || !systemColumnNames.has(fields[0] ?? '')) return Object.values(node).flatMap((child) => qualifySystemColumns(child, alias))
  const at = ((node.ColumnRef as Tree).location as number | undefined) ?? 0
  return [{ start: at, end: at, text: `${quoteIdent(alias)}.` }]
}
