/**
 * One statement on one connection: its prelude (settings, BEGIN, savepoints, layout markers) and itself, in one request.
 *
 * All of it stands before a single Sync, so that PostgreSQL skips the statement when anything before it fails.
 */
import { SqlError } from '../base/errors.ts'
import { readErrorFields } from '../protocol/error-fields.ts'
import { readServerError } from '../shard/server-error.ts'
import type { MessageWriter } from '../protocol/message-writer.ts'
import { Backend } from '../protocol/message-types.ts'
import { readRowDescription } from '../protocol/row-description.ts'
import type { FieldDescription } from '../protocol/row-description.ts'
import type { Connection } from '../shard/connection.ts'
import type { Exchange } from '../shard/exchange.ts'
import type { BindValues } from '../shard/requests.ts'
import { ensurePrepared, forgetStatement, isOutdatedStatement, noValues, writeBind, writeClose, writeCommand, writeDescribe, writeExecute, writeFlush, writeParse, writeSync } from '../shard/requests.ts'
import type { ResultSink } from './result-sink.ts'

export interface StatementRequest {
  /** Statements without rows that must succeed first. */
  readonly prelude: readonly string[]
  /** Empty: the portal exists already and is executed on. */
  readonly text: string
  readonly types?: readonly number[]
  readonly bind?: BindValues
  /** Keep the statement prepared on the connection for the next time, under this key (statementKey). */
  readonly keep?: string | undefined
  /** One message in place of five; for a text alone, without prelude, values or portal. */
  readonly isSimple?: boolean
  readonly portal?: string
  readonly rowsMax?: number
  readonly portalStep?: PortalStep | undefined
  /** COPY FROM STDIN: the Sync is held back until the data has been sent; see CopyInput. */
  readonly copyIn?: boolean
  readonly translate?: (fields: readonly FieldDescription[]) => readonly FieldDescription[]
}

/** 'open': the portal gets its snapshot, and nothing is executed. 'execute': the portal, which is there, is executed and closed. */
export type PortalStep = 'open' | 'execute'

export type StatementEnd =
  | { readonly kind: 'complete'; readonly tag: string }
  | { readonly kind: 'suspended' }
  | { readonly kind: 'empty' }

/** Why a statement failed, and whether the statement itself had been reached. */
export class StatementFailure {
  readonly error: SqlError
  /** The error is the prelude's: settings or markers. */
  readonly inPrelude: boolean
  /** Rows had gone to the sink. */
  readonly sentRows: boolean

  constructor(error: SqlError, inPrelude: boolean, sentRows: boolean) {
    this.error = error
    this.inPrelude = inPrelude
    this.sentRows = sentRows
  }
}

/** Resolves with how the statement ended; rejects with StatementFailure. */
export function runStatement(connection: Connection, request: StatementRequest, sink: ResultSink): Promise<StatementEnd> {
  return new Promise((resolve, reject) => {
    const exchange = new StatementExchange(connection, request, sink, resolve, reject)
    connection.send(exchange, exchange)
  })
}

/** COPY FROM STDIN: resolves once the server takes data, with the way to send it and to learn how it ended. */
export function startCopyIn(connection: Connection, request: StatementRequest, sink: ResultSink): Promise<CopyInput> {
  return new Promise((resolve, reject) => {
    const done = new Promise<StatementEnd>((resolveEnd, rejectEnd) => {
      const exchange = new StatementExchange(connection, { ...request, copyIn: true, isSimple: false }, sink, resolveEnd, rejectEnd)
      exchange.onCopyIn = (payload) => resolve({ connection, payload, done })
      connection.send(exchange, exchange)
    })
    done.catch(reject)
  })
}

export interface CopyInput {
  readonly connection: Connection
  /** Of CopyInResponse. */
  readonly payload: Buffer
  readonly done: Promise<StatementEnd>
}

export function sendCopyData(input: CopyInput, data: Buffer, start = 0, end = data.length): void {
  input.connection.sendMore((writer) => writer.frame(0x64, data, start, end))
}

export function endCopy(input: CopyInput): Promise<StatementEnd> {
  input.connection.sendMore((writer) => {
    writer.begin('c').end()
    writeSync(writer)
  })
  return input.done
}

export function failCopy(input: CopyInput, reason: string): Promise<StatementEnd> {
  input.connection.sendMore((writer) => {
    writer.begin('f').cstring(reason).end()
    writeSync(writer)
  })
  return input.done
}

class StatementExchange implements Exchange {
  private readonly connection: Connection
  private readonly request: StatementRequest
  private readonly sink: ResultSink
  private readonly resolve: (end: StatementEnd) => void
  private readonly reject: (failure: StatementFailure) => void
  private preludeLeft: number
  private error: SqlError | undefined
  private errorInPrelude = false
  private sentRows = false
  private end: StatementEnd = { kind: 'empty' }
  private newName: string | undefined
  onCopyIn: ((payload: Buffer) => void) | undefined
  private copyStarted = false
  private parsed = false
  private bound = false

  constructor(connection: Connection, request: StatementRequest, sink: ResultSink, resolve: (end: StatementEnd) => void, reject: (failure: StatementFailure) => void) {
    this.connection = connection
    this.request = request
    this.sink = sink
    this.resolve = resolve
    this.reject = reject
    this.preludeLeft = request.prelude.length
  }

  write(writer: MessageWriter): void {
    const { request, connection } = this
    if (request.isSimple === true) {
      writer.begin('Q').cstring(request.text).end()
      return
    }
    for (const text of request.prelude) writeCommand(writer, text)
    const portal = request.portal ?? ''
    this.bound = request.text === ''
    this.parsed = this.bound
    if (request.text !== '') {
      let name = ''
      if (request.keep !== undefined) {
        const { prepared, isNew } = ensurePrepared(writer, connection, request.keep, request.text, request.types ?? [])
        name = prepared.name
        if (isNew) this.newName = name
        else this.parsed = true
      } else {
        writeParse(writer, '', request.text, request.types)
      }
      writeBind(writer, portal, name, request.bind ?? noValues)
    }
    if (request.portalStep !== 'open' && (request.text !== '' || request.portalStep === 'execute')) writeDescribe(writer, 'P', portal)
    if (request.portalStep !== 'open') writeExecute(writer, portal, request.rowsMax ?? 0)
    if (request.portalStep === 'execute') writeClose(writer, 'P', portal)
    if (request.copyIn === true) writeFlush(writer)
    else writeSync(writer)
  }

  onFrame(type: number, buffer: Buffer, start: number, end: number): void {
    if (type === Backend.dataRow) {
      if (this.preludeLeft > 0) return
      this.sentRows = true
      if (!this.sink.row(buffer, start, end)) this.hold()
      return
    }
    switch (type) {
      case Backend.commandComplete:
        if (this.preludeLeft > 0) this.preludeLeft--
        else this.end = { kind: 'complete', tag: buffer.toString('utf8', start, end - 1) }
        return
      case Backend.parseComplete:
        if (this.preludeLeft === 0) {
          this.newName = undefined
          this.parsed = true
        }
        return
      case Backend.bindComplete:
        if (this.preludeLeft > 0) return
        this.bound = true
        this.sink.bound?.()
        return
      case Backend.rowDescription:
        if (this.preludeLeft === 0) {
          const fields = readRowDescription(buffer, start)
          if (this.request.portalStep === 'execute') this.sink.bound?.()
          this.sink.fields(this.request.translate?.(fields) ?? fields)
        }
        return
      case Backend.portalSuspended:
        this.end = { kind: 'suspended' }
        return
      case Backend.errorResponse:
        this.fail(readServerError(buffer, start, end))
        return
      case Backend.noticeResponse:
        if (this.preludeLeft === 0) this.sink.notice(readErrorFields(buffer, start, end))
        return
      case Backend.parameterStatus: {
        const stop = buffer.indexOf(0, start)
        if (this.preludeLeft === 0) this.sink.parameterStatus(buffer.toString('utf8', start, stop), buffer.toString('utf8', stop + 1, end - 1))
        return
      }
      case Backend.copyOutResponse:
        this.sink.copyOut(Buffer.from(buffer.subarray(start, end)))
        return
      case Backend.copyData:
        this.sentRows = true
        if (!this.sink.copyData(buffer, start, end)) this.hold()
        return
      case Backend.copyDone:
        this.sink.copyDone()
        return
      case Backend.copyInResponse:
        this.copyStarted = true
        if (this.onCopyIn !== undefined) this.onCopyIn(Buffer.from(buffer.subarray(start, end)))
        else {
          // Nobody here has data: the server is told so, and its error is the answer.
          this.connection.sendMore((writer) => {
            writer.begin('f').cstring('COPY FROM STDIN is not possible here').end()
          })
        }
        return
      default:
        return
    }
  }

  private fail(error: SqlError): void {
    if (this.error !== undefined) return
    this.errorInPrelude = this.preludeLeft > 0
    const stage = this.bound || this.errorInPrelude ? undefined : this.parsed ? 'bind' : 'parse'
    this.error = stage === undefined ? error : new SqlError(error.code, error.message, { ...error.fields, stage })
    if (this.newName !== undefined) forgetStatement(this.connection, this.newName)
    else if (this.request.keep !== undefined && isOutdatedStatement(error)) this.connection.prepared.delete(this.request.keep)
    // While COPY data is being sent the Sync comes from endCopy or failCopy, after which the error is reported.
    if (this.request.copyIn === true && !this.copyStarted) this.connection.sendMore(writeSync)
  }

  /** The sink has too much unsent: the server is not read until it has drained. */
  private hold(): void {
    this.connection.pause()
    this.sink.whenDrained(() => this.connection.resume())
  }

  onReady(): void {
    if (this.error !== undefined) this.reject(new StatementFailure(this.error, this.errorInPrelude, this.sentRows))
    else this.resolve(this.end)
  }

  onLost(error: SqlError): void {
    this.reject(new StatementFailure(this.error ?? error, false, this.sentRows))
  }
}
