import type { SqlErrorFields } from '../base/errors.ts'
import type { ResultSink } from '../executor/result-sink.ts'
import { writeErrorFields } from '../protocol/error-fields.ts'
import { MessageWriter } from '../protocol/message-writer.ts'
import { Backend } from '../protocol/message-types.ts'
import type { FieldDescription } from '../protocol/row-description.ts'
import { hasSameColumns, writeRowDescription } from '../protocol/row-description.ts'
import type { ClientStream } from './client-stream.ts'

interface ParameterListener {
  reportParameter(name: string, value: string): void
}

/** The columns of an answer, and RowDescription as it goes to the client. */
export interface KnownDescription {
  readonly fields: readonly FieldDescription[]
  readonly frame: Buffer
}

/** The rows of one statement on their way to the client. */
export class ClientSink implements ResultSink {
  /** Something of this statement's answer has gone out. */
  touched = false
  /** The columns of a statement that gives rows. */
  columns: readonly FieldDescription[] | undefined
  /** Rows past those that the client wants now. */
  readonly held: Buffer[] = []
  private readonly stream: ClientStream
  private readonly wantsDescription: boolean
  private readonly session: ParameterListener
  /** Set where the columns are known before the server tells them. */
  knownDescription: KnownDescription | undefined
  /** Columns that the client has been told before: rows of others are not given to it. */
  promised: readonly FieldDescription[] | undefined
  isOtherThanPromised = false
  /** How many rows more the client wants; -1 for all. */
  private rowsLeft: number
  private onBound: (() => void) | undefined

  constructor(
    stream: ClientStream,
    wantsDescription: boolean,
    session: ParameterListener,
    rowsMax = 0,
    onBound: (() => void) | undefined = undefined,
  ) {
    this.stream = stream
    this.wantsDescription = wantsDescription
    this.session = session
    this.rowsLeft = rowsMax > 0 ? rowsMax : -1
    this.onBound = onBound
  }

  bound(): void {
    this.onBound?.()
    this.onBound = undefined
  }

  get isCongested(): boolean {
    return this.stream.isCongested
  }

  fields(fields: readonly FieldDescription[]): void {
    this.bound()
    if (this.columns !== undefined) return
    this.columns = fields
    if (this.promised !== undefined && !hasSameColumns(fields, this.promised)) this.isOtherThanPromised = true
    if (!this.wantsDescription || this.isOtherThanPromised) return
    writeRowDescription(this.stream.out, fields)
    this.stream.scheduleFlush()
  }

  get hasRows(): boolean {
    return this.columns !== undefined
  }

  /** The client has the rows that it asked for. */
  get isFull(): boolean {
    return this.rowsLeft === 0 && this.columns !== undefined
  }

  /** The client wants to know the columns; where no server has told any there are none. */
  endDescription(): void {
    if (this.knownDescription !== undefined) this.writeKnownDescription(this.knownDescription)
    else if (!this.hasRows) this.stream.out.begin('n').end()
  }

  private writeKnownDescription({ frame, fields }: KnownDescription): void {
    if (this.hasRows) return
    this.columns = fields
    this.stream.out.bytes(frame)
  }

  /** What the client has been told, to be used as a known description the next time. */
  asKnownDescription(): KnownDescription | undefined {
    if (this.columns === undefined || !this.wantsDescription) return undefined
    if (this.knownDescription !== undefined) return this.knownDescription
    const writer = new MessageWriter()
    writeRowDescription(writer, this.columns)
    return { frame: writer.take(), fields: this.columns }
  }

  row(buffer: Buffer, start: number, end: number): boolean {
    if (this.isOtherThanPromised) return true
    if (this.knownDescription !== undefined) this.writeKnownDescription(this.knownDescription)
    this.touched = true
    if (this.rowsLeft >= 0) {
      if (this.rowsLeft === 0) {
        this.held.push(Buffer.from(buffer.subarray(start, end)))
        return true
      }
      this.rowsLeft--
    }
    this.stream.out.frame(Backend.dataRow, buffer, start, end)
    this.stream.scheduleFlush()
    return this.stream.out.size < 65536 || !this.stream.isCongested
  }

  notice(fields: SqlErrorFields): void {
    writeErrorFields(this.stream.out, 'N', fields)
    this.stream.scheduleFlush()
  }

  parameterStatus(name: string, value: string): void {
    this.session.reportParameter(name, value)
  }

  copyOut(payload: Buffer): void {
    if (this.touched) return
    this.touched = true
    this.stream.out.frame(Backend.copyOutResponse, payload, 0, payload.length)
  }

  copyData(buffer: Buffer, start: number, end: number): boolean {
    this.stream.out.frame(Backend.copyData, buffer, start, end)
    this.stream.scheduleFlush()
    return this.stream.out.size < 65536 || !this.stream.isCongested
  }

  /** The session ends a COPY, once all servers have. */
  copyDone(): void {}

  whenDrained(resume: () => void): void {
    this.stream.whenDrained(resume)
  }
}
