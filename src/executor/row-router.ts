/** Rows in COPY's text format, each sent to the servers that hold its bucket. */
import { settleAll } from '../base/settle-all.ts'
import { SqlError } from '../base/errors.ts'
import { qualified, quoteIdent } from '../base/quote.ts'
import { bucketOfNull, bucketOfText } from '../catalog/bucket-hash.ts'
import type { ServerAddress } from '../catalog/server-address.ts'
import type { Relation } from '../catalog/snapshot.ts'
import type { ExecutionContext } from './context.ts'
import { serverById } from './context.ts'
import { lockEverywhere } from './insert.ts'
import { bucketOf } from './key-bucket.ts'
import { copyField, decodeCopyField } from './copy-format.ts'
import { NullSink } from './result-sink.ts'
import { storedText } from './stored-key.ts'
import { explainFailure, noteUse, requestFor } from './run-on-server.ts'
import type { CopyInput, StatementEnd } from './statement-exchange.ts'
import { endCopy, failCopy, sendCopyData, startCopyIn } from './statement-exchange.ts'
import { noArguments } from './context.ts'
import { tagCount } from './tags.ts'
import { timeFor, timeSetting } from './transaction-time.ts'

interface Input {
  readonly input: CopyInput
  readonly explain: (failure: unknown) => Promise<unknown>
  rows: number
}

export class RowRouter {
  /** Rows that the servers took, once it has finished. */
  count = 0
  /** Lines sent so far. */
  lines = 0
  readonly sink: NullSink
  private readonly relation: Relation
  private readonly columns: readonly string[]
  private readonly markers: readonly string[]
  private readonly context: ExecutionContext
  private readonly keyColumn: number
  private readonly inputs = new Map<number, Input>()
  private readonly owners: readonly number[]
  private readonly keyTypeText: string
  /** Lines whose key is spelled so that only PostgreSQL should read it. */
  private odd: { readonly line: Buffer; readonly key: string; readonly number: number }[] = []

  constructor(relation: Relation, columns: readonly string[], markers: readonly string[], context: ExecutionContext) {
    this.relation = relation
    this.columns = columns
    this.markers = markers
    this.context = context
    this.keyColumn = relation.table?.keyColumn === undefined ? -1 : columns.indexOf(relation.table.keyColumn)
    this.keyTypeText = relation.columns.find((column) => column.name === relation.table?.keyColumn)?.baseType ?? ''
    this.owners = context.snapshot.groups.get(relation.table?.group ?? 0)?.owners ?? []
    this.sink = new RouterSink(this)
  }

  /** Starts COPY on every server that may get rows. Inside a transaction. */
  async open(): Promise<void> {
    const { table } = this.relation
    const { context } = this
    const servers: ServerAddress[] =
      table?.kind === 'reference'
        ? [context.catalog, ...context.snapshot.shards]
        : table?.kind === 'single'
          ? [serverById(context, table.shard ?? 0)]
          : [...new Set(this.owners)].map((id) => serverById(context, id))
    const text = `COPY ${qualified(this.relation.schema, this.relation.name)} (${this.columns.map(quoteIdent).join(', ')}) FROM STDIN`
    if (table?.kind === 'reference') await lockEverywhere(qualified(this.relation.schema, this.relation.name), context)
    // Now: a server that takes rows cannot be asked for the time.
    if (context.snapshot.timeTriggers) await timeFor(servers, context)
    await settleAll(servers.map((server) => this.openOn(server, text)))
  }

  private async openOn(server: ServerAddress, text: string): Promise<void> {
    const setting = await timeSetting(server, this.context)
    const leased = await this.context.transaction.lease(server)
    const lease = { ...leased, prelude: [...leased.prelude, ...setting] }
    const statement = { text, markers: server.id === 0 ? [] : this.markers, writes: true }
    const explain = (failure: unknown) => explainFailure(failure, server, statement, lease, this.context)
    try {
      const input = await startCopyIn(lease.connection, requestFor(statement, noArguments, lease, undefined, this.context), new NullSink())
      this.inputs.set(server.id, { input, explain, rows: 0 })
      input.done.catch(() => undefined)
    } catch (failure) {
      throw await explain(failure)
    } finally {
      noteUse(lease, statement, this.context)
    }
  }

  /** One line with its newline, [start, end). False when a server has too much unsent. */
  send(buffer: Buffer, start: number, end: number): boolean {
    this.lines++
    if (this.relation.table?.kind !== 'distributed') {
      let flows = true
      for (const target of this.inputs.values()) flows = sendRow(target, buffer, start, end) && flows
      return flows
    }
    const line = buffer.subarray(start, end - 1)
    const key = this.keyColumn < 0 ? undefined : decodeCopyField(copyField(line, this.keyColumn))
    const bucket = this.bucketOf(key)
    if (bucket !== undefined) return this.sendTo(bucket, buffer, start, end)
    this.odd.push({ line: Buffer.from(buffer.subarray(start, end)), key: key ?? '', number: this.lines })
    return false
  }

  private sendTo(bucket: number, buffer: Buffer, start: number, end: number): boolean {
    const target = this.inputs.get(this.owners[bucket] ?? 0)
    if (target === undefined) throw new SqlError('XX000', 'no server for this row')
    return sendRow(target, buffer, start, end)
  }

  private bucketOf(key: string | undefined): number | undefined {
    const type = this.relation.table?.keyType
    if (type === undefined || key === undefined) return bucketOfNull
    return bucketOfText(type, storedText(key, this.keyTypeText), this.owners.length)
  }

  /** The catalog reads the keys that were not read here, and its error is the client's. */
  private async sendOdd(): Promise<void> {
    const type = this.relation.table?.keyType
    for (const { line, key, number } of this.odd.splice(0)) {
      const source = { kind: 'constant', text: storedText(key, this.keyTypeText) } as const
      const bucket = type === undefined ? bucketOfNull : await bucketOf(source, type, this.owners.length, noArguments, this.context).catch((error: unknown) => {
        throw error instanceof SqlError ? this.atLine(error, number, key) : error
      })
      this.sendTo(bucket, line, 0, line.length)
    }
  }

  private atLine({ code, message, fields }: SqlError, line: number, key: string): SqlError {
    return new SqlError(code, message, { ...fields, where: `COPY ${this.relation.name}, line ${line}, column ${this.columns[this.keyColumn]}: "${key}"` })
  }

  async drained(): Promise<void> {
    await this.sendOdd()
    await settleAll([...this.inputs.values()].map(({ input }) => input.connection.drained()))
  }

  private async end(input: CopyInput): Promise<StatementEnd> {
    const { onPart, clock } = this.context
    const began = onPart === undefined ? 0 : clock.ticks()
    const end = await endCopy(input)
    onPart?.({ server: input.connection.server.name, text: `COPY ${this.relation.name} FROM STDIN`, rows: tagCount(end), milliseconds: clock.ticks() - began })
    return end
  }

  async finish(): Promise<void> {
    try {
      await this.sendOdd()
    } catch (error) {
      await this.abort()
      throw error
    }
    const ends = await Promise.allSettled([...this.inputs.values()].map((target) => this.end(target.input)))
    const failed = ends.findIndex((end) => end.status === 'rejected')
    if (failed < 0) {
      const counts = ends.map((end) => (end.status === 'fulfilled' ? tagCount(end.value) : 0))
      // Each copy of a reference table took the same rows.
      this.count = this.relation.table?.kind === 'reference' ? (counts[0] ?? 0) : counts.reduce((sum, one) => sum + one, 0)
      return
    }
    const { explain, rows } = [...this.inputs.values()][failed] as Input
    const error = await explain((ends[failed] as PromiseRejectedResult).reason)
    throw error instanceof SqlError && rows < this.lines ? withoutLine(error) : error
  }

  async abort(reason = 'the source failed'): Promise<void> {
    await Promise.allSettled([...this.inputs.values()].map(({ input }) => failCopy(input, reason)))
  }
}

function sendRow(target: Input, buffer: Buffer, start: number, end: number): boolean {
  target.rows++
  sendCopyData(target.input, buffer, start, end)
  return !target.input.connection.isCongested
}

/** A server counts the lines that it got itself: which lines of the client's these are is not known. */
function withoutLine({ code, message, fields }: SqlError): SqlError {
  return new SqlError(code, message, { ...fields, where: fields.where?.replace(/^(COPY .*), line \d+/, '$1') })
}

class RouterSink extends NullSink {
  private readonly router: RowRouter

  constructor(router: RowRouter) {
    super()
    this.router = router
  }

  override copyData(buffer: Buffer, start: number, end: number): boolean {
    return this.router.send(buffer, start, end)
  }

  override whenDrained(resume: () => void): void {
    void this.router.drained().then(resume)
  }
}
