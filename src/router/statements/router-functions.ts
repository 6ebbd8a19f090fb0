/**
 * Functions of schema pgherd that the router answers, each alone in a SELECT: transaction_id(), transaction_status(id), which says what
 * became of it, read_token(), with which another session sees on replicas what this one has committed, and set_cluster_setting(name, value).
 */
import { refuse, SqlError } from '../../base/errors.ts'
import { quoteIdent, quoteLiteral } from '../../base/quote.ts'
import type { Arguments } from '../../executor/context.ts'
import { noArguments } from '../../executor/context.ts'
import { RowsSink } from '../../executor/result-sink.ts'
import { runOnServer } from '../../executor/run-on-server.ts'
import type { StatementEnd } from '../../executor/statement-exchange.ts'
import { checkGuardSetting } from '../../failover/settings.ts'
import { readDataRow } from '../../protocol/row-description.ts'
import type { AnyNode, FuncCall } from '../../sql/ast.ts'
import { names, walk } from '../../sql/ast.ts'
import { withMembers } from '../../coordination/members.ts'
import { transactionStatus } from '../../transaction/transaction-status.ts'
import type { Outcome } from '../../transaction/transaction-server.ts'
import { checkOwnSetting, ownDefaults } from '../own-settings.ts'
import type { ClientSink } from '../client-sink.ts'
import type { Session } from '../session.ts'
import type { Handler } from './run-statement.ts'

export const runRouterFunction: Handler = async (statement, args, sink, session) => {
  if (!/transaction_(id|status)|read_token|set_cluster_setting/i.test(statement.source.text) || !callsOne(statement.node)) return undefined
  const select = statement.node.SelectStmt
  const [target, ...more] = select?.targetList ?? []
  const { val, name: alias } = (target as AnyNode | undefined)?.ResTarget ?? {}
  const call = (val as AnyNode | undefined)?.FuncCall as FuncCall | undefined
  if (call === undefined || more.length > 0 || select?.fromClause !== undefined) throw refuse('functions of pgherd are supported alone in a SELECT')
  const name = ownFunction(call)
  const column = quoteIdent(alias ?? name ?? '')
  if (name === 'read_token') return onCatalog(`SELECT ${quoteLiteral(await session.replicas.token())}::text AS ${column}`, args, sink, session)
  if (name === 'set_cluster_setting') return setForCluster(column, call, args, sink, session)
  return name === 'transaction_id' ? tellId(column, args, sink, session) : tellStatus(column, call, args, sink, session)
}

const answered = new Set(['transaction_id', 'transaction_status', 'read_token', 'set_cluster_setting'])

function ownFunction(call: unknown): string | undefined {
  const [schema, name] = names((call as FuncCall).funcname as AnyNode[] | undefined)
  return schema === 'pgherd' && name !== undefined && answered.has(name) ? name : undefined
}

function callsOne(node: AnyNode): boolean {
  let found = false
  walk(node, (tree, key) => {
    if (key === 'FuncCall' && ownFunction(tree) !== undefined) found = true
  })
  return found
}

/** From now on the transaction's outcome is written down wherever it commits, and until then it is seen to be open. */
async function tellId(column: string, args: Arguments, sink: ClientSink, session: Session): Promise<StatementEnd> {
  const { transaction } = session
  if (!transaction.active) throw new SqlError('25P01', 'pgherd.transaction_id() can only be used in transaction blocks', { hint: 'The id ends with the transaction: BEGIN first.' })
  transaction.isAsked = true
  return onCatalog(`SELECT pgherd.open_transaction(${quoteLiteral(transaction.id)}) AS ${column}`, args, sink, session)
}

async function tellStatus(column: string, call: FuncCall, args: Arguments, sink: ClientSink, session: Session): Promise<StatementEnd> {
  const [id] = argumentsOf(call, args, 1)
  const status = id === undefined ? undefined : await statusOf(id, session)
  // The values of parameters stay, so that PostgreSQL counts as many as the client.
  const value = status === undefined ? 'NULL' : quoteLiteral(status)
  return onCatalog(`SELECT ${value}::text AS ${column}`, args, sink, session)
}

/** Of all servers that the transaction may have written on. None joins meanwhile: it would know nothing of the answer, which is to stay true. */
function statusOf(id: string, session: Session): Promise<Outcome | 'in progress' | undefined> {
  const { catalog, credentials, commit, store } = session.services
  return withMembers(catalog, session.database, credentials, async (members) => {
    const known = () => commit.servers.filter((server) => server.id === catalog.id || members.includes(server.id))
    if (known().length <= members.length) await store.refresh(session.database)
    const servers = known()
    if (servers.length <= members.length) throw new SqlError('08006', 'what became of the transaction is not known: a shard has no server', { hint: 'Ask again.' })
    return transactionStatus(id, session.database, () => isOpen(id, session), { ...commit, servers })
  })
}

/** What pgherd's settings are for sessions that say nothing else. */
async function setForCluster(column: string, call: FuncCall, args: Arguments, sink: ClientSink, session: Session): Promise<StatementEnd> {
  const [given = '', value = ''] = argumentsOf(call, args, 2)
  const name = given.startsWith('pgherd.') ? given : `pgherd.${given}`
  if (!checkGuardSetting(name, value)) {
    if (!Object.hasOwn(ownDefaults, name) || name === 'pgherd.read_token') throw new SqlError('42704', `"${name}" is not a setting of the cluster`)
    checkOwnSetting(name, value)
  }
  const found = new RowsSink()
  await onCatalog('SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user', noArguments, found, session)
  if (readDataRow(found.rows[0] as Buffer, 0)[0]?.toString() !== 't') throw new SqlError('42501', 'permission denied: only superusers change settings of the cluster')
  await session.services.clusterSettings.set(name, value)
  return onCatalog(`SELECT ${quoteLiteral(value)}::text AS ${column}`, args, sink, session)
}

function argumentsOf(call: FuncCall, args: Arguments, count: number): (string | undefined)[] {
  const given = (call.args ?? []) as AnyNode[]
  const values = given.map((argument) => {
    const node = (argument.TypeCast?.arg as AnyNode | undefined) ?? argument
    const constant = node.A_Const
    const number = node.ParamRef?.number
    if (constant === undefined && number === undefined) throw refuse('functions of pgherd are supported with constants and parameters')
    if (number !== undefined) return args.bind.values[number - 1]?.toString()
    return constant?.isnull === true ? undefined : (constant?.sval?.sval ?? '')
  })
  if (values.length !== count) throw new SqlError('42883', `the function takes ${count} arguments`)
  return values
}

async function isOpen(id: string, session: Session): Promise<boolean> {
  if (session.transaction.active && session.transaction.isAsked && session.transaction.id === id) return true
  const found = new RowsSink()
  await onCatalog(`SELECT pgherd.is_transaction_open(${quoteLiteral(id)})`, noArguments, found, session)
  return readDataRow(found.rows[0] as Buffer, 0)[0]?.toString() === 't'
}

async function onCatalog(text: string, args: Arguments, sink: ClientSink | RowsSink, session: Session): Promise<StatementEnd> {
  const context = session.executionContext(await session.currentSnapshot())
  return runOnServer(session.services.catalog, { text, markers: [], writes: false }, args, sink, context)
}
