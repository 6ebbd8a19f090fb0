/** SET, RESET and the start-up's values of the time limits that the router keeps: the catalog judges and reads them. */
import { SqlError } from '../../base/errors.ts'
import { quoteLiteral } from '../../base/quote.ts'
import { noArguments } from '../../executor/context.ts'
import { RowsSink } from '../../executor/result-sink.ts'
import { runOnServer } from '../../executor/run-on-server.ts'
import { readDataRow } from '../../protocol/row-description.ts'
import type { Connection } from '../../shard/connection.ts'
import { query } from '../../shard/query.ts'
import type { AnyNode, VariableSetStmt } from '../../sql/ast.ts'
import { parseOne } from '../../sql/parse.ts'
import type { TimeoutName, Timeouts } from '../../shard/timeouts.ts'
import { hideTimeouts, isTimeout, noTimeouts, timeoutList, withTimeout } from '../../shard/timeouts.ts'
import type { Session } from '../session.ts'

/** `text` is the SET; undefined for a return to the session's first value. Throws as PostgreSQL does for what is no time. */
export async function changeTimeout(session: Session, name: TimeoutName, text: string | undefined, isLocal: boolean): Promise<void> {
  const { transaction, initialTimeouts } = session
  let timeout = initialTimeouts.get(name)
  if (text !== undefined) {
    const before = `SELECT pg_catalog.set_config('${name}', ${quoteLiteral(givenValue(name, text))}, true)`
    const sink = new RowsSink()
    const statement = { text: `SELECT setting, pg_catalog.current_setting(name) FROM pg_catalog.pg_settings WHERE name = '${name}'`, before, hides: [name], markers: [], writes: false }
    await runOnServer(session.services.catalog, statement, noArguments, sink, session.executionContext(await session.currentSnapshot()))
    const [ms, shown] = readDataRow(sink.rows[0] as Buffer, 0)
    timeout = { ms: Number(ms?.toString()), text: shown?.toString() ?? '' }
  }
  transaction.keepTimeout(name, timeout, isLocal)
  session.timers.changed()
}

/** RESET ALL, which brings the defaults of role and server back on connections, too. */
export function resetTimeouts({ transaction, initialTimeouts, timers }: Session): void {
  if (transaction.active) transaction.note(hideTimeouts, undefined)
  transaction.keepTimeouts(initialTimeouts)
  timers.changed()
}

/** The value that a SET gives, as set_config takes it. */
function givenValue(name: string, text: string): string {
  const node = parseOne(text).VariableSetStmt as VariableSetStmt
  const args = (node.args ?? []) as AnyNode[]
  if (args.length > 1) throw new SqlError('22023', `SET ${name} takes only one argument`)
  const constant = args[0]?.A_Const
  return constant?.sval?.sval ?? constant?.fval?.fval ?? String(constant?.ival?.ival ?? constant?.boolval?.boolval ?? 0)
}

/** The start-up's settings, without those that are time limits. */
export function withoutTimeouts(settings: ReadonlyMap<string, string>): ReadonlyMap<string, string> {
  return new Map([...settings].filter(([name]) => !isTimeout(name)))
}

/** For the role and the database, the narrower the stronger, else the server's own; rows of name and value. */
export const defaultTimeouts = `SELECT s.name, coalesce((SELECT substr(c, length(s.name) + 2) FROM pg_catalog.pg_db_role_setting d, unnest(d.setconfig) c
    WHERE d.setrole IN (0, (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = session_user)) AND d.setdatabase IN (0, (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()))
    AND starts_with(c, s.name || '=') ORDER BY d.setrole <> 0 DESC, d.setdatabase <> 0 DESC LIMIT 1), s.reset_val)
  FROM pg_catalog.pg_settings s WHERE s.name IN (${timeoutList})`

/** What a new session has: `given` by its client, as SET statements by name, over the defaults. Throws for what is no time. */
export async function timeoutsAtStart(connection: Connection, defaults: readonly (readonly (string | undefined)[])[], given: ReadonlyMap<string, string>): Promise<Timeouts> {
  const changed = defaults.filter(([, value]) => value !== '0').map(([name, value]) => `SET LOCAL ${name} = ${quoteLiteral(value ?? '0')}`)
  const asked = [...given].filter(([name]) => isTimeout(name)).map(([, text]) => text.replace(/^SET /, 'SET LOCAL '))
  if (changed.length + asked.length === 0) return noTimeouts
  const read = `SELECT name, setting, pg_catalog.current_setting(name) FROM pg_catalog.pg_settings WHERE name IN (${timeoutList})`
  try {
    const { rows } = await query(connection, ['BEGIN', ...changed, ...asked, read].join('; '))
    return rows.reduce((timeouts, [name = '', ms, text = '']) => (isTimeout(name) ? withTimeout(timeouts, name, { ms: Number(ms), text }) : timeouts), noTimeouts)
  } finally {
    if (!connection.isLost) await query(connection, 'ROLLBACK')
  }
}
