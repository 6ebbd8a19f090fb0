/** SET, RESET, SHOW, DISCARD: run once on the catalog, which judges the value, and then follow the session. */
import { refuse, SqlError } from '../../base/errors.ts'
import { quoteLiteral } from '../../base/quote.ts'
import { noArguments } from '../../executor/context.ts'
import { NullSink, RowsSink } from '../../executor/result-sink.ts'
import type { StatementEnd } from '../../executor/statement-exchange.ts'
import { runOnServer } from '../../executor/run-on-server.ts'
import { readDataRow } from '../../protocol/row-description.ts'
import type { AnyNode, VariableSetStmt } from '../../sql/ast.ts'
import type { Settings } from '../../transaction/settings.ts'
import { withSetting } from '../../transaction/settings.ts'
import { isTimeout } from '../../shard/timeouts.ts'
import type { Handler } from './run-statement.ts'
import type { Session } from '../session.ts'
import { checkOwnSetting, ownColumns, ownDefaults, ownValues } from '../own-settings.ts'
import { changeTimeout, resetTimeouts } from './timeouts.ts'
import { changeModes, readModes } from './transaction-control.ts'

const done = (tag: string): StatementEnd => ({ kind: 'complete', tag })
/** What changes the meaning of unqualified names. */
const changesPath = new Set(['search_path', 'role', 'session_authorization'])

export const runSet: Handler = async (statement, _args, _sink, session) => {
  const node = statement.node.VariableSetStmt as VariableSetStmt
  const name = (node.name ?? '').toLowerCase()
  if (node.kind === 'VAR_SET_MULTI' && name === 'transaction') return setTransaction(node, session)
  if (node.kind === 'VAR_SET_MULTI' && name === 'session characteristics') {
    const modes = readModes((node.args ?? []) as AnyNode[])
    if (modes.isolation !== undefined) await apply(session, `SET default_transaction_isolation = ${quoteLiteral(modes.isolation)}`, 'default_transaction_isolation', false, 'set', false)
    if (modes.readOnly !== undefined) await apply(session, `SET default_transaction_read_only = ${modes.readOnly ? 'on' : 'off'}`, 'default_transaction_read_only', false, 'set', false)
    return done('SET')
  }
  checkName(name)
  if (node.kind === 'VAR_SET_MULTI' && name === 'transaction snapshot') throw refuse('SET TRANSACTION SNAPSHOT is not supported across shards')
  const text = statement.source.text.replace(/;\s*$/, '')
  const isReset = node.kind === 'VAR_RESET' || node.kind === 'VAR_RESET_ALL' || node.kind === 'VAR_SET_DEFAULT'
  checkEncoding(name, node)
  if (!isReset) checkValue(name, settingText(node))
  await apply(session, text, name, node.is_local === true, isReset ? 'reset' : 'set', node.kind === 'VAR_RESET_ALL')
  return done(isReset && node.kind !== 'VAR_SET_DEFAULT' ? 'RESET' : 'SET')
}

export function checkName(name: string): void {
  if (/^transaction_(isolation|read_only|deferrable)$/.test(name)) throw refuse(`SET ${name} is not supported`, 'Use SET TRANSACTION.')
}

const settingText = (node: VariableSetStmt) => {
  const constant = (node.args?.[0] as AnyNode | undefined)?.A_Const
  return constant?.sval?.sval ?? String(constant?.ival?.ival ?? (constant?.boolval?.boolval === true ? 'on' : constant?.boolval === undefined ? 0 : 'off'))
}

/** Settings under which the router would read statements, or carry values, otherwise than PostgreSQL. */
export function checkValue(name: string, value: string): void {
  checkOwnSetting(name, value)
  if (name === 'standard_conforming_strings' && !/^(on|true|1|yes)$/i.test(value)) throw refuse('standard_conforming_strings cannot be off', "Write E'...' for strings with escapes.")
  if (name === 'extra_float_digits' && !(Number(value) >= 1)) throw refuse('extra_float_digits cannot be less than 1: values would lose digits on their way', 'Round them in the query.')
}

/** The router reads texts as UTF-8, as servers send them to it. */
function checkEncoding(name: string, node: VariableSetStmt): void {
  if (name !== 'client_encoding' || node.kind !== 'VAR_SET_VALUE') return
  checkEncodingName((node.args?.[0] as AnyNode | undefined)?.A_Const?.sval?.sval ?? '')
}

export function checkEncodingName(value: string): void {
  if (!/^(utf-?8|unicode)$/i.test(value)) throw refuse(`client_encoding ${value} is not supported`, 'Use UTF8.')
}

function setTransaction(node: VariableSetStmt, session: Session): StatementEnd {
  const { transaction } = session
  if (!transaction.active) {
    session.notice('25P01', 'SET TRANSACTION can only be used in transaction blocks', 'WARNING')
    return done('SET')
  }
  changeModes(session, readModes((node.args ?? []) as AnyNode[]))
  return done('SET')
}

/** Runs a SET on the catalog; if it is good, the session has it. */
export async function apply(session: Session, text: string, name: string, isLocal: boolean, kind: 'set' | 'reset', all: boolean): Promise<void> {
  const { transaction } = session
  if (isLocal && !transaction.active) {
    session.notice('25P01', 'SET LOCAL can only be used in transaction blocks', 'WARNING')
    return
  }
  if (isTimeout(name)) return changeTimeout(session, name, kind === 'set' ? text : undefined, isLocal)
  const context = session.executionContext(await session.currentSnapshot())
  const sink = new ParameterSink(session)
  await runOnServer(session.services.catalog, { text, markers: [], writes: false, changesSettings: true }, noArguments, sink, context)
  const participant = transaction.participants.get(0)
  if (transaction.active) transaction.note(text, undefined, participant)
  if (all) resetTimeouts(session)
  if (!isLocal) {
    const initial = session.initialSettings.get(name)
    if (all) transaction.settings = keepRole(transaction.settings, session.initialSettings)
    else transaction.settings = withSetting(transaction.settings, name, kind === 'set' ? text : initial)
  }
  if (all || changesPath.has(name) || Object.hasOwn(ownDefaults, name)) {
    session.searchPathTouched = transaction.active
    await readSearchPath(session)
  }
}

/** RESET ALL leaves the role as it is. */
function keepRole(now: Settings, initial: Settings): Settings {
  let settings = initial
  for (const name of ['session_authorization', 'role']) if (now.has(name)) settings = withSetting(settings, name, now.get(name))
  return settings
}

/** ParameterStatus only: the rows are not the client's. */
class ParameterSink extends NullSink {
  private readonly session: Session

  constructor(session: Session) {
    super()
    this.session = session
  }

  override parameterStatus(name: string, value: string): void {
    this.session.reportParameter(name, value)
  }

  override notice(fields: Parameters<NullSink['notice']>[0]): void {
    this.session.notice(fields.code, fields.message, fields.severity)
  }
}

export async function readSearchPath(session: Session): Promise<void> {
  const context = session.executionContext(await session.currentSnapshot())
  const sink = new RowsSink()
  await runOnServer(session.services.catalog, { text: `SELECT current_setting('search_path'), current_user, ${ownColumns}`, markers: [], writes: false }, noArguments, sink, context)
  const [path, user, ...own] = readDataRow(sink.rows[0] as Buffer, 0)
  session.own = ownValues(own.map((value) => value?.toString()), session.services.clusterSettings.values)
  session.searchPathSetting = path?.toString() ?? ''
  session.currentUser = user?.toString() ?? session.user
}

/** The end of a transaction may have taken a search_path back. */
export async function refreshSearchPath(session: Session): Promise<void> {
  if (!session.searchPathTouched) return
  session.searchPathTouched = false
  // The transaction has ended as it has: a connection that breaks just now is no error of it.
  await readSearchPath(session)
    .catch((error: unknown) => (isLostConnection(error) ? readSearchPath(session) : Promise.reject(error as Error)))
    .catch((error: unknown) => {
      if (!isLostConnection(error)) throw error
      session.hasLostSettings = true
    })
}

const isLostConnection = (error: unknown) => error instanceof SqlError && error.code.startsWith('08')

export const runShow: Handler = async (statement, args, sink, session) => {
  const name = statement.node.VariableShowStmt?.name
  if (name === 'transaction_read_only' && session.transaction.active) {
    // The catalog's part of the transaction may write, for the sake of gathers; the session may not.
    const text = `SELECT '${session.transaction.readOnly ? 'on' : 'off'}'::text AS transaction_read_only`
    const end = await runOnServer(session.services.catalog, { text, markers: [], writes: false }, args, sink, session.executionContext(await session.currentSnapshot()))
    return end.kind === 'complete' ? done('SHOW') : end
  }
  const context = session.executionContext(await session.currentSnapshot())
  if (name !== undefined && Object.hasOwn(ownDefaults, name)) {
    // PostgreSQL knows it only where somebody has set it.
    const text = `SELECT ${quoteLiteral(session.own[name] ?? '')}::text AS "${name}"`
    const end = await runOnServer(session.services.catalog, { text, markers: [], writes: false }, args, sink, context)
    return end.kind === 'complete' ? done('SHOW') : end
  }
  return runOnServer(session.services.catalog, { text: statement.source.text, markers: [], writes: false }, args, sink, context)
}

export const discard: Handler = async (statement, _args, _sink, session) => {
  const target = statement.node.DiscardStmt?.target
  const { transaction } = session
  if (target === 'DISCARD_ALL') {
    if (transaction.active) throw new SqlError('25001', 'DISCARD ALL cannot run inside a transaction block')
    transaction.settings = session.initialSettings
    resetTimeouts(session)
    session.extended.closeAll()
    session.cursors.clear()
    session.temporary.clear()
    // Temporary tables, locks and LISTENs go with their connection.
    transaction.pinned?.close()
    transaction.unpin()
    await readSearchPath(session)
    return done('DISCARD ALL')
  }
  if (transaction.pinned !== undefined) {
    const context = session.executionContext(await session.currentSnapshot())
    await runOnServer(session.services.catalog, { text: statement.source.text, markers: [], writes: false }, noArguments, new NullSink(), context)
    if (target === 'DISCARD_TEMP') session.temporary.clear()
  }
  return done(target === 'DISCARD_TEMP' ? 'DISCARD TEMP' : target === 'DISCARD_PLANS' ? 'DISCARD PLANS' : 'DISCARD SEQUENCES')
}
