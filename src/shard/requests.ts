/** The frames that the router sends to servers. */
import type { MessageWriter } from '../protocol/message-writer.ts'
import type { SqlError } from '../base/errors.ts'
import { limits } from '../base/limits.ts'
import type { Connection, PreparedOnServer } from './connection.ts'

export interface BindValues {
  readonly parameterFormats: readonly number[]
  readonly values: readonly (Buffer | undefined)[]
  readonly resultFormats: readonly number[]
}

export const noValues: BindValues = { parameterFormats: [], values: [], resultFormats: [] }

export function writeParse(writer: MessageWriter, name: string, text: string, types: readonly number[] = []): void {
  writer.begin('P').cstring(name).cstring(text).int16(types.length)
  for (const type of types) writer.int32(type)
  writer.end()
}

export function writeBind(writer: MessageWriter, portal: string, statement: string, bind: BindValues): void {
  writer.begin('B').cstring(portal).cstring(statement)
  writer.int16(bind.parameterFormats.length)
  for (const format of bind.parameterFormats) writer.int16(format)
  writer.int16(bind.values.length)
  for (const value of bind.values) {
    if (value === undefined) writer.int32(-1)
    else writer.int32(value.length).bytes(value)
  }
  writer.int16(bind.resultFormats.length)
  for (const format of bind.resultFormats) writer.int16(format)
  writer.end()
}

export function writeDescribe(writer: MessageWriter, kind: 'S' | 'P', name: string): void {
  writer.begin('D').string(kind).cstring(name).end()
}

export function writeExecute(writer: MessageWriter, portal: string, rowsMax = 0): void {
  writer.begin('E').cstring(portal).int32(rowsMax).end()
}

export function writeClose(writer: MessageWriter, kind: 'S' | 'P', name: string): void {
  writer.begin('C').string(kind).cstring(name).end()
}

export function writeSync(writer: MessageWriter): void {
  writer.begin('S').end()
}

export function writeFlush(writer: MessageWriter): void {
  writer.begin('H').end()
}

/** A statement without parameters or rows, run through the unnamed statement. */
export function writeCommand(writer: MessageWriter, text: string): void {
  writeParse(writer, '', text)
  writeBind(writer, '', '', noValues)
  writeExecute(writer, '')
}

/** Names a statement among those of a connection. Who runs it often keeps the key: building it costs more than looking it up. */
export function statementKey(version: number, text: string, types: readonly number[]): string {
  return `${version}:${types.join()}:${text}`
}

/**
 * Writes a Parse when this connection does not hold the statement yet, and gives what it holds.
 *
 * Another version of the schema makes another statement: PostgreSQL refuses one whose columns have changed.
 * A Parse that fails makes the caller call `forgetStatement`, since the name then does not exist on the server.
 */
export function ensurePrepared(
  writer: MessageWriter,
  connection: Connection,
  key: string,
  text: string,
  types: readonly number[],
): { prepared: PreparedOnServer; isNew: boolean } {
  const known = connection.prepared.get(key)
  if (known !== undefined) {
    // Which are old matters once the list is half full.
    if (connection.prepared.size > limits.preparedPerConnectionMax / 2) {
      connection.prepared.delete(key)
      connection.prepared.set(key, known)
    }
    return { prepared: known, isNew: false }
  }
  if (connection.prepared.size >= limits.preparedPerConnectionMax) {
    const [oldest] = connection.prepared
    if (oldest !== undefined) {
      writeClose(writer, 'S', oldest[1].name)
      connection.prepared.delete(oldest[0])
    }
  }
  const prepared = { name: connection.newStatementName(), columns: undefined }
  connection.prepared.set(key, prepared)
  writeParse(writer, prepared.name, text, types)
  return { prepared, isNew: true }
}

/** The statement gave other columns when the server prepared it: it has to be prepared anew. */
export function isOutdatedStatement(error: SqlError): boolean {
  return error.code === '0A000' && error.fields.routine === 'RevalidateCachedQuery'
}

export function forgetStatement(connection: Connection, name: string): void {
  for (const [key, value] of connection.prepared) {
    if (value.name === name) connection.prepared.delete(key)
  }
}
