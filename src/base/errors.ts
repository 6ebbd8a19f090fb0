/**
 * Errors that a client sees: an SQLSTATE, a message, and where it helps a detail and a hint.
 *
 * Codes decide what happens next (retry, refuse, give up); message texts never do. An error that came from a
 * PostgreSQL server keeps that server's own fields, so a client sees the line, column and constraint that it would have
 * seen without pgherd.
 */
export interface SqlErrorFields {
  readonly severity: string
  readonly code: string
  readonly message: string
  readonly detail?: string | undefined
  readonly hint?: string | undefined
  readonly position?: string | undefined
  readonly internalPosition?: string | undefined
  readonly internalQuery?: string | undefined
  readonly where?: string | undefined
  readonly schema?: string | undefined
  readonly table?: string | undefined
  readonly column?: string | undefined
  readonly dataType?: string | undefined
  readonly constraint?: string | undefined
  readonly file?: string | undefined
  readonly line?: string | undefined
  readonly routine?: string | undefined
  /** What a server was at when it failed; undefined once the statement ran. Clients are not told. */
  readonly stage?: 'parse' | 'bind' | undefined
}

export class SqlError extends Error {
  readonly fields: SqlErrorFields

  constructor(code: string, message: string, more: Partial<SqlErrorFields> = {}) {
    super(message)
    this.name = 'SqlError'
    this.fields = { severity: 'ERROR', ...more, code, message }
  }

  get code(): string {
    return this.fields.code
  }
}

/** The same error of a text that has `characters` more in front. */
export function shiftPosition(error: SqlError, characters: number): SqlError {
  const { position } = error.fields
  if (position === undefined || characters === 0) return error
  return new SqlError(error.code, error.message, { ...error.fields, position: String(Number(position) + characters) })
}

/** What pgherd refuses on purpose: 0A000, with the reason as message and what to do as hint. */
export function refuse(message: string, hint?: string): SqlError {
  return new SqlError('0A000', message, { hint })
}

/** A connection to a server of the cluster broke or could not be made. */
export function connectionLost(server: string, reason: string): SqlError {
  return new SqlError('08006', `connection to ${server} was lost: ${reason}`)
}

/** Anything thrown, as an SqlError: our own mistakes become XX000. */
export function asSqlError(error: unknown): SqlError {
  if (error instanceof SqlError) return error
  const message = error instanceof Error ? error.message : String(error)
  return new SqlError('XX000', `pgherd: ${message}`)
}

/** Closes a union: the compiler complains here when a kind is added and not handled. */
export function unreachable(value: never): never {
  throw new Error(`unreachable: ${JSON.stringify(value)}`)
}
