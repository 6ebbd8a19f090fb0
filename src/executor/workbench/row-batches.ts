/**
 * Lines of a COPY from the catalog, collected into batches that go to other servers; one batch at a time, so that memory is bounded.
 * What is written on the catalog too waits for the end: its connection cannot give rows and take them at once.
 */
import { limits } from '../../base/limits.ts'
import { decodeCopyLine } from '../copy-format.ts'
import { NullSink } from '../result-sink.ts'

export interface Batch<Row> {
  readonly key: string
  readonly rows: Row[]
}

export class BatchSink<Row> extends NullSink {
  private readonly batches = new Map<string, Batch<Row> & { bytes: number }>()
  private readonly rowsMax: number
  private readonly place: (values: readonly (string | undefined)[]) => { key: string; row: Row } | undefined
  private readonly flush: (batch: Batch<Row>) => Promise<void>
  private readonly isOnCatalog: boolean
  private readonly waiting: Batch<Row>[] = []
  private last: Promise<void> = Promise.resolve()
  private failure: unknown

  /** `place` says which batch a line belongs to, undefined for none. */
  constructor(rowsMax: number, place: (values: readonly (string | undefined)[]) => { key: string; row: Row } | undefined, flush: (batch: Batch<Row>) => Promise<void>, isOnCatalog: boolean) {
    super()
    this.isOnCatalog = isOnCatalog
    this.rowsMax = rowsMax
    this.place = place
    this.flush = flush
  }

  override copyData(buffer: Buffer, start: number, end: number): boolean {
    if (this.failure !== undefined) return true
    const placed = this.place(decodeCopyLine(buffer.subarray(start, end - 1)))
    if (placed === undefined) return true
    const batch = this.batches.get(placed.key) ?? { key: placed.key, rows: [], bytes: 0 }
    this.batches.set(placed.key, batch)
    batch.rows.push(placed.row)
    batch.bytes += end - start
    if (batch.rows.length < this.rowsMax && batch.bytes < limits.insertBatchBytesMax) return true
    this.batches.delete(placed.key)
    if (this.isOnCatalog) {
      this.waiting.push(batch)
      return true
    }
    this.send(batch)
    return false
  }

  override whenDrained(resume: () => void): void {
    void this.last.then(resume)
  }

  /** Sends what is left, and throws the first error of any batch. */
  async finish(): Promise<void> {
    for (const batch of [...this.waiting, ...this.batches.values()]) this.send(batch)
    await this.last
    if (this.failure !== undefined) throw this.failure
  }

  private send(batch: Batch<Row>): void {
    this.last = this.last.then(async () => {
      if (this.failure === undefined) await this.flush(batch).catch((error: unknown) => (this.failure ??= error))
    })
  }
}
