/**
 * The function call message: a function by its OID, as libpq's large objects use it. It runs on the catalog, when the same call
 * in a SELECT would: so a function that needs tables, or would change what the router must know of, is refused for the same
 * reason.
 */
import { refuse, SqlError } from '../base/errors.ts'
import { RowsSink } from '../executor/result-sink.ts'
import { noArguments } from '../executor/context.ts'
import { runOnServer } from '../executor/run-on-server.ts'
import { readErrorFields } from '../protocol/error-fields.ts'
import { readServerError } from '../shard/server-error.ts'
import { PayloadReader } from '../protocol/frontend-reader.ts'
import { Backend } from '../protocol/message-types.ts'
import { readDataRow } from '../protocol/row-description.ts'
import type { Connection } from '../shard/connection.ts'
import { query } from '../shard/query.ts'
import { parseStatements } from '../sql/parse.ts'
import { checkReadOnly } from './check-read-only.ts'
import type { Session } from './session.ts'

export async function callFunction(payload: Buffer, session: Session): Promise<void> {
  const { transaction, services } = session
  if (transaction.failed) throw new SqlError('25P02', 'current transaction is aborted, commands ignored until end of transaction block')
  const { pins, writes } = await mayCall(readOid(payload), session)
  const lease = await transaction.lease(services.catalog)
  const { participant, connection, prelude } = lease
  try {
    if (prelude.length > 0) await query(connection, prelude.join('; '))
    if (participant !== undefined) {
      participant.fresh = false
      participant.wrote ||= writes
      participant.cannotPrepare ||= pins
    }
    const result = await exchange(connection, payload, session)
    session.stream.out.frame(Backend.functionCallResponse, result, 0, result.length)
  } finally {
    if (pins && !connection.isLost) transaction.pin(connection)
    transaction.release(lease)
  }
}

/** The message must be whole before it is sent on: PostgreSQL says itself what else is wrong with it. */
function readOid(payload: Buffer): number {
  const reader = new PayloadReader(payload)
  const oid = reader.int32()
  reader.int16s()
  reader.values()
  reader.int16()
  reader.end()
  return oid
}

async function mayCall(oid: number, session: Session): Promise<{ pins: boolean; writes: boolean }> {
  const snapshot = await session.currentSnapshot()
  const sink = new RowsSink()
  // An OID that is none has no row: then PostgreSQL's own error is the answer, as it is for what is not a plain function.
  const text = `SELECT format('SELECT %I.%I(%s)', n.nspname, p.proname, (SELECT string_agg(format('$%s::%s', i, format_type(t, -1)), ', ' ORDER BY i) FROM unnest(p.proargtypes::oid[]) WITH ORDINALITY a(t, i))), p.proname
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE p.oid = ${oid >>> 0} AND p.prokind = 'f' AND NOT p.proretset`
  await runOnServer(session.services.catalog, { text, markers: [], writes: false }, noArguments, sink, session.executionContext(snapshot))
  const [call, name] = sink.rows[0] === undefined ? [] : readDataRow(sink.rows[0], 0).map(String)
  const [statement] = call === undefined ? [] : parseStatements(call)
  if (statement === undefined) return { pins: false, writes: false }
  const { plan } = session.plan(statement, [], snapshot)
  const ofSession = (name === 'currval' || name === 'lastval') && session.transaction.pinned === undefined
  if (plan.kind !== 'catalog' || ofSession) throw refuse(`function ${name} is not supported by a function call message`, 'Call it in a SELECT.')
  checkReadOnly(plan, session.transaction)
  return plan
}

/** The payload of FunctionCallResponse. */
function exchange(connection: Connection, payload: Buffer, session: Session): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    let result: Buffer | undefined
    let error: SqlError | undefined
    connection.send(
      {
        onFrame(type, buffer, start, end) {
          if (type === Backend.functionCallResponse) result = Buffer.from(buffer.subarray(start, end))
          else if (type === Backend.errorResponse) error ??= readServerError(buffer, start, end)
          else if (type === Backend.noticeResponse) {
            const { code, message, severity, ...more } = readErrorFields(buffer, start, end)
            session.notice(code, message, severity, more)
          }
        },
        onReady: () => (result === undefined ? reject(error ?? new SqlError('XX000', 'the function call had no answer')) : resolve(result)),
        onLost: reject,
      },
      { write: (writer) => void writer.begin('F').bytes(payload).end() },
    )
  })
}
