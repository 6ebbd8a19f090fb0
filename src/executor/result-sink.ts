import type { SqlErrorFields } from '../base/errors.ts'
import type { FieldDescription } from '../protocol/row-description.ts'

/**
 * Where the rows of a statement go: a client, another server, a list.
 *
 * Bytes in [start, end) are valid during the call only. `row` and `copyData` give false when the sink has too much unsent;
 * the caller then stops reading until `whenDrained` calls back.
 */
export interface ResultSink {
  /** Too much is unsent already. */
  readonly isCongested: boolean
  /** The statement has been read and its values taken: what fails from now on fails while it runs. */
  bound?(): void
  fields(fields: readonly FieldDescription[]): void
  row(buffer: Buffer, start: number, end: number): boolean
  notice(fields: SqlErrorFields): void
  parameterStatus(name: string, value: string): void
  /** CopyOutResponse, with its payload. */
  copyOut(payload: Buffer): void
  copyData(buffer: Buffer, start: number, end: number): boolean
  copyDone(): void
  whenDrained(resume: () => void): void
}

/** Ignores everything; a base for sinks that want little. */
export class NullSink implements ResultSink {
  readonly isCongested: boolean = false
  fields(_fields: readonly FieldDescription[]): void {}
  row(_buffer: Buffer, _start: number, _end: number): boolean {
    return true
  }
  notice(_fields: SqlErrorFields): void {}
  parameterStatus(_name: string, _value: string): void {}
  copyOut(_payload: Buffer): void {}
  copyData(_buffer: Buffer, _start: number, _end: number): boolean {
    return true
  }
  copyDone(): void {}
  whenDrained(resume: () => void): void {
    resume()
  }
}

/** Keeps rows, as copies of their DataRow payloads. */
export class RowsSink extends NullSink {
  readonly rows: Buffer[] = []
  description: readonly FieldDescription[] = []

  override fields(fields: readonly FieldDescription[]): void {
    this.description = fields
  }

  override row(buffer: Buffer, start: number, end: number): boolean {
    this.rows.push(Buffer.from(buffer.subarray(start, end)))
    return true
  }
}
