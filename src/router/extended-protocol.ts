/**
 * The extended query protocol: Parse, Bind, Describe, Execute, Close, Flush.
 *
 * Statements and portals live here, in the session, not on a server: so they survive pooling. What a server needs of
 * them goes out with Execute. Types of parameters that the client leaves open are asked from the shell, which has the
 * user's schema.
 *
 * What a client has been told of a statement's columns is a promise: rows of other columns are never sent under it, also while
 * a change of the schema has reached a server and not yet this router.
 */
import { asSqlError, SqlError } from '../base/errors.ts'
import type { StatementEnd } from '../executor/statement-exchange.ts'
import { startPointRead } from '../executor/point-read.ts'
import { runStatement } from '../executor/statement-exchange.ts'
import { isDataStatement } from '../planner/plan-statement.ts'
import type { BindMessage } from '../protocol/frontend-reader.ts'
import { formatOf, readBind, readExecute, readParse, readTarget } from '../protocol/frontend-reader.ts'
import { Backend, Frontend } from '../protocol/message-types.ts'
import type { FieldDescription } from '../protocol/row-description.ts'
import { hasSameColumns, writeRowDescription } from '../protocol/row-description.ts'
import { query } from '../shard/query.ts'
import type { Statement } from '../sql/parse.ts'
import type { ClientSink } from './client-sink.ts'
import type { ClientMessage } from './client-stream.ts'
import { describeCursor, describeStatement } from './describe-statement.ts'
import { OwedAnswers } from './owed-answers.ts'
import { parameterCount, refuseParameterZero } from './parameters.ts'
import type { StatementDescription } from './known-statements.ts'
import type { Portal, PreparedStatement } from './portal.ts'
import { argumentsOf, executeAgain, withCount } from './portal.ts'
import type { Session } from './session.ts'
import { executeCursor } from './statements/cursors.ts'

export class ExtendedProtocol {
  private readonly session: Session
  private readonly statements = new Map<string, PreparedStatement>()
  private readonly portals = new Map<string, Portal>()
  private readonly owed: OwedAnswers
  private describeNext: Portal | undefined
  private portalNumber = 0

  constructor(session: Session) {
    this.session = session
    this.owed = new OwedAnswers(() => session.stream.out)
  }

  /** A simple Query destroys the unnamed statement and portal. */
  forgetUnnamed(): void {
    this.statements.delete('')
    this.portals.delete('')
  }

  /** All of them, or those bound since the transaction's journal was so long. */
  closePortals(since = 0): void {
    if (this.portals.size === 0) return
    for (const [name, portal] of this.portals) if (portal.boundAt >= since) this.portals.delete(name)
  }

  hasPortal(name: string): boolean {
    return this.portals.has(name)
  }

  closeAll(): void {
    this.statements.clear()
    this.portals.clear()
  }

  hasStatement(name: string): boolean {
    return this.statements.has(name)
  }

  async checkExecute(prepared: PreparedStatement): Promise<void> {
    await this.checkResultType(prepared)
  }

  statement(name: string): PreparedStatement | undefined {
    return this.statements.get(name)
  }

  addStatement(name: string, text: string, statement: Statement, description: StatementDescription): void {
    this.statements.set(name, { statement, types: description.parameterTypes, text, preparedAt: this.session.services.clock.now(), fromSql: true, description, isPromised: true, ran: undefined })
  }

  /** Those that have a name, described. */
  async namedStatements(): Promise<{ name: string; prepared: PreparedStatement; description: StatementDescription }[]> {
    const named = [...this.statements].filter(([name]) => name !== '')
    return Promise.all(named.map(async ([name, prepared]) => ({ name, prepared, description: await this.descriptionOf(prepared) })))
  }

  listPortals(): readonly Portal[] {
    return [...this.portals.values()]
  }

  deallocate(name: string): boolean {
    return this.statements.delete(name)
  }

  /**
   * Gives the answers that wait. With nothing run behind them, it is the shell that says whether the statement is one; a
   * shell that cannot be reached says nothing against it.
   */
  settle(): Promise<void> | void {
    const { parse } = this.owed
    if (parse !== undefined) return this.settleParse(parse.prepared)
    this.owed.give()
  }

  private async settleParse(prepared: PreparedStatement): Promise<void> {
    try {
      await this.descriptionOf(prepared)
    } catch (error) {
      const { code, message, fields } = asSqlError(error)
      if (!/^(08|53|57)/.test(code)) throw new SqlError(code, message, { ...fields, stage: 'parse' })
    }
    this.owed.give()
  }

  get owesAnswers(): boolean {
    return this.owed.parse !== undefined || this.owed.bind !== undefined
  }

  /** What a failed Parse or Bind was to make is not there. */
  fail(error: SqlError): void {
    const { statement, portal } = this.owed.fail(error)
    if (statement !== undefined) this.statements.delete(statement)
    if (portal !== undefined) this.portals.delete(portal)
    this.describeNext = undefined
  }

  handle(message: ClientMessage): Promise<void> | void {
    switch (message.type) {
      case Frontend.parse:
        return this.parse(message.payload)
      case Frontend.bind:
        return this.bind(message.payload)
      case Frontend.describe:
        return this.describe(message.payload)
      case Frontend.execute:
        return this.execute(message.payload)
      case Frontend.close:
        return this.close(message.payload)
      case Frontend.flush:
        return this.flush(message.payload)
      case Frontend.copyData:
      case Frontend.copyDone:
      case Frontend.copyFail:
        return // left over from a COPY that failed
      default:
        throw new SqlError('08P01', `invalid frontend message type ${message.type}`, { severity: 'FATAL' })
    }
  }

  private async close(payload: Buffer): Promise<void> {
    const { kind, name } = readTarget(payload, 'CLOSE')
    await this.settle()
    if (kind === 'S') this.statements.delete(name)
    else await this.closePortal(name)
    this.session.stream.out.begin('3').end()
  }

  private async flush(payload: Buffer): Promise<void> {
    if (payload.length > 0) throw new SqlError('08P01', 'invalid message format')
    await this.settle()
    this.session.stream.flush()
  }

  private parse(payload: Buffer): Promise<void> | void {
    return this.settle()?.then(() => this.parseNow(payload)) ?? this.parseNow(payload)
  }

  private parseNow(payload: Buffer): Promise<void> | void {
    const { name, text, parameterTypes } = readParse(payload)
    if (name === '') this.statements.delete(name)
    const parsed = this.session.services.parsed.parse(text)
    if (parsed.length > 1) throw new SqlError('42601', 'cannot insert multiple commands into a prepared statement')
    const [statement] = parsed
    const parsedNow: PreparedStatement = { statement, types: parameterTypes, text, preparedAt: this.session.services.clock.now(), fromSql: false, description: undefined, isPromised: name !== '', ran: undefined }
    if (statement === undefined) return this.addParsed(name, parsedNow)
    this.session.checkNotFailed(statement)
    refuseParameterZero(statement)
    if (!leavesTypesOpen(statement, parameterTypes)) return this.addParsed(name, parsedNow)
    const add = (description: StatementDescription) => this.addParsed(name, { ...parsedNow, types: description.parameterTypes, description })
    const known = this.knownDescription(statement, parameterTypes)
    // Types that the client leaves open are asked from the shell.
    return known === undefined ? describeStatement(this.session, statement, parameterTypes).then(add) : add(known)
  }

  private knownDescription(statement: Statement, types: readonly number[]): StatementDescription | undefined {
    const { snapshot, temporary } = this.session
    return snapshot === undefined || temporary.size > 0 ? undefined : this.session.known(statement, snapshot, types).description
  }

  private addParsed(name: string, prepared: PreparedStatement): void {
    if (this.statements.has(name)) throw new SqlError('42P05', `prepared statement "${name}" already exists`)
    this.statements.set(name, prepared)
    if (prepared.statement !== undefined && prepared.description === undefined && isDataStatement(prepared.statement)) this.owed.parse = { name, prepared }
    else this.session.stream.out.begin('1').end()
  }

  private bind(payload: Buffer): Promise<void> | void {
    const message = readBind(payload)
    const prepared = this.statements.get(message.statement)
    const settling = this.owed.bind !== undefined || this.owed.parse?.prepared !== prepared ? this.settle() : undefined
    return settling?.then(() => this.bindNow(message, prepared)) ?? this.bindNow(message, prepared)
  }

  private bindNow({ portal: name, statement, parameterFormats, values, resultFormats }: BindMessage, prepared: PreparedStatement | undefined): Promise<void> | void {
    if (prepared === undefined) {
      throw new SqlError('26000', statement === '' ? 'unnamed prepared statement does not exist' : `prepared statement "${statement}" does not exist`)
    }
    const count = prepared.statement === undefined ? prepared.types.length : Math.max(parameterCount(prepared.statement), prepared.types.length)
    if (values.length !== count) {
      throw new SqlError('08P01', `bind message supplies ${values.length} parameters, but prepared statement "${statement}" requires ${count}`)
    }
    this.session.checkNotFailed(prepared.statement)
    if (name !== '' && (this.portals.has(name) || this.session.cursors.has(name))) throw new SqlError('42P03', `cursor "${name}" already exists`)
    const portal: Portal = {
      name,
      prepared,
      bind: { parameterFormats, values, resultFormats },
      serverName: `pgherd_p${++this.portalNumber}`,
      boundAt: this.session.transaction.journalLength,
      createdAt: this.session.services.clock.now(),
      state: 'bound',
      held: undefined,
      tag: '',
      hasRows: false,
    }
    if (name === '' && this.portals.get(name)?.state === 'begun') return this.closePortal(name).then(() => this.addPortal(portal))
    this.addPortal(portal)
  }

  private addPortal(portal: Portal): void {
    this.portals.set(portal.name, portal)
    const { statement } = portal.prepared
    if (statement !== undefined && isDataStatement(statement)) this.owed.bind = portal
    else this.session.stream.out.begin('2').end()
  }

  /** Rows that wait on a server for a portal's next Execute are let go there too. */
  async closePortal(name: string): Promise<boolean> {
    const portal = this.portals.get(name)
    if (portal === undefined) return false
    this.portals.delete(name)
    const { transaction } = this.session
    for (const { portals, connection } of transaction.participants.values()) {
      if (portals.delete(portal.serverName) && !transaction.failed) await query(connection, `CLOSE ${portal.serverName}`)
    }
    return true
  }

  private describe(payload: Buffer): Promise<void> | void {
    const { kind, name } = readTarget(payload, 'DESCRIBE')
    const portal = kind === 'P' ? this.portals.get(name) : undefined
    const next = this.session.stream.peekNow()
    if (portal !== undefined && this.owed.bind === portal && next !== undefined && isExecuteOf(next, name)) {
      this.describeNext = portal
      return undefined
    }
    return this.describeAlone(kind, name)
  }

  private async describeAlone(kind: 'S' | 'P', name: string): Promise<void> {
    const { out } = this.session.stream
    if (kind === 'S') {
      await this.settle()
      const prepared = this.statements.get(name)
      if (prepared === undefined) {
        throw new SqlError('26000', name === '' ? 'unnamed prepared statement does not exist' : `prepared statement "${name}" does not exist`)
      }
      if (prepared.statement !== undefined) this.session.checkNotFailed(prepared.statement)
      const description = await this.descriptionOf(prepared)
      prepared.isPromised = true
      out.begin('t').int16(description.parameterTypes.length)
      for (const type of description.parameterTypes) out.int32(type)
      out.end()
      if (description.fields === undefined) out.begin('n').end()
      else writeRowDescription(out, description.fields)
      return
    }
    const portal = this.portals.get(name)
    const cursor = this.session.cursors.get(name)
    if (portal?.prepared.statement !== undefined) this.session.checkNotFailed(portal.prepared.statement)
    if (this.owed.bind !== portal) await this.settle()
    if (portal === undefined && cursor !== undefined) {
      // A cursor of DECLARE is a portal too.
      const fields = await describeCursor(this.session, name, cursor.server)
      if (fields === undefined) out.begin('n').end()
      else writeRowDescription(out, fields)
      return
    }
    if (portal === undefined) throw new SqlError('34000', `portal "${name}" does not exist`)
    const next = await this.session.stream.peek()
    // With Execute right behind it, the server that runs the statement describes it in the same round trip.
    if (next !== undefined && isExecuteOf(next, name) && portal.prepared.statement !== undefined && portal.state === 'bound') {
      this.describeNext = portal
      return
    }
    await this.settle()
    const { fields } = await this.descriptionOf(portal.prepared)
    portal.prepared.isPromised = true
    if (fields === undefined) out.begin('n').end()
    else writeRowDescription(out, fields.map((field, i) => ({ ...field, format: formatOf(portal.bind.resultFormats, i) })))
  }

  /** A client that has been told the columns must not get others: PostgreSQL refuses, and so does this. */
  private async checkResultType(prepared: PreparedStatement): Promise<void> {
    const { description, statement } = prepared
    const told = promiseOf(prepared)
    if (told === undefined || statement === undefined || told.version === this.session.snapshot?.version) return
    const now = await describeStatement(this.session, statement, prepared.types).catch((error: unknown) => {
      const { code, message, fields } = asSqlError(error)
      throw new SqlError(code, message, { ...fields, stage: 'bind' })
    })
    // What a statement gave tells nothing of modifiers: a gather's columns may have none.
    const shape = (fields: readonly FieldDescription[] | undefined) =>
      JSON.stringify(fields?.map(({ name, typeOid, typeModifier }) => [name, typeOid, description === undefined ? 0 : typeModifier]))
    if (shape(now.fields) !== shape(told.fields)) {
      throw resultTypeChanged('bind')
    }
    prepared.description = now
  }

  private async descriptionOf(prepared: PreparedStatement): Promise<StatementDescription> {
    if (prepared.statement === undefined) return { parameterTypes: prepared.types, fields: undefined, version: 0 }
    const executes = prepared.statement.node.ExecuteStmt
    if (executes !== undefined) {
      const inner = this.statements.get(executes.name ?? '')
      if (inner === undefined) throw new SqlError('26000', `prepared statement "${executes.name}" does not exist`)
      return { ...(await this.descriptionOf(inner)), parameterTypes: prepared.types }
    }
    prepared.description ??= await describeStatement(this.session, prepared.statement, prepared.types)
    return prepared.description
  }

  private execute(payload: Buffer): Promise<void> | void {
    const { portal: name, rowsMax } = readExecute(payload)
    const portal = this.portals.get(name)
    if (portal === undefined) return this.executeCursor(name, rowsMax)
    const describe = this.describeNext === portal
    this.describeNext = undefined
    const isFirst = this.owed.bind === portal && rowsMax === 0 && portal.state === 'bound'
    return (isFirst ? this.pointRead(portal, describe) : undefined) ?? this.executePortal(portal, rowsMax, describe)
  }

  /** A cursor of DECLARE is a portal too. */
  private async executeCursor(name: string, rowsMax: number): Promise<void> {
    const { session } = this
    await this.settle()
    if (!session.cursors.has(name)) throw new SqlError('34000', `portal "${name}" does not exist`)
    session.checkNotFailed(undefined)
    session.complete(await executeCursor(name, rowsMax, session.newSink(false), session))
  }

  /** The short way for a point read outside of transactions; undefined when it must go the usual one. */
  private pointRead(portal: Portal, describe: boolean): Promise<void> | undefined {
    const { session } = this
    const { statement, types } = portal.prepared
    const { snapshot } = session
    const told = promiseOf(portal.prepared)
    if (statement === undefined || snapshot === undefined || session.temporary.size > 0 || session.transaction.active) return undefined
    if (session.stream.peekNow()?.type !== Frontend.sync || (told !== undefined && told.version !== snapshot.version)) return undefined
    const known = session.known(statement, snapshot, types)
    const plan = known.planned?.plan
    if (plan?.kind !== 'one-shard' || !plan.isPointRead) return undefined
    const sink = session.newSink(describe, 0, this.giveOwed)
    const format = formatOfAll(portal.bind.resultFormats)
    const described = describe && format !== undefined ? known.rowDescriptions[format] : undefined
    if (described !== undefined && (told?.fields === undefined || hasSameColumns(described.fields, told.fields))) sink.knownDescription = described
    const promised = told?.fields ?? sink.knownDescription?.fields
    const args = { ...argumentsOf(portal, 0, !describe || sink.knownDescription !== undefined), promised }
    let started = false
    const end = new Promise<void>((resolve, reject) => {
      started = startPointRead(plan, args, sink, session.executionContext(snapshot, statement.source.text), (tag, failure) => {
        if (failure !== undefined) failure.then(reject, reject)
        else if (tag === undefined) this.executePortal(portal, 0, describe).then(resolve, reject)
        else {
          if (describe && format !== undefined) known.rowDescriptions[format] ??= sink.asKnownDescription()
          portal.hasRows = true
          session.complete(this.ended(portal, { kind: 'complete', tag }, sink, describe))
          resolve()
        }
      })
    })
    return started ? end : undefined
  }

  private readonly giveOwed = (): void => this.owed.give()

  private async executePortal(portal: Portal, rowsMax: number, describe: boolean): Promise<void> {
    const { session } = this
    if (this.owed.bind !== portal) await this.settle()
    const { statement } = portal.prepared
    if (statement === undefined) {
      session.stream.out.begin('I').end()
      return
    }
    session.checkNotFailed(statement)
    if (portal.state === 'finished') session.complete(executeAgain(portal))
    else session.complete(portal.held === undefined ? await this.run(portal, statement, rowsMax, describe) : this.giveHeld(portal, rowsMax))
  }

  private async run(portal: Portal, statement: Statement, rowsMax: number, describe: boolean): Promise<StatementEnd> {
    const { session } = this
    await this.checkResultType(portal.prepared)
    await this.beginUnlessAlone(rowsMax)
    // COPY gives no rows, and says so before its data.
    const isCopy = statement.node.CopyStmt !== undefined
    if (describe && isCopy) session.stream.out.begin('n').end()
    const sink = session.newSink(describe && !isCopy, rowsMax, this.giveOwed)
    if (statement.node.SelectStmt !== undefined) sink.promised = promiseOf(portal.prepared)?.fields
    const end = portal.state === 'begun' ? await this.fetchMore(portal, rowsMax, sink) : await session.runStatement(statement, argumentsOf(portal, rowsMax), sink)
    return this.ended(portal, end, sink, describe && !isCopy)
  }

  private ended(portal: Portal, end: StatementEnd, sink: ClientSink, describe: boolean): StatementEnd {
    if (sink.isOtherThanPromised) throw resultTypeChanged()
    this.owed.give()
    if (describe) sink.endDescription()
    portal.state = end.kind === 'suspended' ? 'begun' : 'finished'
    portal.hasRows ||= sink.hasRows
    if (sink.columns !== undefined) this.promise(portal.prepared, sink.columns)
    if (end.kind === 'complete') portal.tag = end.tag
    if (end.kind !== 'complete' || !sink.isFull) return end
    // No server keeps the other rows for the client: this session does.
    portal.state = 'begun'
    portal.held = sink.held
    return { kind: 'suspended' }
  }

  /** What it has given once it must give again. */
  private promise(prepared: PreparedStatement, fields: readonly FieldDescription[]): void {
    const version = this.session.snapshot?.version ?? 0
    if (prepared.description === undefined) prepared.ran = { version, fields }
    else if (!prepared.isPromised) prepared.description = { ...prepared.description, version, fields }
    prepared.isPromised = true
  }

  private giveHeld(portal: Portal, rowsMax: number): StatementEnd {
    const held = portal.held ?? []
    const rows = held.splice(0, rowsMax > 0 ? rowsMax : held.length)
    for (const row of rows) this.session.stream.out.frame(Backend.dataRow, row, 0, row.length)
    if (rowsMax > 0 && rows.length === rowsMax) return { kind: 'suspended' }
    portal.state = 'finished'
    return { kind: 'complete', tag: withCount(portal.tag, rows.length) }
  }

  /** The next rows of a portal that was suspended: it waits on the connection of a participant. */
  private async fetchMore(portal: Portal, rowsMax: number, sink: ClientSink): Promise<StatementEnd> {
    for (const participant of this.session.transaction.participants.values()) {
      if (!participant.portals.has(portal.serverName)) continue
      return runStatement(participant.connection, { prelude: [], text: '', portal: portal.serverName, rowsMax }, sink)
    }
    throw new SqlError('34000', `portal "${portal.name}" does not exist`)
  }

  /**
   * Several Executes before one Sync are one transaction, as are rows that are fetched in parts. With Sync right behind
   * it, a statement is a transaction of its own, and needs no BEGIN.
   */
  private async beginUnlessAlone(rowsMax: number): Promise<void> {
    const { session } = this
    if (session.transaction.active) return
    const next = session.stream.peekNow() ?? (await session.stream.peek())
    if (next?.type !== Frontend.sync || rowsMax > 0) session.transaction.begin('implicit')
  }
}

/** The columns that a statement must give, if it must give the same again. */
function promiseOf({ isPromised, description, ran }: PreparedStatement): Omit<StatementDescription, 'parameterTypes'> | undefined {
  return isPromised ? (description ?? ran) : undefined
}

/** pgjdbc knows by the routine that it should prepare the statement anew. */
function resultTypeChanged(stage?: 'bind'): SqlError {
  return new SqlError('0A000', 'cached plan must not change result type', { stage, file: 'plancache.c', routine: 'RevalidateCachedQuery' })
}

function isExecuteOf(message: ClientMessage, portal: string): boolean {
  return message.type === Frontend.execute && readExecute(message.payload).portal === portal
}

/** The format that all columns are asked for in; undefined when each has its own. */
function formatOfAll(formats: readonly number[]): number | undefined {
  return formats.length > 1 ? undefined : (formats[0] ?? 0)
}

function leavesTypesOpen(statement: Statement, types: readonly number[]): boolean {
  const count = parameterCount(statement)
  for (let i = 0; i < count; i++) if ((types[i] ?? 0) === 0) return true
  return false
}
