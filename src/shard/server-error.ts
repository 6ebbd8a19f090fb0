import { SqlError } from '../base/errors.ts'
import { readError } from '../protocol/error-fields.ts'

/** An error that a server tells. FATAL means the end of its connection to the router, not of a client's session. */
export function readServerError(buffer: Buffer, start: number, end: number): SqlError {
  const { code, message, fields } = readError(buffer, start, end)
  return new SqlError(code, message, { ...fields, severity: 'ERROR' })
}
