/**
 * A point read on a connection that other sessions use at the same moment (transaction/lanes.ts).
 *
 * This is the path of most statements of most applications, so it does without what others need: no prelude, no lease, no
 * promise for each step. Its end is told by one call.
 *
 * What fails here, perhaps through no fault of its own (the connection breaks, another client's cancel request hits it, a statement
 * that it relied on could not be prepared), runs again on a connection of its own: it only reads, and nothing of its answer
 * has gone out, since all of it goes out at its end. So does what has waited for its turn too long.
 */
import type { SqlErrorFields } from '../base/errors.ts'
import { SqlError } from '../base/errors.ts'
import type { OneShardPlan } from '../planner/plan.ts'
import { renderLeafText } from '../planner/plan.ts'
import { readErrorFields } from '../protocol/error-fields.ts'
import { readServerError } from '../shard/server-error.ts'
import type { MessageWriter } from '../protocol/message-writer.ts'
import { Backend } from '../protocol/message-types.ts'
import type { FieldDescription } from '../protocol/row-description.ts'
import { hasSameColumns, readRowDescription } from '../protocol/row-description.ts'
import type { Connection, PreparedOnServer } from '../shard/connection.ts'
import type { Exchange } from '../shard/exchange.ts'
import { ensurePrepared, forgetStatement, isOutdatedStatement, statementKey, writeBind, writeDescribe, writeExecute, writeParse, writeSync } from '../shard/requests.ts'
import type { SharedUse } from '../transaction/transaction.ts'
import type { Arguments, ExecutionContext } from './context.ts'
import { noArguments, serverById } from './context.ts'
import { bucketAtOnce } from './key-bucket.ts'
import type { ResultSink } from './result-sink.ts'
import { timeoutsShown } from '../shard/timeouts.ts'
import { explainFailure, typesOnShards } from './run-on-server.ts'
import type { Translate } from './shell-names.ts'
import type { StatementEnd } from './statement-exchange.ts'
import { StatementFailure } from './statement-exchange.ts'

/** How a point read ended: with a command tag, or (undefined) to be run on a connection of its own, or with what to throw. */
export interface PointReadEnd {
  (tag: string | undefined, failure?: Promise<unknown>): void
}

/** False when it cannot be a point read on a shared connection now; then nothing has been sent. */
export function startPointRead(plan: OneShardPlan, args: Arguments, sink: ResultSink, context: ExecutionContext, onEnd: PointReadEnd): boolean {
  const { route } = plan
  if (!plan.isPointRead || plan.markers.length > 0 || route.kind !== 'bucket' || context.transaction.active || context.replicas !== undefined || args.rowsMax > 0 || sink.isCongested) return false
  if (timeoutsShown(context.text, context.transaction.timeouts) !== undefined) return false
  const owners = context.snapshot.groups.get(route.group)?.owners ?? []
  const bucket = bucketAtOnce(route.key, route.keyType, owners.length, args)
  if (bucket === undefined) return false
  const server = serverById(context, owners[bucket] ?? 0)
  const translate = context.names.translation(server, context.snapshot)
  const connection = translate === undefined ? undefined : context.laneGroup(server).take()
  if (connection === undefined || translate === undefined) return false
  const exchange = new PointRead(connection, rendered(plan, bucket, args, context), args, sink, translate, context, onEnd)
  context.transaction.sharedUse = exchange
  connection.send(exchange, exchange)
  return true
}

/** The same for who waits by a promise. Undefined, at once or in the end: run it on a connection of its own. */
export function executePointRead(plan: OneShardPlan, args: Arguments, sink: ResultSink, context: ExecutionContext): Promise<StatementEnd | undefined> | undefined {
  let started = false
  const end = new Promise<StatementEnd | undefined>((resolve, reject) => {
    started = startPointRead(plan, args, sink, context, (tag, failure) => {
      if (failure !== undefined) failure.then(reject, reject)
      else resolve(tag === undefined ? undefined : { kind: 'complete', tag })
    })
  })
  return started ? end : undefined
}

interface Rendered {
  readonly text: string
  readonly given: readonly number[]
  readonly version: number
  readonly types: readonly number[]
  /** Of the statement among those prepared on a connection. */
  readonly key: string
}

/** By bucket. Building a text and its key costs more than all else that is done for a point read here. */
const texts = new WeakMap<OneShardPlan, (Rendered | undefined)[]>()

function rendered(plan: OneShardPlan, bucket: number, args: Arguments, context: ExecutionContext): Rendered {
  const { version } = context.snapshot
  const ofPlan = texts.get(plan) ?? []
  const known = ofPlan[bucket]
  if (known !== undefined && known.given === args.types && known.version === version) return known
  const text = renderLeafText(plan.text, bucket)
  const types = typesOnShards(args.types)
  const made = { text, given: args.types, version, types, key: statementKey(version, text, types) }
  ofPlan[bucket] = made
  texts.set(plan, ofPlan)
  return made
}

class PointRead implements Exchange, SharedUse {
  private readonly connection: Connection
  private readonly statement: Rendered
  private readonly args: Arguments
  private readonly sink: ResultSink
  private readonly translate: Translate
  private readonly context: ExecutionContext
  private readonly onEnd: PointReadEnd
  private prepared: PreparedOnServer | undefined
  private newName: string | undefined
  private fields: readonly FieldDescription[] | undefined
  private row: Buffer | undefined
  private notices: SqlErrorFields[] | undefined
  private error: SqlError | undefined
  private isCancelled = false
  /** Nobody waits for the answer any more. */
  private isLeft = false
  private tag = ''

  constructor(connection: Connection, statement: Rendered, args: Arguments, sink: ResultSink, translate: Translate, context: ExecutionContext, onEnd: PointReadEnd) {
    this.connection = connection
    this.statement = statement
    this.args = args
    this.sink = sink
    this.translate = translate
    this.context = context
    this.onEnd = onEnd
  }

  write(writer: MessageWriter): void {
    const { statement, args, connection } = this
    if (args === noArguments) {
      writer.begin('Q').cstring(statement.text).end()
      return
    }
    let name = ''
    if (args.keep) {
      const { prepared, isNew } = ensurePrepared(writer, connection, statement.key, statement.text, statement.types)
      this.prepared = prepared
      name = prepared.name
      if (isNew) this.newName = name
    } else writeParse(writer, '', statement.text, statement.types)
    writeBind(writer, '', name, args.bind)
    if (args.isDescribed !== true || this.prepared?.columns === undefined) writeDescribe(writer, 'P', '')
    writeExecute(writer, '')
    writeSync(writer)
  }

  onFrame(type: number, buffer: Buffer, start: number, end: number): void {
    if (type === Backend.dataRow) this.row = Buffer.from(buffer.subarray(start, end))
    else if (type === Backend.commandComplete) this.tag = buffer.toString('latin1', start, end - 1)
    else if (type === Backend.parseComplete) this.newName = undefined
    else if (type === Backend.rowDescription) {
      this.fields = this.translate(readRowDescription(buffer, start))
      if (this.prepared !== undefined) this.prepared.columns = this.fields
    } else if (type === Backend.errorResponse) this.error ??= readServerError(buffer, start, end)
    else if (type === Backend.noticeResponse) (this.notices ??= []).push(readErrorFields(buffer, start, end))
  }

  onReady(): void {
    this.end(this.error)
  }

  /** With its tag the answer is whole, whatever became of the connection then. */
  onLost(error: SqlError): void {
    this.end(this.error ?? (this.tag === '' ? error : undefined))
  }

  cancel(): void {
    if (this.connection.isAtWorkOn(this)) {
      this.isCancelled = true
      void this.connection.cancel()
    } else this.leaveWith(new SqlError(queryCanceled, 'canceling statement due to user request'))
  }

  leave(): void {
    this.leaveWith(undefined)
  }

  private leaveWith(error: SqlError | undefined): void {
    if (this.isLeft) return
    this.isLeft = true
    this.context.transaction.sharedUse = undefined
    this.onEnd(undefined, error === undefined ? undefined : Promise.resolve(error))
  }

  private end(error: SqlError | undefined): void {
    if (error !== undefined && this.prepared !== undefined && (this.newName !== undefined || isOutdatedStatement(error))) forgetStatement(this.connection, this.prepared.name)
    if (this.isLeft) return
    this.context.transaction.sharedUse = undefined
    if (error !== undefined) this.fail(error)
    else if (this.isAsPromised()) this.give()
    else this.context.refreshSchema().then(() => this.onEnd(undefined), (failure: unknown) => this.onEnd(undefined, Promise.resolve(failure)))
  }

  /** By what the server said when it prepared the statement: a schema that has changed since may not be known here yet. */
  private isAsPromised(): boolean {
    const { promised } = this.args
    const columns = this.prepared?.columns
    return promised === undefined || columns === undefined || hasSameColumns(columns, promised)
  }

  /** All of the answer at once, so that what has to run again has told the client nothing. */
  private give(): void {
    const { sink, row } = this
    sink.bound?.()
    for (const notice of this.notices ?? []) sink.notice(notice)
    if (this.fields !== undefined && this.args.isDescribed !== true) sink.fields(this.fields)
    // One row at most: the connection is read on whether the client takes it or not, since it serves others too.
    if (row !== undefined) sink.row(row, 0, row.length)
    this.onEnd(this.tag)
  }

  private fail(error: SqlError): void {
    const { connection, statement, context } = this
    // Whatever else it is: by the usual way the statement either succeeds, or fails with all that is to be told.
    if (!this.isCancelled || error.code !== queryCanceled) return this.onEnd(undefined)
    const served = { text: statement.text, markers: [], writes: false, namesLeaves: true }
    const lease = { connection, prelude: [], participant: undefined }
    this.onEnd(undefined, explainFailure(new StatementFailure(error, false, false), connection.server, served, lease, context))
  }
}

const queryCanceled = '57014'
