import { SqlError } from '../base/errors.ts'

/** node-postgres' errors carry PostgreSQL's fields: an error of a server as one that clients may see. Anything else stays what it is. */
export function fromDriver(error: unknown): unknown {
  const { code, message, detail, hint } = error as Error & { code?: string; detail?: string; hint?: string }
  return code?.length === 5 && !(error instanceof SqlError) ? new SqlError(code, message, { detail, hint }) : error
}
