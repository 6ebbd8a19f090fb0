import type { SqlErrorFields } from '../base/errors.ts'
import { SqlError } from '../base/errors.ts'
import type { MessageWriter } from './message-writer.ts'

const keyOfLetter: Readonly<Record<string, keyof SqlErrorFields>> = {
  C: 'code',
  M: 'message',
  D: 'detail',
  H: 'hint',
  P: 'position',
  p: 'internalPosition',
  q: 'internalQuery',
  W: 'where',
  s: 'schema',
  t: 'table',
  c: 'column',
  d: 'dataType',
  n: 'constraint',
  F: 'file',
  L: 'line',
  R: 'routine',
}

/** Reads the fields of an ErrorResponse or NoticeResponse. */
export function readErrorFields(buffer: Buffer, start: number, end: number): SqlErrorFields {
  const fields: Record<string, string> = {}
  let at = start
  while (at < end && buffer[at] !== 0) {
    const letter = String.fromCharCode(buffer[at] as number)
    const stop = buffer.indexOf(0, at + 1)
    const text = buffer.toString('utf8', at + 1, stop)
    if (letter === 'V') fields.severity = text
    else if (letter === 'S') fields.severity ??= text
    else if (keyOfLetter[letter] !== undefined) fields[keyOfLetter[letter]] = text
    at = stop + 1
  }
  return { severity: 'ERROR', code: 'XX000', message: '', ...fields }
}

export function readError(buffer: Buffer, start: number, end: number): SqlError {
  const { code, message, ...more } = readErrorFields(buffer, start, end)
  return new SqlError(code, message, more)
}

/** Writes an ErrorResponse ('E') or NoticeResponse ('N'). */
export function writeErrorFields(writer: MessageWriter, type: 'E' | 'N', fields: SqlErrorFields): void {
  writer.begin(type)
  writer.string('S').cstring(fields.severity)
  writer.string('V').cstring(fields.severity)
  for (const [letter, key] of Object.entries(keyOfLetter)) {
    const value = fields[key]
    if (value !== undefined) writer.string(letter).cstring(value)
  }
  writer.byte(0).end()
}
