/**
 * Rows of several servers that wait until each of the servers has begun to answer: then it has passed its markers, and none can find any more that
 * the tables were moved. Until then nothing of the answer has gone to the client, and the statement can be planned again.
 */
import { limits } from '../base/limits.ts'
import type { FieldDescription } from '../protocol/row-description.ts'
import type { ResultSink } from './result-sink.ts'
import { NullSink } from './result-sink.ts'

export class HeldRows {
  readonly parts: readonly HeldPart[]
  private state: 'holding' | 'flowing' | 'abandoned' = 'holding'
  private readonly sink: ResultSink

  constructor(parts: number, sink: ResultSink) {
    this.sink = sink
    this.parts = Array.from({ length: parts }, () => new HeldPart(this, sink))
  }

  get isFlowing(): boolean {
    return this.state === 'flowing'
  }

  get isAbandoned(): boolean {
    return this.state === 'abandoned'
  }

  partHasBegun(): void {
    if (this.state !== 'holding' || this.parts.some((part) => !part.hasBegun)) return
    this.state = 'flowing'
    this.sink.bound?.()
    for (const part of this.parts) part.release()
  }

  /** A part has failed: what the others still send is dropped, so that they end. */
  abandon(): void {
    this.state = 'abandoned'
    for (const part of this.parts) part.release()
  }
}

class HeldPart extends NullSink {
  hasBegun = false
  private readonly all: HeldRows
  private readonly sink: ResultSink
  private described: readonly FieldDescription[] | undefined
  /** Rows, or the lines of a COPY. */
  private rows: Buffer[] = []
  private copyHead: Buffer | undefined
  private bytes = 0
  private resume: (() => void) | undefined

  constructor(all: HeldRows, sink: ResultSink) {
    super()
    this.all = all
    this.sink = sink
  }

  bound(): void {
    this.hasBegun = true
    this.all.partHasBegun()
  }

  override fields(fields: readonly FieldDescription[]): void {
    this.bound()
    if (this.all.isFlowing) this.sink.fields(fields)
    else this.described = fields
  }

  override row(buffer: Buffer, start: number, end: number): boolean {
    if (this.all.isFlowing) return this.sink.row(buffer, start, end)
    return this.keep(buffer, start, end)
  }

  override copyOut(payload: Buffer): void {
    this.copyHead = Buffer.from(payload)
    this.bound()
    if (this.all.isFlowing) this.sink.copyOut(payload)
  }

  override copyData(buffer: Buffer, start: number, end: number): boolean {
    if (this.all.isFlowing) return this.sink.copyData(buffer, start, end)
    return this.keep(buffer, start, end)
  }

  private keep(buffer: Buffer, start: number, end: number): boolean {
    if (this.all.isAbandoned) return true
    this.rows.push(Buffer.from(buffer.subarray(start, end)))
    this.bytes += end - start
    return this.bytes < limits.mergeQueueBytesMax
  }

  override notice(fields: Parameters<ResultSink['notice']>[0]): void {
    if (!this.all.isAbandoned) this.sink.notice(fields)
  }

  override whenDrained(resume: () => void): void {
    if (this.all.isFlowing) this.sink.whenDrained(resume)
    else if (this.all.isAbandoned) resume()
    else this.resume = resume
  }

  release(): void {
    const { described, copyHead, rows, resume } = this
    this.rows = []
    this.resume = undefined
    let flows = true
    if (this.all.isFlowing) {
      if (described !== undefined) this.sink.fields(described)
      if (copyHead !== undefined) this.sink.copyOut(copyHead)
      for (const row of rows) flows = copyHead === undefined ? this.sink.row(row, 0, row.length) : this.sink.copyData(row, 0, row.length)
    }
    if (resume !== undefined && (flows || this.all.isAbandoned)) resume()
    else if (resume !== undefined) this.sink.whenDrained(resume)
  }
}
