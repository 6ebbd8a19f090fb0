/**
 * SELECT pg_cancel_backend(pid), pg_terminate_backend(pid), with any other columns and FROM: the catalog finds the numbers, the
 * router reaches the sessions.
 */
import { refuse, SqlError } from '../../base/errors.ts'
import { quoteLiteral } from '../../base/quote.ts'
import { noArguments } from '../../executor/context.ts'
import { executePlan } from '../../executor/execute-plan.ts'
import { RowsSink } from '../../executor/result-sink.ts'
import { runOnServer } from '../../executor/run-on-server.ts'
import { callEnd } from '../../planner/session-facts.ts'
import { MessageWriter } from '../../protocol/message-writer.ts'
import { readDataRow } from '../../protocol/row-description.ts'
import type { AnyNode, FuncCall } from '../../sql/ast.ts'
import { names } from '../../sql/ast.ts'
import type { Statement } from '../../sql/parse.ts'
import { parseOne } from '../../sql/parse.ts'
import { nameEnd, tokensWithDepth } from '../../sql/scanner.ts'
import type { Edit } from '../../sql/source-text.ts'
import { SourceText } from '../../sql/source-text.ts'
import type { Session } from '../session.ts'
import type { Handler } from './run-statement.ts'

type Signal = 'cancel' | 'terminate'

const booleanType = { typeOid: 16, typeSize: 1, typeModifier: -1, tableOid: 0, columnNumber: 0 }

export const signalBackends: Handler = async (statement, args, sink, session) => {
  const select = statement.node.SelectStmt
  if (select === undefined || !/pg_(cancel|terminate)_backend/i.test(statement.source.text)) return undefined
  const targets = (select.targetList ?? []).map((target) => signalOf(((target as AnyNode).ResTarget?.val as AnyNode | undefined)?.FuncCall))
  if (targets.every((target) => target === undefined)) return undefined
  const snapshot = await session.currentSnapshot()
  const found = new RowsSink()
  const { plan } = session.plan(numbersOnly(statement, targets), args.types, snapshot)
  const all = { ...args, keep: false, portal: '', rowsMax: 0 }
  await executePlan(plan, all, found, session.executionContext(snapshot, statement.source.text))
  if (found.description.length !== targets.length) throw refuse('pg_terminate_backend beside * is not supported', 'Name the columns.')
  const rows: (Buffer | undefined)[][] = []
  for (const row of found.rows) {
    const values = readDataRow(row, 0).map((value) => (value === undefined ? undefined : Buffer.from(value)))
    for (const [i, target] of targets.entries()) {
      const value = values[i]
      if (target === undefined || value === undefined) continue
      const isBinary = found.description[i]?.format === 1
      const done = await reach(target.signal, isBinary ? value.readInt32BE(0) : Number(value.toString()), session)
      values[i] = isBinary ? Buffer.from([done ? 1 : 0]) : Buffer.from(done ? 't' : 'f')
    }
    rows.push(values)
  }
  const nameOf = (i: number) => (select.targetList?.[i] as AnyNode | undefined)?.ResTarget?.name ?? `pg_${targets[i]?.signal}_backend`
  sink.fields(found.description.map((field, i) => (targets[i] === undefined ? field : { ...field, ...booleanType, name: nameOf(i) })))
  for (const values of rows) {
    const writer = new MessageWriter().int16(values.length)
    for (const value of values) {
      if (value === undefined) writer.int32(-1)
      else writer.int32(value.length).bytes(value)
    }
    const row = writer.take()
    sink.row(row, 0, row.length)
  }
  return { kind: 'complete', tag: `SELECT ${rows.length}` }
}

interface SignalCall {
  readonly signal: Signal
  readonly location: number
}

function signalOf(call: FuncCall | undefined): SignalCall | undefined {
  const parts = names(call?.funcname as AnyNode[] | undefined)
  const [, signal] = /^pg_(cancel|terminate)_backend$/.exec(parts.at(-1) ?? '') ?? []
  if (signal === undefined || (parts.length > 1 && parts[0] !== 'pg_catalog')) return undefined
  return { signal: signal as Signal, location: call?.location ?? 0 }
}

/** The statement with each call giving the number that it is for. How long a termination may take does not matter here. */
function numbersOnly(statement: Statement, calls: readonly (SignalCall | undefined)[]): Statement {
  const { raw } = statement.source
  const edits = calls.flatMap((call): Edit[] => {
    if (call === undefined) return []
    const end = nameEnd(raw, call.location)
    const close = callEnd(raw, end) - 1
    const comma = [...tokensWithDepth(raw, end)].find((token) => token.depth === 1 && token.text === ',' && token.start < close)
    return [
      { start: call.location, end, text: '' },
      { start: comma?.start ?? close, end: close + 1, text: ')::pg_catalog.int4' },
    ]
  })
  const source = new SourceText(statement.source.edited(edits))
  return { source, node: parseOne(source.text) }
}

/** Whether the session was there. Throws 42501 when its owner is not this session's to disturb. */
async function reach(signal: Signal, pid: number, session: Session): Promise<boolean> {
  const other = session.services.clients.get(pid)
  if (other === undefined) {
    session.notice('01000', `PID ${pid} is not a PostgreSQL backend process`, 'WARNING')
    return false
  }
  await checkMaySignal(signal, other.user, session)
  if (pid !== session.pid) {
    if (signal === 'cancel') other.cancel()
    else other.terminate()
    return true
  }
  if (signal === 'cancel') throw new SqlError('57014', 'canceling statement due to user request')
  throw new SqlError('57P01', 'terminating connection due to administrator command', { severity: 'FATAL' })
}

async function checkMaySignal(signal: Signal, owner: string, session: Session): Promise<void> {
  const found = new RowsSink()
  const text = `SELECT CASE WHEN o.rolsuper THEN me.rolsuper ELSE pg_has_role(o.oid, 'USAGE') OR pg_has_role('pg_signal_backend', 'USAGE') END
    FROM pg_roles o, pg_roles me WHERE o.rolname = ${quoteLiteral(owner)} AND me.rolname = current_user`
  await runOnServer(session.services.catalog, { text, markers: [], writes: false }, noArguments, found, session.executionContext(await session.currentSnapshot()))
  const may = found.rows[0] === undefined ? undefined : readDataRow(found.rows[0], 0)[0]?.toString()
  if (may !== 't') throw new SqlError('42501', `permission denied to ${signal === 'cancel' ? 'cancel query' : 'terminate process'}`)
}
