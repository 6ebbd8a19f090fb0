/**
 * One client's session: its messages in order, each statement to its handler, and the state that follows it around.
 *
 * Main loop: take a message; simple Query runs its statements one after the other; the extended protocol's messages build
 * statements and portals, and run them at Execute. An error inside a batch skips to its Sync. What holds a server
 * connection between messages is only an open transaction (transaction.ts).
 */
import type { SqlErrorFields } from '../base/errors.ts'
import { asSqlError, SqlError } from '../base/errors.ts'
import type { Snapshot } from '../catalog/snapshot.ts'
import type { RouterFact } from '../planner/router-facts.ts'
import type { Arguments, ExecutionContext, RouterRow } from '../executor/context.ts'
import { openAllSnapshots } from '../executor/open-snapshots.ts'
import type { ResultSink } from '../executor/result-sink.ts'
import type { StatementEnd } from '../executor/statement-exchange.ts'
import type { PlannedStatement } from '../planner/plan-statement.ts'
import { planStatement } from '../planner/plan-statement.ts'
import type { NameContext } from '../planner/resolve.ts'
import { parseSearchPath } from '../planner/resolve.ts'
import { writeErrorFields } from '../protocol/error-fields.ts'
import { Frontend } from '../protocol/message-types.ts'
import { readQuery } from '../protocol/frontend-reader.ts'
import { query } from '../shard/query.ts'
import type { Statement } from '../sql/parse.ts'
import type { Timeouts } from '../shard/timeouts.ts'
import { Transaction } from '../transaction/transaction.ts'
import { ClientNews } from './client-news.ts'
import type { ClientSession } from './activity.ts'
import { Activity } from './activity.ts'
import { ClientSink } from './client-sink.ts'
import type { ClientMessage, ClientStream } from './client-stream.ts'
import { checkGarbage } from './client-stream.ts'
import { ExtendedProtocol } from './extended-protocol.ts'
import { callFunction } from './function-call.ts'
import type { KnownStatement } from './known-statements.ts'
import type { Services } from './services.ts'
import type { ReadConsistency } from '../executor/one-moment.ts'
import type { OwnValues } from './own-settings.ts'
import { readsRows } from './reads-rows.ts'
import { SessionReplicas } from './replica-reads.ts'
import { SessionLanes } from './session-lanes.ts'
import type { SessionOptions } from './session-options.ts'
import { SessionTimers } from './session-timers.ts'
import { asReported, runSimpleQuery } from './simple-query.ts'
import { Templates } from './templates.ts'
import { runData } from './run-data.ts'
import { toldError } from './told-error.ts'
import { readSearchPath } from './statements/settings.ts'
import { runSessionStatement } from './statements/run-statement.ts'

const terminated: SqlErrorFields = { severity: 'FATAL', code: '57P01', message: 'terminating connection due to administrator command' }
const cancelAgainMs = 100
const cancelTimesMax = 20

export class Session implements ClientSession {
  readonly services: Services
  readonly pid: number
  private readonly options: SessionOptions
  private readonly doing: Activity
  readonly stream: ClientStream
  readonly database: string
  readonly user: string
  /** After SET ROLE another than the one that logged in. */
  currentUser: string
  readonly transaction: Transaction
  readonly initialSettings: ReadonlyMap<string, string>
  readonly initialTimeouts: Timeouts
  readonly timers: SessionTimers
  readonly temporary = new Set<string>()
  readonly extended: ExtendedProtocol
  readonly news: ClientNews
  /** Cursors: which server each is on. */
  readonly cursors = new Map<string, { server: number; hold: boolean; declaredAt: number; text: string }>()
  searchPathSetting: string
  /** Settings of pgherd's own. */
  own: OwnValues
  /** The schema as this transaction has changed it. */
  transactionSnapshot: Snapshot | undefined
  /** The layout that a transaction keeps whose statements see rows as of its first. */
  keptSnapshot: Snapshot | undefined
  schemaChanged = false
  searchPathTouched = false
  /** Nobody could say what the last transaction has left of them: what comes next would mean the wrong tables. */
  hasLostSettings = false
  /** Statements of a DO block run again: what the shell says of them has been told. */
  replaying = false
  private temporaryTouched = false
  private failedBatch = false
  /** How often the client has been told that the next query may come. */
  private answered = 0
  /** Between a client's message and the answer to it. A cancel request outside of that means nothing. */
  private working = false
  /** The statement has failed, or its transaction is over: what comes then is not cancelled. */
  private isCleaning = false
  private isTerminated = false
  private cursorNumber = 0
  /** Queries for what the system's views tell of this session, while a statement asks for them. */
  views: ReadonlyMap<string, string> | undefined

  newCursorNumber(): number {
    return ++this.cursorNumber
  }

  constructor(services: Services, stream: ClientStream, options: SessionOptions) {
    this.services = services
    this.pid = options.pid
    this.options = options
    this.doing = new Activity(services.clock.now())
    this.stream = stream
    this.database = options.database
    this.user = options.user
    this.currentUser = options.user
    this.searchPathSetting = options.searchPath
    this.own = options.own
    this.initialSettings = options.initialSettings
    this.transaction = new Transaction(services.pool, options.database, options.user, services.commit, options.base)
    this.transaction.settings = options.initialSettings
    this.initialTimeouts = options.initialTimeouts
    this.transaction.keepTimeouts(options.initialTimeouts)
    this.timers = new SessionTimers(this, services.clock)
    this.transaction.onReported = (name, value) => this.reportParameter(name, value)
    this.extended = new ExtendedProtocol(this)
    this.news = new ClientNews(stream)
    services.transactions.add(this.transaction)
    stream.onEnd = () => this.cancel('canceling statement: the client is gone')
  }

  /**
   * A cancel request, repeated while the statement runs: a server that had not begun its part yet would not have felt the
   * first.
   */
  cancel(reason = 'canceling statement due to user request'): void {
    const at = this.answered
    let left = cancelTimesMax
    const again = () => {
      if (!this.working || this.answered !== at || left-- === 0) return
      if (!this.isCleaning) this.transaction.cancel(reason)
      this.services.clock.after(cancelAgainMs, again)
    }
    again()
  }

  terminate(fields: SqlErrorFields = terminated): void {
    this.isTerminated = true
    writeErrorFields(this.stream.out, 'E', fields)
    this.stream.close()
  }

  get timeouts(): Timeouts {
    return this.transaction.timeouts
  }

  /** A statement begins, and with it the timers, if the session has any. */
  beginTimers(): void {
    if (this.transaction.timeouts.size > 0) this.timers.begin()
  }

  activity(): RouterRow {
    const { address, port } = this.options
    return {
      pid: String(this.pid),
      datname: this.database,
      usename: this.user,
      application_name: this.news.current('application_name') ?? '',
      client_addr: address,
      client_port: port === undefined ? undefined : String(port),
      ...this.doing.row(this.working, this.transaction),
    }
  }

  /** Serves the client until it leaves. */
  async run(): Promise<void> {
    try {
      for (;;) {
        const next = this.stream.next()
        const message = next instanceof Promise ? await next : next
        if (message === undefined || message.type === Frontend.terminate) return
        checkGarbage(message)
        if (this.isTerminated) return
        this.checkSettings()
        this.working = true
        this.isCleaning = false
        this.beginTimers()
        this.doing.begin(this.services.clock.now())
        const handled = message.type === Frontend.query && !this.failedBatch ? this.simpleQuery(message) : this.extendedMessage(message)
        if (handled !== undefined) await handled
        this.services.garbage.left(message.payload.length)
      }
    } catch (error) {
      writeErrorFields(this.stream.out, 'E', { ...asSqlError(error).fields, severity: 'FATAL' })
    } finally {
      this.timers.close()
      await this.transaction.abandon()
      this.services.transactions.delete(this.transaction)
      this.stream.close()
    }
  }

  /** Another session of this router is on the database. */
  isDatabaseInUse: (database: string) => boolean = () => false

  /** The names of the session's temporary tables, as the connection that holds them says. */
  async refreshTemporary(): Promise<void> {
    const { transaction } = this
    this.temporaryTouched = transaction.active
    const connection = transaction.pinned ?? transaction.participants.get(0)?.connection
    if (connection === undefined) return this.temporary.clear()
    const { rows } = await query(connection, `SELECT relname FROM pg_class WHERE relnamespace = pg_my_temp_schema() AND relkind IN ('r', 'v', 'S', 'p')`)
    this.temporary.clear()
    for (const [name] of rows) if (name !== undefined && !name.startsWith('pgherd_')) this.temporary.add(name)
  }

  /** Names may mean what they meant at the savepoint. */
  async afterRollbackTo(): Promise<void> {
    if (this.searchPathTouched) await readSearchPath(this)
    if (this.temporaryTouched) await this.refreshTemporary()
  }

  get snapshot(): Snapshot | undefined {
    return this.transactionSnapshot ?? this.keptSnapshot ?? this.services.store.current(this.database)
  }

  async currentSnapshot(): Promise<Snapshot> {
    return this.snapshot ?? this.services.store.get(this.database)
  }

  nameContext(snapshot: Snapshot, parameterTypes: readonly number[]): NameContext {
    // In a READ COMMITTED block a gather's rows come by cursors that are opened at one moment; elsewhere by the transaction's snapshots.
    const fetchesReference = this.consistency !== 'shard' && this.transaction.active && this.transaction.isolation.startsWith('read')
    return { snapshot, searchPath: parseSearchPath(this.searchPathSetting, this.currentUser), temporary: this.temporary, parameterTypes, views: this.views, fetchesReference }
  }

  /** What the router knows of a statement as this session means it. Not for sessions with temporary tables. */
  known(statement: Statement, snapshot: Snapshot, types: readonly number[]): KnownStatement {
    return this.services.known.of(statement, snapshot, this.searchPathSetting, this.currentUser, types)
  }

  private templatesFor = ''
  private ownTemplates = new Templates()

  /** Plans for texts that differ in literals alone, for how this session finds names now. */
  get templates(): Templates {
    const key = `${this.database}\0${this.searchPathSetting}\0${this.currentUser}`
    if (this.templatesFor !== key) {
      this.templatesFor = key
      this.ownTemplates = this.services.templates.of(key)
    }
    return this.ownTemplates
  }

  executionContext(snapshot: Snapshot, text = ''): ExecutionContext {
    const { pool, names, sequences, clock, catalog } = this.services
    const { transaction, database, user, pid, noteSequence, routerRows, refreshSchema } = this
    const { gate } = this.services
    return { text, sessionPid: pid, replicas: this.replicas.inUse, consistency: this.consistency, gate, routerRows, transaction, snapshot, catalog, pool, names, sequences, clock, database, user, laneGroup: this.lanes.to, noteSequence, refreshSchema }
  }

  private readonly refreshSchema = (): Promise<Snapshot> => this.services.store.refresh(this.database)

  private readonly routerRows = async (fact: RouterFact): Promise<readonly RouterRow[]> =>
    fact === 'locks' ? this.services.fences.rows() : [...this.services.clients.values()].map((client) => client.activity())

  readonly replicas = new SessionReplicas(this)

  get consistency(): ReadConsistency {
    return this.own['pgherd.read_consistency'] as ReadConsistency
  }

  private readonly lanes = new SessionLanes(this)

  /** Last in the map is the last that was taken. */
  readonly sequenceValues = new Map<string, string>()

  readonly noteSequence = (sequence: string, value: string): void => {
    this.sequenceValues.delete(sequence)
    this.sequenceValues.set(sequence, value)
  }

  newSink(wantsDescription: boolean, rowsMax = 0, onBound?: () => void): ClientSink {
    return new ClientSink(this.stream, wantsDescription, this, rowsMax, onBound)
  }

  /** What a server reports of itself (ParameterStatus). */
  reportParameter(name: string, value: string): void {
    if (name === 'search_path') this.searchPathSetting = value
    this.news.parameter(name, value)
  }

  /** A client between two messages hears of it at once. */
  notify(payload: Buffer): void {
    this.news.notification(payload)
    if (this.working) return
    this.news.tell(this.transaction.active)
    this.stream.scheduleFlush()
  }

  notice(code: string, message: string, severity = 'NOTICE', more: { hint?: string; detail?: string } = {}): void {
    writeErrorFields(this.stream.out, 'N', { severity, code, message, ...more })
  }

  readyForQuery(): void {
    this.answered++
    this.working = false
    const { transaction } = this
    // The cancelling came too late.
    transaction.isVictim = false
    transaction.cancelled = undefined
    transaction.cancelReason = undefined
    this.timers.ready(transaction.active)
    this.doing.end(this.services.clock.now(), transaction.active)
    const status = transaction.state !== 'block' ? 'I' : transaction.failed ? 'E' : 'T'
    if (!transaction.active) this.extended.closePortals()
    this.news.tell(transaction.active)
    this.stream.out.begin('Z').string(status).end()
    this.stream.scheduleFlush()
  }

  /** A promise only where something has to be waited for: most messages are handled at once. */
  private extendedMessage(message: ClientMessage): Promise<void> | void {
    if (message.type === Frontend.sync) return this.endOfBatch(message)
    if (this.failedBatch) return undefined
    if (message.type === Frontend.functionCall) return this.functionCall(message)
    try {
      return this.extended.handle(message)?.catch((error: unknown) => this.failBatch(error))
    } catch (error) {
      return this.failBatch(error)
    }
  }

  /** The rest of the batch, up to its Sync, is skipped. */
  private async failBatch(error: unknown): Promise<void> {
    await this.messageFailed(error)
    this.failedBatch = true
  }

  /** Tells of an error that the session survives. */
  private async messageFailed(error: unknown): Promise<void> {
    if (error instanceof SqlError && error.fields.severity === 'FATAL') throw error
    await this.reportError(error)
    // What was kept on that connection alone (temporary tables, locks, LISTEN) is gone: the session cannot go on as if it were not.
    if (this.transaction.hasLostPinned) throw new SqlError('57P01', 'terminating connection: what the session kept on the catalog server is lost')
  }

  private async functionCall({ payload }: ClientMessage): Promise<void> {
    try {
      await this.extended.settle()
      await callFunction(payload, this)
      if (this.transaction.state === 'implicit') await this.commit()
    } catch (error) {
      await this.messageFailed(error)
    }
    this.readyForQuery()
  }

  /** Sync: what the batch did outside of BEGIN is committed now. */
  private endOfBatch({ payload }: ClientMessage): Promise<void> | void {
    this.failedBatch = false
    if (payload.length > 0 || this.extended.owesAnswers || this.transaction.state === 'implicit') return this.settleBatch(payload)
    this.readyForQuery()
  }

  private async settleBatch(payload: Buffer): Promise<void> {
    try {
      if (payload.length > 0) throw new SqlError('08P01', 'invalid message format')
      await this.extended.settle()
      if (this.transaction.state === 'implicit') await this.commit()
    } catch (error) {
      await this.messageFailed(error)
    }
    this.readyForQuery()
  }

  private async simpleQuery(message: ClientMessage): Promise<void> {
    try {
      await this.extended.settle()
      this.extended.forgetUnnamed()
      const text = readQuery(message.payload)
      this.doing.text = text
      await runSimpleQuery(text, this)
      if (this.transaction.state === 'implicit') await this.commit()
    } catch (error) {
      await this.messageFailed(error)
    }
    this.readyForQuery()
  }

  complete(end: StatementEnd): void {
    this.timers.statementEnds()
    if (end.kind === 'complete') this.stream.out.begin('C').cstring(end.tag).end()
    else if (end.kind === 'suspended') this.stream.out.begin('s').end()
    else this.stream.out.begin('I').end()
    this.stream.scheduleFlush()
  }

  /** Tells the client, and aborts the transaction as PostgreSQL would. */
  async reportError(given: unknown): Promise<void> {
    const sqlError = toldError(asReported(given), this.transaction)
    // What comes now, to clean up, is cancelled no more.
    this.isCleaning = true
    this.transaction.cancelled = undefined
    this.timers.statementEnds()
    this.extended.fail(sqlError)
    if (sqlError.code === 'XX000') this.services.log.warn(given instanceof Error ? (given.stack ?? given.message) : String(given))
    if (this.transaction.state === 'implicit') await this.rollback()
    else if (this.transaction.state === 'block' && !this.transaction.failed) await this.transaction.fail()
    writeErrorFields(this.stream.out, 'E', sqlError.fields)
    this.stream.scheduleFlush()
  }

  async commit(): Promise<void> {
    const changed = this.schemaChanged
    // As in PostgreSQL: a commit has no time limit but the transaction's own.
    this.timers.statementEnds()
    try {
      await this.transaction.commit()
    } finally {
      this.isCleaning = true
      this.timers.transactionEnds()
      await this.transactionOver(changed)
      this.isCleaning = false
    }
  }

  async rollback(): Promise<void> {
    await this.transaction.rollback()
    this.timers.transactionEnds()
    await this.transactionOver(this.schemaChanged)
  }

  private async transactionOver(schemaChanged: boolean): Promise<void> {
    this.transactionSnapshot = undefined
    this.keptSnapshot = undefined
    this.schemaChanged = false
    for (const [name, cursor] of this.cursors) if (!cursor.hold) this.cursors.delete(name)
    // It has ended as it has, whether or not the catalog can be asked now: who relies on the old schema is told so, and asks again.
    if (schemaChanged) await this.services.store.refresh(this.database).catch((error: Error) => this.services.log.warn(`snapshot of ${this.database}: ${error.message}`))
    await runSessionStatement.afterTransaction(this)
    if (this.temporaryTouched) {
      // The transaction has ended as it has: when that connection is lost just now, the next statement hears of it. Its tables keep their names until then.
      await this.refreshTemporary().catch((error: SqlError) => {
        if (!error.code.startsWith('08')) throw error
      })
    }
  }

  private checkSettings(): void {
    if (this.hasLostSettings) throw new SqlError('57P01', "terminating connection: the catalog server cannot be asked for the session's settings", { severity: 'FATAL' })
  }

  /** A failed transaction takes nothing but its end. */
  checkNotFailed(statement: Statement | undefined): void {
    this.checkSettings()
    if (statement !== undefined) this.doing.text = statement.source.text
    if (!this.transaction.failed || (statement !== undefined && runSessionStatement.allowedWhenFailed(statement))) return
    throw new SqlError('25P02', 'current transaction is aborted, commands ignored until end of transaction block')
  }

  /** Any statement. Throws SqlError. */
  async runStatement(statement: Statement, args: Arguments, sink: ClientSink): Promise<StatementEnd> {
    this.checkNotFailed(statement)
    // Before the servers' snapshots: rows that have moved after them are on a server where they cannot be seen.
    if (this.transaction.keepsLayout && this.keptSnapshot === undefined && readsRows(statement)) this.keptSnapshot = await this.services.store.newest(this.database)
    if (this.transaction.needsSnapshots && readsRows(statement)) await openAllSnapshots(this.executionContext(await this.currentSnapshot()))
    if (this.replicas.isOnReplicas) await this.replicas.leaveOld(statement)
    return (await runSessionStatement(statement, args, sink, this)) ?? this.runData(statement, args, sink)
  }

  /** Any statement of data. */
  runData(statement: Statement, args: Arguments, sink: ResultSink & { touched?: boolean }): Promise<StatementEnd> {
    return runData(statement, args, sink, this)
  }

  /** In a block that could go on with the newest layout. */
  get mayFindTablesMoved(): boolean {
    const { transaction, snapshot } = this
    return transaction.active && !transaction.keepsLayout && snapshot?.isMoving === true
  }

  plan(statement: Statement, types: readonly number[], snapshot: Snapshot, inParts = false): PlannedStatement {
    // Rows that the client fetches in parts wait in a portal, on one server.
    if (inParts) return planStatement(statement, this.nameContext(snapshot, types), 'one-server')
    if (this.temporary.size > 0 || this.views !== undefined) return planStatement(statement, this.nameContext(snapshot, types))
    const known = this.known(statement, snapshot, types)
    known.planned ??= planStatement(statement, { ...this.nameContext(snapshot, types), fetchesReference: false })
    const { plan } = known.planned
    const names = plan.kind === 'gather' && plan.readsReference ? this.nameContext(snapshot, types) : undefined
    return names?.fetchesReference === true ? planStatement(statement, names) : known.planned
  }
}
