/** CREATE DATABASE and DROP DATABASE: on the catalog and on every shard. They cannot be part of a transaction. */
import { SqlError } from '../../base/errors.ts'
import { quoteIdent } from '../../base/quote.ts'
import { withAdmin } from '../../coordination/admin-client.ts'
import { prepareDatabase } from '../../coordination/prepare-database.ts'
import type { StatementEnd } from '../../executor/statement-exchange.ts'
import type { Statement } from '../../sql/parse.ts'
import type { Session } from '../session.ts'

export async function createDatabase(statement: Statement, session: Session): Promise<StatementEnd> {
  refuseInTransaction('CREATE DATABASE', session)
  const name = statement.node.CreatedbStmt?.dbname ?? ''
  const { services, user } = session
  const { catalog, store, credentials } = services
  const as = { ...credentials, user, password: user === credentials.user ? credentials.password : undefined }
  const servers = [catalog, ...store.shards]
  const made: typeof servers = []
  try {
    // The catalog first: it judges the statement, and its database is what makes the others belong to something.
    for (const server of servers) {
      await withAdmin(server, session.database, as, (client) => client.query(statement.source.text))
      made.push(server)
    }
    await prepareDatabase(catalog, store.shards, name, credentials)
  } catch (error) {
    for (const server of made.reverse()) {
      await withAdmin(server, 'postgres', credentials, (client) => client.query(`DROP DATABASE IF EXISTS ${quoteIdent(name)}`)).catch(() => undefined)
    }
    throw asSqlError(error)
  }
  return { kind: 'complete', tag: 'CREATE DATABASE' }
}

export async function dropDatabase(statement: Statement, session: Session): Promise<StatementEnd> {
  refuseInTransaction('DROP DATABASE', session)
  const node = statement.node.DropdbStmt
  const name = node?.dbname ?? ''
  const { services, user } = session
  const { catalog, store, credentials, pool } = services
  if (name === session.database) throw new SqlError('55006', 'cannot drop the currently open database')
  if (name === 'pgherd') throw new SqlError('42501', 'cannot drop the database of the cluster itself')
  const exists = await withAdmin(catalog, 'postgres', credentials, (client) => client.query('SELECT FROM pg_database WHERE datname = $1', [name]))
  if (exists.rowCount === 0) {
    if (node?.missing_ok !== true) throw new SqlError('3D000', `database "${name}" does not exist`)
    session.notice('00000', `database "${name}" does not exist, skipping`)
    return { kind: 'complete', tag: 'DROP DATABASE' }
  }
  if (session.isDatabaseInUse(name)) throw new SqlError('55006', `database "${name}" is being accessed by other users`)
  await store.forget(name)
  session.services.lanes.closeDatabase(name)
  await pool.closeDatabase(name)
  const as = { ...credentials, user, password: user === credentials.user ? credentials.password : undefined }
  try {
    // The shards first: while the catalog has the database, the statement can be repeated.
    for (const server of [...store.shards, catalog]) {
      await withAdmin(server, session.database, as, (client) => client.query(`DROP DATABASE IF EXISTS ${quoteIdent(name)} WITH (FORCE)`))
    }
  } catch (error) {
    throw asSqlError(error)
  }
  return { kind: 'complete', tag: 'DROP DATABASE' }
}

function refuseInTransaction(what: string, session: Session): void {
  if (session.transaction.active) throw new SqlError('25001', `${what} cannot run inside a transaction block`)
}

/** node-postgres' errors carry PostgreSQL's fields. */
function asSqlError(error: unknown): unknown {
  const { code, message, detail, hint } = error as Error & { code?: string; detail?: string; hint?: string }
  return code?.length === 5 ? new SqlError(code, message, { detail, hint }) : error
}
