/**
 * Merges the ordered rows of several shards into one stream, as they come.
 *
 * A *stream* is one shard's rows: a short queue, behind which the shard is not read. While every stream that has not ended has a row,
 * the first of them goes to the client; when the client is slow, nothing does, the queues fill, and the shards wait. So any number
 * of rows needs the same memory. Without an order a row goes on as it comes.
 */
import { SqlError } from '../base/errors.ts'
import { limits } from '../base/limits.ts'
import { settleAll } from '../base/settle-all.ts'
import type { MergeKey, MergePlan, RowCount } from '../planner/plan.ts'
import { formatOf } from '../protocol/frontend-reader.ts'
import type { FieldDescription } from '../protocol/row-description.ts'
import type { SortValue } from './compare-values.ts'
import { compareKeys, readSortValue } from './compare-values.ts'
import type { Arguments, ExecutionContext } from './context.ts'
import { shardsFor } from './key-bucket.ts'
import { openReads } from './open-reads.ts'
import type { ResultSink } from './result-sink.ts'
import { NullSink } from './result-sink.ts'
import { withoutMoves } from './moved-rows.ts'
import { timedText, withTransaction } from './scatter.ts'
import type { StatementEnd } from './statement-exchange.ts'

export async function executeMerge(plan: MergePlan, args: Arguments, sink: ResultSink, context: ExecutionContext): Promise<StatementEnd> {
  const offset = rowsOf(plan.offset, args, '2201X', 'OFFSET') ?? 0
  const limit = rowsOf(plan.limit, args, '2201W', 'LIMIT') ?? Infinity
  const shards = await shardsFor(plan, args, context)
  const text = await timedText(plan.text, shards, context)
  const formats = Array.from({ length: plan.columns }, (_, i) => formatOf(args.bind.resultFormats, i))
  const bind = { ...args.bind, resultFormats: [...formats, ...plan.order.map(() => 1)] }
  const merger = new Merger({ ...plan, shards: shards.length, offset, limit, sink })
  const statement = { text, markers: plan.markers, writes: false, locks: plan.locks }
  const read = await openReads(statement, shards, { ...args, bind }, context)
  const run = async (shard: number, stream: Stream) => {
    try {
      await read(shard, stream)
      stream.end()
    } catch (error) {
      merger.abandon()
      throw error
    }
  }
  const all = async () => {
    await settleAll(shards.map((shard, i) => run(shard, merger.streams[i] as Stream)))
    await merger.finished
  }
  if (plan.locks) await withTransaction(context, () => withoutMoves(shards, plan.markers, context, all))
  else await all()
  if (merger.disorder) throw new SqlError('XX000', 'a shard sorts otherwise than its catalog says', { hint: 'All servers need the same collations.' })
  return { kind: 'complete', tag: `SELECT ${merger.sent}` }
}

/** NULL is no limit. */
function rowsOf(count: RowCount | undefined, args: Arguments, code: string, name: string): number | undefined {
  if (count === undefined) return undefined
  if (count.kind === 'constant') return count.rows
  const value = args.bind.values[count.number - 1]
  if (value === undefined) return undefined
  const isBinary = formatOf(args.bind.parameterFormats, count.number - 1) === 1
  const rows = !isBinary ? readInteger(value.toString()) : value.length === 8 ? Number(value.readBigInt64BE(0)) : value.readIntBE(0, value.length)
  if (rows < 0) throw new SqlError(code, `${name} must not be negative`)
  return rows
}

/** All spellings that PostgreSQL knows. A number too large for a double to hold exactly is no limit in any case. */
function readInteger(text: string): number {
  const [, sign, digits = ''] = /^\s*([-+]?)([0-9a-z_]+)\s*$/i.exec(text) ?? []
  const size = Number(digits.replaceAll('_', ''))
  if (digits === '' || Number.isNaN(size)) throw new SqlError('22P02', `invalid input syntax for type bigint: "${text}"`)
  return sign === '-' ? -size : size
}

/** Rows that have gone may stay in a queue up to here, so that not each moves all behind it. */
const takenRowsMax = 1024

/** Rows are kept in blocks of this size: a buffer of its own for each would cost more than its bytes. */
const blockBytes = 64 * 1024

interface Row {
  /** What the row is in, with others. */
  readonly block: Buffer
  readonly start: number
  /** Where the answer's own columns end. */
  readonly end: number
  readonly size: number
  readonly keys: readonly SortValue[]
}

export interface MergeOptions {
  /** The columns of the answer; those behind them are the order's. */
  readonly columns: number
  readonly order: readonly MergeKey[]
  readonly shards: number
  readonly offset: number
  readonly limit: number
  readonly sink: ResultSink
  /** Rows that are locked may have changed since they were put in order, as in PostgreSQL. */
  readonly locks?: boolean
}

export class Merger {
  readonly streams: readonly Stream[]
  readonly finished: Promise<void>
  readonly order: readonly MergeKey[]
  readonly columns: number
  sent = 0
  /** A stream's rows did not come in the order that they are merged by. */
  disorder = false
  readonly mayBeUnordered: boolean
  private readonly sink: ResultSink
  private readonly limit: number
  private offset: number
  private finish: () => void = () => undefined
  private described = false
  private blocked = false
  private over = false
  /** Streams with rows, by their first row. */
  private heads: Stream[] = []

  constructor({ columns, order, shards, offset, limit, sink, locks = false }: MergeOptions) {
    this.mayBeUnordered = locks
    this.order = order
    this.columns = columns
    this.sink = sink
    this.offset = offset
    this.limit = limit
    this.streams = Array.from({ length: shards }, () => new Stream(this))
    this.finished = new Promise((resolve) => (this.finish = resolve))
  }

  fields(fields: readonly FieldDescription[]): void {
    if (this.described) return
    this.described = true
    this.sink.fields(fields.slice(0, this.columns))
  }

  notice(fields: Parameters<ResultSink['notice']>[0]): void {
    this.sink.notice(fields)
  }

  /** True once no more rows are wanted. */
  get isOver(): boolean {
    return this.over
  }

  /** Something failed: what still comes is dropped, so that every shard ends. */
  abandon(): void {
    this.over = true
    this.advance()
  }

  /** The stream has a first row (again). */
  insert(stream: Stream): void {
    const head = stream.first as Row
    let [low, high] = [0, this.heads.length]
    while (low < high) {
      const middle = (low + high) >> 1
      const { first } = this.heads[middle] as Stream
      if (first !== undefined && compareKeys(this.order, first.keys, head.keys) < 0) low = middle + 1
      else high = middle
    }
    this.heads.splice(low, 0, stream)
  }

  advance(): void {
    // Before a server has begun to answer it may still find that the tables were moved; then nothing must have gone out.
    if (!this.over && this.streams.some((stream) => (this.order.length > 0 ? !stream.isReady : !stream.hasBegun))) return
    while (!this.blocked && !this.over && this.heads.length > 0) {
      const [stream, next] = this.heads as [Stream, Stream | undefined]
      const row = stream.shift()
      const { first } = stream
      // Most often the same stream goes on.
      if (first === undefined || (next?.first !== undefined && compareKeys(this.order, next.first.keys, first.keys) < 0)) {
        this.heads.shift()
        if (first !== undefined) this.insert(stream)
      }
      this.send(row)
      if (this.order.length > 0 && !stream.isReady) break
    }
    if (this.over) for (const stream of this.streams) stream.drop()
    if (!this.blocked && this.streams.every((stream) => stream.hasEnded && stream.first === undefined)) this.finish()
  }

  private send(row: Row): void {
    if (this.offset > 0) {
      this.offset--
      return
    }
    if (this.sent >= this.limit) {
      this.over = true
      return
    }
    this.sent++
    row.block.writeInt16BE(this.columns, row.start)
    if (this.sink.row(row.block, row.start, row.end)) return
    this.blocked = true
    this.sink.whenDrained(() => {
      this.blocked = false
      this.advance()
    })
  }
}

export class Stream extends NullSink {
  private readonly merger: Merger
  private queue: Row[] = []
  private next = 0
  private bytes = 0
  private last: Row | undefined
  private resume: (() => void) | undefined
  private block = Buffer.alloc(0)
  private used = 0
  hasBegun = false
  hasEnded = false

  constructor(merger: Merger) {
    super()
    this.merger = merger
  }

  bound(): void {
    if (this.hasBegun) return
    this.hasBegun = true
    this.merger.advance()
  }

  get first(): Row | undefined {
    return this.queue[this.next]
  }

  get isReady(): boolean {
    return this.hasEnded || this.first !== undefined
  }

  override fields(fields: readonly FieldDescription[]): void {
    this.merger.fields(fields)
  }

  override notice(fields: Parameters<ResultSink['notice']>[0]): void {
    this.merger.notice(fields)
  }

  override row(buffer: Buffer, start: number, end: number): boolean {
    const { merger } = this
    if (merger.isOver) return true
    const row = this.copy(buffer, start, end)
    if (!merger.mayBeUnordered && this.last !== undefined && compareKeys(merger.order, this.last.keys, row.keys) > 0) {
      merger.disorder = true
      merger.abandon()
      return true
    }
    this.last = row
    this.hasBegun = true
    const wasEmpty = this.first === undefined
    this.queue.push(row)
    this.bytes += row.size
    if (wasEmpty) {
      merger.insert(this)
      merger.advance()
    }
    return this.bytes < limits.mergeQueueBytesMax
  }

  override whenDrained(resume: () => void): void {
    if (this.bytes < limits.mergeQueueBytesMax) resume()
    else this.resume = resume
  }

  end(): void {
    this.hasEnded = true
    this.hasBegun = true
    this.merger.advance()
  }

  shift(): Row {
    const row = this.queue[this.next++] as Row
    this.bytes -= row.size
    if (this.next === this.queue.length) this.reset()
    else if (this.next >= takenRowsMax) {
      this.queue = this.queue.slice(this.next)
      this.next = 0
    }
    this.goOn()
    return row
  }

  drop(): void {
    this.reset()
    this.bytes = 0
    this.goOn()
  }

  private copy(buffer: Buffer, start: number, end: number): Row {
    const size = end - start
    if (this.used + size > this.block.length) {
      this.block = Buffer.allocUnsafe(Math.max(blockBytes, size))
      this.used = 0
    }
    const { block, used, merger } = this
    buffer.copy(block, used, start, end)
    this.used += size
    const keys: SortValue[] = []
    let at = used + 2
    let ownEnd = used + size
    const columns = merger.columns + merger.order.length
    for (let i = 0; i < columns; i++) {
      if (i === merger.columns) ownEnd = at
      const length = block.readInt32BE(at)
      at += 4
      const key = merger.order[i - merger.columns]
      if (key !== undefined) keys.push(length < 0 ? undefined : readSortValue(key.type, block, at, at + length))
      if (length > 0) at += length
    }
    return { block, start: used, end: ownEnd, size, keys }
  }

  private reset(): void {
    this.queue = []
    this.next = 0
  }

  private goOn(): void {
    if (this.resume === undefined || this.bytes > limits.mergeQueueBytesMax / 2) return
    const { resume } = this
    this.resume = undefined
    // The caller is in the middle of a row.
    setImmediate(resume)
  }
}
