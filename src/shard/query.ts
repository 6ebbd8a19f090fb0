/** Whole answers, for the router's own questions to a server. What clients ask streams instead. */
import { SqlError } from '../base/errors.ts'
import { readServerError } from './server-error.ts'
import { Backend } from '../protocol/message-types.ts'
import { readDataRow } from '../protocol/row-description.ts'
import type { Connection } from './connection.ts'
import type { Exchange } from './exchange.ts'
import type { MessageWriter } from '../protocol/message-writer.ts'

export interface QueryResult {
  /** Values in text format, undefined for NULL; of all statements, one after the other. */
  readonly rows: (string | undefined)[][]
  /** The last command tag. */
  readonly tag: string
}

/** Collects an answer: rows as text, and the first error, which is thrown once the exchange is over. */
export class CollectExchange implements Exchange {
  readonly rows: (string | undefined)[][] = []
  tag = ''
  private error: SqlError | undefined
  private readonly resolve: (result: QueryResult) => void
  private readonly reject: (error: SqlError) => void
  onOther: ((type: number, buffer: Buffer, start: number, end: number) => void) | undefined

  constructor(resolve: (result: QueryResult) => void, reject: (error: SqlError) => void) {
    this.resolve = resolve
    this.reject = reject
  }

  onFrame(type: number, buffer: Buffer, start: number, end: number): void {
    if (type === Backend.dataRow) {
      this.rows.push(readDataRow(buffer, start).map((value) => value?.toString()))
    } else if (type === Backend.commandComplete) {
      this.tag = buffer.toString('utf8', start, end - 1)
    } else if (type === Backend.errorResponse) {
      this.error ??= readServerError(buffer, start, end)
    } else this.onOther?.(type, buffer, start, end)
  }

  onReady(): void {
    if (this.error !== undefined) this.reject(this.error)
    else this.resolve({ rows: this.rows, tag: this.tag })
  }

  onLost(error: SqlError): void {
    this.reject(error)
  }
}

/** Runs a text of one or more statements by a simple Query. */
export function query(connection: Connection, text: string): Promise<QueryResult> {
  return request(connection, (writer) => writer.begin('Q').cstring(text).end())
}

export function request(
  connection: Connection,
  write: (writer: MessageWriter) => void,
  onOther?: (type: number, buffer: Buffer, start: number, end: number) => void,
): Promise<QueryResult> {
  return new Promise((resolve, reject) => {
    const exchange = new CollectExchange(resolve, reject)
    exchange.onOther = onOther
    connection.send(exchange, { write })
  })
}
