import type { SqlErrorFields } from '../base/errors.ts'
import type { ResultSink } from '../executor/result-sink.ts'
import { writeErrorFields } from '../protocol/error-fields.ts'
import { Backend } from '../protocol/message-types.ts'
import type { FieldDescription } from '../protocol/row-description.ts'
import { writeRowDescription } from '../protocol/row-description.ts'
import type { ClientStream } from './client-stream.ts'

/** The rows of one statement on their way to the client. */
export class ClientSink implements ResultSink {
  /** Something of this statement's answer has gone out. */
  touched = false
  private described = false
  private readonly stream: ClientStream
  private readonly wantsDescription: boolean
  private readonly onParameter: (name: string, value: string) => void

  constructor(stream: ClientStream, wantsDescription: boolean, onParameter: (name: string, value: string) => void) {
    this.stream = stream
    this.wantsDescription = wantsDescription
    this.onParameter = onParameter
  }

  get isCongested(): boolean {
    return this.stream.isCongested
  }

  fields(fields: readonly FieldDescription[]): void {
    if (!this.wantsDescription || this.described) return
    this.described = true
    writeRowDescription(this.stream.out, fields)
    this.stream.scheduleFlush()
  }

  /** True when the statement has been described as having rows. */
  get isDescribed(): boolean {
    return this.described
  }

  row(buffer: Buffer, start: number, end: number): boolean {
    this.touched = true
    this.stream.out.frame(Backend.dataRow, buffer, start, end)
    this.stream.scheduleFlush()
    return this.stream.out.size < 65536 || !this.stream.isCongested
  }

  notice(fields: SqlErrorFields): void {
    writeErrorFields(this.stream.out, 'N', fields)
    this.stream.scheduleFlush()
  }

  parameterStatus(name: string, value: string): void {
    this.onParameter(name, value)
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
