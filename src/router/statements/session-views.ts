/**
 * What PostgreSQL's own views tell of a session: pg_prepared_statements and pg_cursors speak of what this session has here, not of
 * what a connection of the catalog has. Their rows are written into the statement, whose plan is not kept.
 */
import { quoteLiteral } from '../../base/quote.ts'
import { serverById } from '../../executor/context.ts'
import { query } from '../../shard/query.ts'
import type { Session } from '../session.ts'
import type { Handler } from './run-statement.ts'

const mentions = /pg_prepared_statements|pg_cursors/i

/** Undefined for a statement that asks for none of it. */
export const runOnSessionViews: Handler = async (statement, args, sink, session) => {
  if (!mentions.test(statement.source.text)) return undefined
  session.views = new Map([
    ['pg_prepared_statements', await preparedStatements(session)],
    ['pg_cursors', await cursors(session)],
  ])
  try {
    return await session.runData(statement, args, sink)
  } finally {
    session.views = undefined
  }
}

/** A query for rows of literals; the types are those of the view's columns. */
function rowsOf(columns: readonly (readonly [name: string, type: string])[], rows: readonly (readonly (string | undefined)[])[]): string {
  const empty = columns.map(([name, type]) => `NULL::${type} AS ${name}`).join(', ')
  const selects = rows.map((values) => `SELECT ${values.map((value, i) => `${value ?? 'NULL'}::${columns[i]?.[1]}`).join(', ')}`)
  return [`SELECT ${empty} WHERE false`, ...selects].join(' UNION ALL ')
}

const time = (ms: number) => quoteLiteral(new Date(ms).toISOString())
const text = (value: string | undefined) => (value === undefined ? undefined : quoteLiteral(value))
const types = (oids: readonly number[] | undefined) => (oids === undefined ? undefined : `'{${oids.join(',')}}'::oid[]`)

async function preparedStatements(session: Session): Promise<string> {
  const columns = [['name', 'text'], ['statement', 'text'], ['prepare_time', 'timestamptz'], ['parameter_types', 'regtype[]'], ['result_types', 'regtype[]'], ['from_sql', 'bool'], ['generic_plans', 'int8'], ['custom_plans', 'int8']] as const
  const described = await session.extended.namedStatements()
  const rows = described.map(({ name, prepared, description }) => [
    quoteLiteral(name), quoteLiteral(prepared.text), time(prepared.preparedAt), types(description.parameterTypes),
    types(description.fields?.map((field) => field.typeOid)), prepared.fromSql ? 'true' : 'false', '0', '0',
  ])
  return rowsOf(columns, rows)
}

async function cursors(session: Session): Promise<string> {
  const columns = [['name', 'text'], ['statement', 'text'], ['is_holdable', 'bool'], ['is_binary', 'bool'], ['is_scrollable', 'bool'], ['creation_time', 'timestamptz']] as const
  const declared = await Promise.all([...session.cursors].map(async ([name, cursor]) => [quoteLiteral(name), quoteLiteral(cursor.text), ...(await askCursor(session, name, cursor.server))]))
  const portals = session.extended.listPortals().map((portal) => [quoteLiteral(portal.name), quoteLiteral(portal.prepared.text), 'false', 'false', 'false', time(portal.createdAt)])
  return rowsOf(columns, [...declared, ...portals])
}

/** Whether it can scroll depends on its plan: the server that has it knows. */
async function askCursor(session: Session, name: string, serverId: number): Promise<(string | undefined)[]> {
  const { transaction } = session
  const lease = await transaction.lease(serverById(session.executionContext(await session.currentSnapshot()), serverId))
  try {
    if (lease.prelude.length > 0) await query(lease.connection, lease.prelude.join('; '))
    const { rows } = await query(lease.connection, `SELECT is_holdable, is_binary, is_scrollable, creation_time FROM pg_cursors WHERE name = ${quoteLiteral(name)}`)
    return (rows[0] ?? []).map((value) => text(value))
  } finally {
    transaction.release(lease)
  }
}
