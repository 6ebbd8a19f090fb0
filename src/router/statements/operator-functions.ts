/**
 * Functions that operators call, of schema pgherd and under the names that users of Citus know. One that gives a value stands alone in a
 * SELECT; rows may be asked for in any SELECT, which then reads them in place of the call:
 *
 *   SELECT sum(bytes) FROM pgherd.rebalance_plan(by => 'bytes') p
 *   ->  SELECT sum(bytes) FROM (SELECT * FROM pg_catalog.json_to_recordset('[...]') AS r (table_group integer, ...)) p
 */
import { refuse, SqlError } from '../../base/errors.ts'
import { quoteIdent, quoteLiteral } from '../../base/quote.ts'
import { fromDriver } from '../../coordination/driver-error.ts'
import type { Arguments } from '../../executor/context.ts'
import { runOnServer } from '../../executor/run-on-server.ts'
import type { StatementEnd } from '../../executor/statement-exchange.ts'
import { callEnd } from '../../planner/session-facts.ts'
import type { AnyNode, FuncCall } from '../../sql/ast.ts'
import { names, walk } from '../../sql/ast.ts'
import type { Statement } from '../../sql/parse.ts'
import { parseOne } from '../../sql/parse.ts'
import { nameEnd } from '../../sql/scanner.ts'
import { SourceText } from '../../sql/source-text.ts'
import type { ClientSink } from '../client-sink.ts'
import type { Session } from '../session.ts'
import { readArguments } from './call-arguments.ts'
import { citusCalls, citusRefusals } from './citus-calls.ts'
import type { OperatorCall, OperatorCalls, RowsAnswer } from './operator-call.ts'
import { moveCalls } from './move-calls.ts'
import type { Handler } from './run-statement.ts'
import { shardCalls } from './shard-calls.ts'

const ownCalls: OperatorCalls = { ...moveCalls, ...shardCalls }
const mentions = new RegExp([...Object.keys(ownCalls), ...Object.keys(citusCalls), ...Object.keys(citusRefusals)].join('|'), 'i')

interface FoundCall {
  readonly name: string
  readonly call: FuncCall
  readonly isCitus: boolean
}

/** Undefined for a statement that calls none of them. */
export const runOperatorFunction: Handler = async (statement, args, sink, session) => {
  if (!mentions.test(statement.source.text)) return undefined
  const [found, ...more] = callsIn(statement, session)
  if (found === undefined) return undefined
  const { name, isCitus, call } = found
  const shown = isCitus ? name : `pgherd.${name}`
  if (isCitus && Object.hasOwn(citusRefusals, name)) throw refuse(`${shown} is not supported`, citusRefusals[name])
  if (more.length > 0) throw refuse('more than one function of pgherd in a statement is not supported', 'Call them one by one.')
  const known = (isCitus ? citusCalls : ownCalls)[name] as OperatorCall
  const range = rangeOf(statement, call)
  // Before anything is done.
  if (known.gives === 'rows' && range === undefined) throw refuse(`${shown} gives rows, and is supported in FROM alone`, `Write SELECT * FROM ${shown}(...).`)
  if (known.gives === 'value' && !standsAlone(statement, call)) throw refuse(`${shown} is supported alone in a SELECT`)
  if (known.acts && session.transaction.active) throw new SqlError('25001', `${shown} cannot be called inside a transaction block`)
  const { isSuperuser, values } = await readArguments(shown, call, known.parameters, args, session)
  if (!isSuperuser) throw new SqlError('42501', `permission denied for function ${name}`, { hint: 'Only superusers change shards, or move data between them.' })
  const answer = await known.run(values, session).catch((error: unknown) => {
    throw fromDriver(error)
  })
  return answer.kind === 'value' ? tellValue(answer.expression, found, statement, args, sink, session) : tellRows(answer, found, range?.hasAlias === true, statement, args, sink, session)
}

/** For a client that asks for types before it calls: Citus's names are not in the schemas of users. */
export function describableText({ source, node }: Statement, session: Session): string {
  if (!mentions.test(source.text)) return source.text
  const edits = callsIn({ source, node }, session).flatMap(({ call, isCitus }) => {
    const start = call.location ?? 0
    return isCitus ? [{ start, end: nameEnd(source.raw, start), text: `pgherd.${names(call.funcname as AnyNode[]).at(-1)}` }] : []
  })
  return source.edited(edits)
}

function callsIn({ node }: Statement, session: Session): FoundCall[] {
  const found: FoundCall[] = []
  const own = session.snapshot?.functions
  walk(node, (tree, key) => {
    if (key !== 'FuncCall') return
    const call = tree as unknown as FuncCall
    const parts = names(call.funcname as AnyNode[] | undefined)
    const name = parts.at(-1) ?? ''
    if (parts.length === 2 && parts[0] === 'pgherd' && Object.hasOwn(ownCalls, name)) found.push({ name, call, isCitus: false })
    const isCitus = Object.hasOwn(citusCalls, name) || Object.hasOwn(citusRefusals, name)
    const isUsers = parts.length === 1 && own?.has(name) === true
    if (isCitus && !isUsers && (parts.length === 1 || parts[0] === 'pg_catalog' || parts[0] === 'pgherd')) found.push({ name, call, isCitus: true })
  })
  return found
}

/** SELECT f(...) AS name, or SELECT * FROM f(...). */
function standsAlone({ node }: Statement, call: FuncCall): boolean {
  const { targetList, fromClause, whereClause } = node.SelectStmt ?? {}
  const value = (targetList?.[0] as AnyNode | undefined)?.ResTarget?.val as AnyNode | undefined
  if (targetList?.length !== 1 || whereClause !== undefined) return false
  if (fromClause === undefined) return value?.FuncCall === call
  const isStar = (value?.ColumnRef?.fields?.[0] as AnyNode | undefined)?.A_Star !== undefined
  return isStar && fromClause.length === 1 && functionOf((fromClause[0] as AnyNode).RangeFunction) === call
}

async function tellValue(expression: string, { name, call }: FoundCall, statement: Statement, args: Arguments, sink: ClientSink, session: Session): Promise<StatementEnd> {
  const alias = (statement.node.SelectStmt?.targetList?.[0] as AnyNode | undefined)?.ResTarget?.name
  const text = `SELECT ${expression} AS ${quoteIdent(alias ?? name)}${mention(call)}`
  return runOnServer(session.services.catalog, { text, markers: [], writes: false }, args, sink, session.executionContext(await session.currentSnapshot()))
}

function tellRows({ columns, rows }: RowsAnswer, { name, call }: FoundCall, hasAlias: boolean, statement: Statement, args: Arguments, sink: ClientSink, session: Session): Promise<StatementEnd> {
  const start = call.location ?? 0
  const end = callEnd(statement.source.raw, nameEnd(statement.source.raw, start))
  const types = Object.entries(columns).map(([column, type]) => `${quoteIdent(column)} ${type}`)
  const json = quoteLiteral(JSON.stringify(rows))
  const query = `(SELECT * FROM pg_catalog.json_to_recordset(${json}) AS pgherd_rows (${types.join(', ')})${mention(call)})`
  const source = new SourceText(statement.source.edited([{ start, end, text: hasAlias ? query : `${query} AS ${quoteIdent(name)}` }]))
  return session.runData({ source, node: parseOne(source.text) }, args, sink)
}

/** The statement keeps the client's parameters, so that PostgreSQL counts as many. */
function mention(call: FuncCall): string {
  const parameters = parametersOf(call)
  return parameters.length === 0 ? '' : ` WHERE ${parameters.map((one) => `(${one} IS NULL OR true)`).join(' AND ')}`
}

function parametersOf(call: FuncCall): string[] {
  const found: string[] = []
  walk(call, (tree, key) => {
    if (key === 'ParamRef') found.push(`$${String(tree.number)}`)
  })
  return found
}

type RangeFunction = NonNullable<AnyNode['RangeFunction']>

/** A function in FROM, if it is one alone and without its ordinality. */
function functionOf(range: RangeFunction | undefined): unknown {
  const [list, ...more] = range?.functions ?? []
  if (more.length > 0 || range?.ordinality === true || range?.is_rowsfrom === true) return undefined
  return ((list as AnyNode | undefined)?.List?.items?.[0] as AnyNode | undefined)?.FuncCall
}

function rangeOf({ node }: Statement, call: FuncCall): { hasAlias: boolean } | undefined {
  let found: { hasAlias: boolean } | undefined
  walk(node, (tree, key) => {
    if (key === 'RangeFunction' && functionOf(tree as unknown as RangeFunction) === call) found = { hasAlias: tree.alias !== undefined }
  })
  return found
}
