/**
 * currval() and lastval(). The router takes values for serial columns on any connection, so it remembers them itself; a session
 * that calls nextval() keeps its catalog connection, and PostgreSQL answers there.
 */
import { refuse, SqlError } from '../../base/errors.ts'
import { quoteLiteral } from '../../base/quote.ts'
import { noArguments } from '../../executor/context.ts'
import { RowsSink } from '../../executor/result-sink.ts'
import { runOnServer } from '../../executor/run-on-server.ts'
import { readDataRow } from '../../protocol/row-description.ts'
import type { AnyNode, FuncCall } from '../../sql/ast.ts'
import { names, walk } from '../../sql/ast.ts'
import type { Session } from '../session.ts'
import type { Handler } from './run-statement.ts'

export const runLastValue: Handler = async (statement, args, sink, session) => {
  if (!/\b(currval|lastval)\b/i.test(statement.source.text) || session.transaction.pinned !== undefined) return undefined
  let calls = 0
  walk(statement.node, (tree, key) => {
    if (key === 'FuncCall' && /^(currval|lastval)$/.test(names(tree.funcname as AnyNode[]).at(-1) ?? '')) calls++
  })
  if (calls === 0) return undefined
  const select = statement.node.SelectStmt
  const [target] = select?.targetList ?? []
  const call = ((target as AnyNode | undefined)?.ResTarget?.val as AnyNode | undefined)?.FuncCall as FuncCall | undefined
  const name = names(call?.funcname as AnyNode[] | undefined).at(-1)
  if (calls !== 1 || select?.targetList?.length !== 1 || select.fromClause !== undefined || (name !== 'currval' && name !== 'lastval')) {
    throw refuse('currval and lastval are supported alone in a SELECT', 'Use RETURNING.')
  }
  const value = name === 'lastval' ? [...session.sequenceValues.values()].at(-1) : await currentValue(call as FuncCall, session)
  if (value === undefined) throw new SqlError('55000', 'lastval is not yet defined in this session')
  const column = (target as AnyNode).ResTarget?.name ?? name
  const context = session.executionContext(await session.currentSnapshot())
  return runOnServer(session.services.catalog, { text: `SELECT ${value}::bigint AS "${column}"`, markers: [], writes: false }, args, sink, context)
}

async function currentValue(call: FuncCall, session: Session): Promise<string> {
  const node = call.args?.[0] as AnyNode | undefined
  const text = (node?.A_Const ?? (node?.TypeCast?.arg as AnyNode | undefined)?.A_Const)?.sval?.sval
  if (text === undefined) throw refuse('currval is supported with a constant name', 'Use RETURNING.')
  const sink = new RowsSink()
  const known = [...session.sequenceValues]
  const context = session.executionContext(await session.currentSnapshot())
  const list = known.map(([sequence]) => `${quoteLiteral(sequence)}::regclass = ${quoteLiteral(text)}::regclass`)
  const query = `SELECT ${quoteLiteral(text)}::regclass::text${list.map((one) => `, ${one}`).join('')}`
  await runOnServer(session.services.catalog, { text: query, markers: [], writes: false }, noArguments, sink, context)
  const [name, ...matches] = readDataRow(sink.rows[0] as Buffer, 0).map(String)
  const found = known[matches.indexOf('t')]
  if (found === undefined) throw new SqlError('55000', `currval of sequence "${name}" is not yet defined in this session`)
  return found[1]
}
