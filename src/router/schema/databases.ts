/** CREATE DATABASE and DROP DATABASE: on the catalog and on every shard. They cannot be part of a transaction. */
import { SqlError } from '../../base/errors.ts'
import { quoteIdent } from '../../base/quote.ts'
import type { ServerAddress } from '../../catalog/server-address.ts'
import { withAdmin } from '../../coordination/admin-client.ts'
import * as changes from '../../coordination/database-changes.ts'
import { fromDriver } from '../../coordination/driver-error.ts'
import type { StatementEnd } from '../../executor/statement-exchange.ts'
import type { AnyNode } from '../../sql/ast.ts'
import type { Statement } from '../../sql/parse.ts'
import type { Session } from '../session.ts'

export async function createDatabase(statement: Statement, session: Session): Promise<StatementEnd> {
  refuseInTransaction('CREATE DATABASE', session)
  const run = runner(statement.source.text, session)
  try {
    await changes.createDatabase(statement.node.CreatedbStmt?.dbname ?? '', run, session.services.databases)
  } catch (error) {
    throw fromDriver(error)
  }
  return { kind: 'complete', tag: 'CREATE DATABASE' }
}

export async function dropDatabase(statement: Statement, session: Session): Promise<StatementEnd> {
  refuseInTransaction('DROP DATABASE', session)
  const node = statement.node.DropdbStmt
  const name = node?.dbname ?? ''
  const { catalog, store, credentials, pool, databases } = session.services
  if (name === session.database) throw new SqlError('55006', 'cannot drop the currently open database')
  if (name === 'pgherd') throw new SqlError('42501', 'cannot drop the database of the cluster itself')
  const { rowCount } = await withAdmin(catalog, 'postgres', credentials, (client) => client.query('SELECT FROM pg_database WHERE datname = $1', [name]))
  if (rowCount === 0) {
    if (node?.missing_ok !== true) throw new SqlError('3D000', `database "${name}" does not exist`)
    session.notice('00000', `database "${name}" does not exist, skipping`)
    return { kind: 'complete', tag: 'DROP DATABASE' }
  }
  const force = (node?.options ?? []).some((option) => (option as AnyNode).DefElem?.defname === 'force')
  if (!force && session.isDatabaseInUse(name)) throw new SqlError('55006', `database "${name}" is being accessed by other users`)
  await store.forget(name)
  await pool.closeDatabase(name)
  try {
    // FORCE ends the connections that routers keep.
    await changes.dropDatabase(name, () => runner(`DROP DATABASE ${quoteIdent(name)} WITH (FORCE)`, session)(catalog), databases)
  } catch (error) {
    throw fromDriver(error)
  }
  return { kind: 'complete', tag: 'DROP DATABASE' }
}

/** Runs a text on a server as the session's role. */
function runner(text: string, session: Session): (server: ServerAddress) => Promise<unknown> {
  const { user, services } = session
  const { credentials } = services
  const as = { ...credentials, user, password: user === credentials.user ? credentials.password : undefined }
  return (server) => withAdmin(server, session.database, as, (client) => client.query(text))
}

function refuseInTransaction(what: string, session: Session): void {
  if (session.transaction.active) throw new SqlError('25001', `${what} cannot run inside a transaction block`)
}
