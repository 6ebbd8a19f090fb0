/**
 * COPY. Out: each shard's rows one after the other, or gathered where the format has a head. In: each line to the shard of
 * its key; whatever needs more than that (other formats, defaults, sequences) is read by the catalog and goes on from there.
 */
import type { SqlErrorFields } from '../../base/errors.ts'
import { asSqlError, refuse, SqlError } from '../../base/errors.ts'
import { qualified, quoteIdent } from '../../base/quote.ts'
import type { Relation } from '../../catalog/snapshot.ts'
import { markerName } from '../../catalog/snapshot.ts'
import type { ExecutionContext } from '../../executor/context.ts'
import { noArguments, serverById } from '../../executor/context.ts'
import { catalogParticipant, copyInto, gatherRows } from '../../executor/gather.ts'
import { copyRows, makeRowsTable } from '../../executor/insert.ts'
import { bucketOf } from '../../executor/key-bucket.ts'
import { RowRouter } from '../../executor/row-router.ts'
import { readAtOneMoment } from '../../executor/one-moment.ts'
import { isReadCommitted } from '../../executor/open-reads.ts'
import { runOnServer, StaleLayout, tablesMoved } from '../../executor/run-on-server.ts'
import { allAtOnce, withTransaction } from '../../executor/scatter.ts'
import { tagCount } from '../../executor/tags.ts'
import type { CopyInput, StatementEnd } from '../../executor/statement-exchange.ts'
import { endCopy, failCopy, sendCopyData, StatementFailure } from '../../executor/statement-exchange.ts'
import { catalogText, oneShardText, timeFor } from '../../executor/transaction-time.ts'
import { timeDefaults } from '../../planner/constant-default.ts'
import { planStatement } from '../../planner/plan-statement.ts'
import type { QueryPlan } from '../../planner/plan.ts'
import { rowsTable } from '../../planner/plan.ts'
import { resolveName } from '../../planner/resolve.ts'
import { renderTimedText } from '../../planner/rewrite.ts'
import { writeErrorFields } from '../../protocol/error-fields.ts'
import { Frontend } from '../../protocol/message-types.ts'
import { readQuery } from '../../protocol/frontend-reader.ts'
import type { AnyNode, CopyStmt } from '../../sql/ast.ts'
import { names } from '../../sql/ast.ts'
import type { Statement } from '../../sql/parse.ts'
import { parseStatements } from '../../sql/parse.ts'
import { findKeyword, nextToken, tokensWithDepth } from '../../sql/scanner.ts'
import { beginningAnew } from '../begin-anew.ts'
import type { ClientSink } from '../client-sink.ts'
import { checkGarbage } from '../client-stream.ts'
import type { Session } from '../session.ts'
import type { Handler } from './run-statement.ts'

export const runCopy: Handler = async (statement, _args, sink, session) => {
  if (statement.node.CopyStmt?.is_from !== true) return beginningAnew(sink, session, () => copyOnce(statement, sink, session))
  return copyOnce(statement, sink, session).catch(async (error: unknown) => {
    if (!(error instanceof StaleLayout)) throw error
    await session.services.store.refresh(session.database)
    throw tablesMoved() // what the client has sent is gone
  })
}

async function copyOnce(statement: Statement, sink: ClientSink, session: Session): Promise<StatementEnd> {
  const copy = statement.node.CopyStmt as CopyStmt
  if (copy.filename !== undefined || copy.is_program === true) {
    throw refuse('COPY with a file or program of the server is not supported', "Use psql's \\copy, or COPY FROM STDIN / TO STDOUT.")
  }
  const snapshot = await session.currentSnapshot()
  const context = session.executionContext(snapshot)
  let relation: Relation | undefined
  if (copy.relation !== undefined) {
    const resolved = resolveName(session.nameContext(snapshot, []), copy.relation.schemaname, copy.relation.relname ?? '')
    relation = resolved.kind === 'relation' ? resolved.relation : undefined
  }
  if (copy.is_from !== true) {
    const end = await copyOut(statement, copy, relation, sink, session, context)
    session.stream.out.begin('c').end()
    return end
  }
  if (session.transaction.readOnlyNow) throw new SqlError('25006', 'cannot execute COPY FROM in a read-only transaction')
  return withTransaction(context, () => copyIn(statement, copy, relation, session, context))
}

const tail = (statement: Statement, keyword: 'to' | 'from') => {
  const at = findKeyword(statement.source.raw, keyword)
  return statement.source.between(at?.start ?? 0, statement.source.length).replace(/;\s*$/, '')
}

async function copyOut(statement: Statement, copy: CopyStmt, relation: Relation | undefined, sink: ClientSink, session: Session, context: ExecutionContext): Promise<StatementEnd> {
  if (copy.relation !== undefined && relation?.table === undefined) {
    return runOnServer(session.services.catalog, { text: statement.source.text, markers: [], writes: false }, noArguments, sink, context)
  }
  if (relation !== undefined) checkColumns(relation, columnsOf(relation, copy))
  const text = relation === undefined ? innerQuery(statement) : selectOf(relation, copy)
  const [query] = parseStatements(text)
  if (query?.node.SelectStmt === undefined) throw refuse('COPY of a statement that changes data is not supported across shards')
  const options = tail(statement, 'to')
  // COPY of one server has no portal whose snapshot could be opened with those of the others.
  const isPortalNeeded = context.consistency !== 'shard' && isReadCommitted(context)
  const plain = relation?.table?.kind === 'distributed' && !hasHead(copy) && !isPortalNeeded
  const names = session.nameContext(context.snapshot, [])
  const { plan } = planStatement(query, names, plain ? 'anywhere' : 'one-server')
  return readAtOneMoment(plan, noArguments, context, () => copyPlanned(plan, text, options, sink, session, context))
}

async function copyPlanned(plan: QueryPlan, text: string, options: string, sink: ClientSink, session: Session, context: ExecutionContext): Promise<StatementEnd> {
  const wrap = (sql: string) => `COPY (${sql.trim()}) ${options}`
  if (plan.kind === 'scatter') {
    const time = plan.text.pieces.length === 1 ? undefined : await timeFor(plan.shards.map((shard) => serverById(context, shard)), context)
    const statementText = wrap(renderTimedText(plan.text, time))
    const ends = await allAtOnce(plan.shards, sink, (shard, part) => runOnServer(serverById(context, shard), { text: statementText, markers: plan.markers, writes: false }, noArguments, part, context))
    return { kind: 'complete', tag: `COPY ${ends.reduce((sum, end) => sum + tagCount(end), 0)}` }
  }
  if (plan.kind === 'one-shard') {
    const { route } = plan
    const owners = route.kind === 'bucket' ? (context.snapshot.groups.get(route.group)?.owners ?? []) : []
    const bucket = route.kind === 'bucket' ? await bucketOf(route.key, route.keyType, owners.length, noArguments, context) : undefined
    const shard = route.kind === 'shard' ? route.shard : bucket === undefined ? (context.snapshot.shards[0]?.id ?? 0) : (owners[bucket] ?? 0)
    return runOnServer(serverById(context, shard), { text: wrap(await oneShardText(plan, bucket, shard, context)), markers: plan.markers, writes: false }, noArguments, sink, context)
  }
  if (plan.kind === 'gather') {
    return withTransaction(context, async () => {
      await gatherRows(plan.fetches, noArguments, context)
      return runOnServer(session.services.catalog, { text: wrap(await catalogText(plan, context)), markers: [], writes: false, cannotPrepare: true }, noArguments, sink, context)
    })
  }
  return runOnServer(session.services.catalog, { text: wrap(plan.kind === 'catalog' ? await catalogText(plan, context) : text), markers: [], writes: false }, noArguments, sink, context)
}

function innerQuery(statement: Statement): string {
  let start = -1
  for (const token of tokensWithDepth(statement.source.raw)) {
    if (token.depth !== 0) continue
    if (token.text === '(' && start < 0) start = token.end
    else if (token.text === ')') return statement.source.between(start, token.start)
  }
  throw refuse('cannot read the query of COPY')
}

function selectOf(relation: Relation, copy: CopyStmt): string {
  const columns = columnsOf(relation, copy).map(quoteIdent).join(', ')
  return `SELECT ${columns} FROM ${qualified(relation.schema, relation.name)}`
}

/** FROM STDIN and its options, but FREEZE, which a partitioned table does not take. */
function withoutFreeze(statement: Statement, copy: CopyStmt): string {
  const { source } = statement
  const from = findKeyword(source.raw, 'from')?.start ?? 0
  const at = optionNames(copy).find((option) => option?.defname === 'freeze')?.location
  if (at === undefined) return source.between(from, source.length)
  let end = nextToken(source.raw, at)?.end ?? at
  const value = nextToken(source.raw, end)
  if (value !== undefined && /^(on|off|true|false|1|0)$/i.test(source.raw.slice(value.start, value.end))) end = value.end
  const comma = nextToken(source.raw, end)
  if (comma !== undefined && source.raw[comma.start] === ',') end = comma.end
  const before = source.between(from, at).replace(/,\s*$/, comma !== undefined && source.raw[comma.start] === ',' ? ',' : '')
  return `${before} ${source.between(end, source.length)}`.replace(/\(\s*\)/, '')
}

function columnsOf(relation: Relation, copy: CopyStmt): string[] {
  if (copy.attlist !== undefined) return names(copy.attlist as AnyNode[])
  return relation.columns.filter((column) => !column.generated).map((column) => column.name)
}

function checkColumns(relation: Relation, columns: readonly string[]): void {
  const unknown = columns.find((name) => !relation.columns.some((column) => column.name === name))
  if (unknown !== undefined) throw new SqlError('42703', `column "${unknown}" of relation "${relation.name}" does not exist`)
}

const optionNames = (copy: CopyStmt) => (copy.options ?? []).map((option) => (option as AnyNode).DefElem)

function formatOf(copy: CopyStmt): string {
  const format = optionNames(copy).find((option) => option?.defname === 'format')
  return (format?.arg as AnyNode | undefined)?.String?.sval ?? 'text'
}

/** A binary file has a head and a foot, and a HEADER is one line: shards' answers can't just follow each other. */
function hasHead(copy: CopyStmt): boolean {
  return formatOf(copy) === 'binary' || optionNames(copy).some((option) => option?.defname === 'header')
}

async function copyIn(statement: Statement, copy: CopyStmt, relation: Relation | undefined, session: Session, context: ExecutionContext): Promise<StatementEnd> {
  if (relation?.table === undefined) {
    const lease = await session.transaction.lease(session.services.catalog)
    const input = await copyInto(lease, statement.source.text)
    if (lease.participant !== undefined) lease.participant.wrote = true
    return pump(input, session)
  }
  const columns = columnsOf(relation, copy)
  checkColumns(relation, columns)
  const options = optionNames(copy).filter((option) => option?.defname !== 'freeze')
  const timed = timeDefaults(relation.columns.filter((column) => !columns.includes(column.name)), session.nameContext(context.snapshot, []))
  const omitted = relation.columns.filter((column) => !column.generated && !columns.includes(column.name) && column.default !== undefined)
  const { table } = relation
  const sequenceOmitted = relation.columns.some((column) => column.sequence !== undefined && !columns.includes(column.name))
  const keyGiven = table.keyColumn === undefined || columns.includes(table.keyColumn)
  const direct =
    !sequenceOmitted && keyGiven && timed.length === 0 && copy.whereClause === undefined && options.every((option) => option?.defname === 'format') && formatOf(copy) === 'text' && (table.kind !== 'reference' || omitted.length === 0)
  const target = { relation, markers: [markerName(table)] }
  if (direct) return routeLines(target, columns, session, context)
  await makeRowsTable(relation, timed, context)
  const lease = await catalogParticipant(context)
  const list = columns.map(quoteIdent).join(', ')
  const input = await copyInto(lease, `COPY pg_temp.${rowsTable} (${list}) ${withoutFreeze(statement, copy)}`)
  const end = await pump(input, session)
  await copyRows(target, relation.columns.filter((column) => !column.generated).map((column) => column.name), context)
  return end
}

/** What the client sends goes to one server as it is. */
async function pump(input: CopyInput, session: Session): Promise<StatementEnd> {
  const { payload } = input
  session.stream.out.frame(0x47, payload, 0, payload.length)
  try {
    for await (const data of clientData(session)) {
      sendCopyData(input, data)
      if (input.connection.isCongested) await input.connection.drained()
    }
  } catch (error) {
    const reason = error instanceof CopyFailed ? error.reason : asSqlError(error).message
    const serverError = await failCopy(input, reason).then(() => undefined, (failure: unknown) => (failure instanceof StatementFailure ? failure.error : undefined))
    throw error instanceof CopyFailed ? (serverError ?? error) : error
  }
  try {
    return await endCopy(input)
  } catch (failure) {
    throw failure instanceof StatementFailure ? failure.error : failure
  }
}

async function routeLines(target: { relation: Relation; markers: readonly string[] }, columns: readonly string[], session: Session, context: ExecutionContext): Promise<StatementEnd> {
  const router = new RowRouter(target.relation, columns, target.markers, context)
  try {
    await router.open()
  } catch (error) {
    await router.abort()
    throw error
  }
  const { out } = session.stream
  out.begin('G').byte(0).int16(columns.length)
  for (const _column of columns) out.int16(0)
  out.end()
  const lines = new LineSplitter((buffer, start, end) => router.send(buffer, start, end))
  try {
    for await (const data of clientData(session)) {
      if (!lines.push(data)) await router.drained()
    }
    lines.end()
  } catch (error) {
    await router.abort(asSqlError(error).message)
    throw error instanceof CopyFailed ? error.atLine(target.relation.name, router.lines + 1) : error
  }
  await router.finish()
  return { kind: 'complete', tag: `COPY ${router.count}` }
}

/** CopyFail: the client gives up. */
class CopyFailed extends SqlError {
  readonly reason: string

  constructor(reason: string, more: Partial<SqlErrorFields> = {}) {
    super('57014', `COPY from stdin failed: ${reason}`, more)
    this.reason = reason
  }

  atLine(relation: string, line: number): CopyFailed {
    return new CopyFailed(this.reason, { where: `COPY ${relation}, line ${line}` })
  }
}

/** CopyData payloads up to CopyDone. Throws 57014 when the client gives up, 08006 when it is gone. */
async function* clientData(session: Session): AsyncGenerator<Buffer> {
  session.stream.flush()
  for (;;) {
    const message = await session.stream.next()
    if (message === undefined) throw new SqlError('08006', 'the client left during COPY')
    checkGarbage(message)
    switch (message.type) {
      case Frontend.copyData:
        yield message.payload
        break
      case Frontend.copyDone:
        return
      case Frontend.copyFail:
        throw new CopyFailed(readQuery(message.payload))
      case Frontend.flush:
      case Frontend.sync:
        break
      default:
        // Where the data ends cannot be known any more: PostgreSQL ends such a session too.
        writeErrorFields(session.stream.out, 'E', { severity: 'ERROR', code: '08P01', message: `unexpected message type 0x${message.type.toString(16).padStart(2, '0')} during COPY from stdin` })
        throw new SqlError('08P01', 'terminating connection because protocol synchronization was lost', { severity: 'FATAL' })
    }
  }
}

/** Lines of COPY's text format: a newline behind an odd number of backslashes belongs to the data. */
class LineSplitter {
  private rest: Buffer = Buffer.alloc(0)
  private ended = false
  private readonly onLine: (buffer: Buffer, start: number, end: number) => boolean

  constructor(onLine: (buffer: Buffer, start: number, end: number) => boolean) {
    this.onLine = onLine
  }

  /** False when a receiver has too much unsent. */
  push(data: Buffer): boolean {
    const buffer = this.rest.length === 0 ? data : Buffer.concat([this.rest, data])
    let flows = true
    let start = 0
    for (let at = buffer.indexOf(10); at >= 0; at = buffer.indexOf(10, at + 1)) {
      let slashes = 0
      while (at - 1 - slashes >= start && buffer[at - 1 - slashes] === 0x5c) slashes++
      if (slashes % 2 === 1) continue
      flows = this.line(buffer, start, at + 1) && flows
      start = at + 1
    }
    this.rest = start === 0 ? buffer : Buffer.from(buffer.subarray(start))
    return flows
  }

  end(): void {
    if (this.rest.length > 0) this.line(Buffer.concat([this.rest, Buffer.from('\n')]), 0, this.rest.length + 1)
  }

  /** \. alone on a line ends the data. */
  private line(buffer: Buffer, start: number, end: number): boolean {
    const isEnd = buffer[start] === 0x5c && buffer[start + 1] === 0x2e && end - start <= 4 && /^\\\.\r?\n$/.test(buffer.toString('latin1', start, end))
    this.ended ||= isEnd
    return this.ended ? true : this.onLine(buffer, start, end)
  }
}

