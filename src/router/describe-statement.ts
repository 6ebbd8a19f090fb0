/** What PostgreSQL says of a statement before it runs: asked from the shell, which has the user's whole schema. */
import { readServerError } from '../shard/server-error.ts'
import { Backend } from '../protocol/message-types.ts'
import { serverById } from '../executor/context.ts'
import type { MessageWriter } from '../protocol/message-writer.ts'
import type { FieldDescription } from '../protocol/row-description.ts'
import { readRowDescription } from '../protocol/row-description.ts'
import type { SqlError } from '../base/errors.ts'
import type { Connection } from '../shard/connection.ts'
import { writeCommand, writeDescribe, writeParse, writeSync } from '../shard/requests.ts'
import type { Statement } from '../sql/parse.ts'
import { settingsChange } from '../transaction/settings.ts'
import type { StatementDescription } from './known-statements.ts'
import type { Session } from './session.ts'
import { describableText } from './statements/operator-functions.ts'

export async function describeStatement(session: Session, statement: Statement, types: readonly number[]): Promise<StatementDescription> {
  const snapshot = await session.currentSnapshot()
  const known = session.temporary.size === 0 ? session.known(statement, snapshot, types) : undefined
  if (known?.description !== undefined) return known.description
  const description = { ...(await ask(session, describableText(statement, session), types)), version: snapshot.version }
  if (known !== undefined) known.description = description
  return description
}

type Answer = Omit<StatementDescription, 'version'>

async function ask(session: Session, text: string, types: readonly number[]): Promise<Answer> {
  const { transaction, services } = session
  const inside = transaction.participants.has(0) || transaction.pinned !== undefined
  if (inside) {
    const lease = await transaction.lease(services.catalog)
    try {
      return await askOn(lease.connection, lease.prelude, text, types)
    } finally {
      transaction.release(lease)
    }
  }
  // Outside of the transaction: describing must not make the catalog take part in it.
  const connection = await services.pool.take(services.catalog, session.database, session.user, transaction.waits)
  const prelude = settingsChange(connection.settings, transaction.settings)
  connection.settings = transaction.settings
  transaction.asks.add(connection)
  try {
    return await askOn(connection, prelude, text, types)
  } catch (error) {
    if (prelude.length > 0) connection.settings = undefined
    throw error
  } finally {
    transaction.asks.delete(connection)
    services.pool.release(connection)
  }
}

/** The columns of a cursor, from the server that it is on. */
export async function describeCursor(session: Session, name: string, serverId: number): Promise<readonly FieldDescription[] | undefined> {
  const { transaction, services } = session
  const snapshot = await session.currentSnapshot()
  const server = serverById(session.executionContext(snapshot), serverId)
  const lease = await transaction.lease(server)
  try {
    const { fields } = await exchange(lease.connection, (writer) => {
      for (const command of lease.prelude) writeCommand(writer, command)
      writeDescribe(writer, 'P', name)
      writeSync(writer)
    })
    if (fields === undefined || serverId === 0) return fields
    const translate = services.names.translation(server, snapshot) ?? (await services.names.loadTranslation(server, snapshot, session.user, session.transaction.waits))
    return translate(fields)
  } finally {
    transaction.release(lease)
  }
}

function askOn(connection: Connection, prelude: readonly string[], text: string, types: readonly number[]): Promise<Answer> {
  return exchange(connection, (writer) => {
    for (const command of prelude) writeCommand(writer, command)
    writeParse(writer, '', text, types)
    writeDescribe(writer, 'S', '')
    writeSync(writer)
  })
}

function exchange(connection: Connection, write: (writer: MessageWriter) => void): Promise<Answer> {
  return new Promise((resolve, reject) => {
    let parameterTypes: number[] = []
    let fields: FieldDescription[] | undefined
    let error: SqlError | undefined
    connection.send(
      {
        onFrame(type, buffer, start, end) {
          if (type === Backend.parameterDescription) {
            parameterTypes = Array.from({ length: buffer.readUInt16BE(start) }, (_, i) => buffer.readUInt32BE(start + 2 + 4 * i))
          } else if (type === Backend.rowDescription) fields = readRowDescription(buffer, start)
          else if (type === Backend.errorResponse) error ??= readServerError(buffer, start, end)
        },
        onReady: () => (error === undefined ? resolve({ parameterTypes, fields }) : reject(error)),
        onLost: reject,
      },
      { write },
    )
  })
}
