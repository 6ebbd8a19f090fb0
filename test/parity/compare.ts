/** In what the answers of two servers to one statement differ. */
import type { Result } from '../support/wire-client.ts'

/**
 * The cluster's SQLSTATE when it failed otherwise than PostgreSQL did, else the parts that differ, as `rows, tag`; undefined
 * when nothing does. Rows are compared as a list when their order is settled.
 */
export function difference(ordered: boolean, expected: Result, actual: Result): string | undefined {
  if (actual.error !== undefined && actual.error.sqlstate !== expected.error?.sqlstate) return actual.error.sqlstate
  const parts: string[] = []
  if (expected.error !== undefined && actual.error === undefined) parts.push(`no error ${expected.error.sqlstate}`)
  const differ = (part: string, of: (result: Result) => unknown) => {
    if (JSON.stringify(of(expected)) !== JSON.stringify(of(actual))) parts.push(part)
  }
  if (expected.error === undefined && actual.error === undefined) {
    differ('column names', (result) => result.columns?.map((column) => column.name))
    differ('types', (result) => result.columns?.map((column) => typeName(column.typeOid)))
    differ('type modifiers', (result) => result.columns?.map((column) => column.typeModifier))
    differ('rows', (result) => (ordered ? result.rows : sorted(result.rows)))
    differ('tag', (result) => result.tags)
  }
  differ('transaction status', (result) => result.status)
  return parts.length === 0 ? undefined : parts.join(', ')
}

/** Types that users make have other OIDs on every server. */
function typeName(oid: number): string {
  return oid >= 16384 ? 'user type' : String(oid)
}

function sorted(rows: Result['rows']): string[] {
  return rows.map((row) => JSON.stringify(row)).sort()
}

/** Whether ORDER BY stands outside all parentheses. */
export function isOrdered(sql: string): boolean {
  let text = sql.replace(/'(?:[^']|'')*'|"(?:[^"]|"")*"|--.*$/gm, ' ')
  for (let before = ''; before !== text; ) {
    before = text
    text = text.replace(/\([^()]*\)/g, ' ')
  }
  return /\border\s+by\b/i.test(text)
}
