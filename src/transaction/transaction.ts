/**
 * A session's transaction over any number of servers.
 *
 * Words: a *participant* is a server that the transaction has begun on, with the connection it holds there. The *journal*
 * is what every participant must have been told, in order: savepoints and settings. A server becomes a participant when
 * the first statement needs it; its BEGIN and the journal go out in front of that statement, in the same request.
 *
 *   none --begin--> block | implicit --commit/rollback--> none
 *
 * 'block' is BEGIN ... COMMIT by the client; 'implicit' is what PostgreSQL makes of several statements in one message.
 */
import { SqlError } from '../base/errors.ts'
import type { ServerAddress } from '../catalog/server-address.ts'
import { catalogId } from '../catalog/server-address.ts'
import type { Connection } from '../shard/connection.ts'
import { txIdle } from '../shard/exchange.ts'
import type { Pool, Waits } from '../shard/pool.ts'
import { query } from '../shard/query.ts'
import { commitBranches, newTransactionId } from './commit.ts'
import type { CommitContext } from './commit.ts'
import { ServerBranch } from './server-branch.ts'
import { defaultIsolation } from './default-isolation.ts'
import type { Settings } from './settings.ts'
import { settingsChange } from './settings.ts'
import type { Timeout, TimeoutName, Timeouts } from '../shard/timeouts.ts'
import { noTimeouts, withTimeout } from '../shard/timeouts.ts'

export interface JournalEntry {
  readonly text: string
  /** Set for a savepoint. */
  readonly savepoint: string | undefined
  /** What the session had set by then. */
  readonly settings: Settings
  readonly timeouts: Timeouts
  readonly timeoutsToKeep: Timeouts
}

export interface Participant {
  readonly server: ServerAddress
  readonly connection: Connection
  readonly told: Set<JournalEntry>
  /** Portals that wait on the connection for their next rows. */
  readonly portals: Set<string>
  wrote: boolean
  /** Holds what PREPARE TRANSACTION refuses: temporary tables, NOTIFY. */
  cannotPrepare: boolean
  /** Nothing but the journal has run on it. */
  fresh: boolean
}

/** A connection to run one statement on, and what must run before it in the same request. */
export interface Lease {
  readonly connection: Connection
  readonly prelude: readonly string[]
  readonly participant: Participant | undefined
}

/** What runs for a session on a connection that others use too. */
export interface SharedUse {
  /** Ends it, and nothing of the others. */
  cancel(): void
}

/** What BEGIN or SET TRANSACTION asked for; undefined where it said nothing. */
export interface TransactionModes {
  readonly text: string
  readonly readOnly: boolean | undefined
  readonly isolation: string | undefined
}

export const defaultModes: TransactionModes = { text: '', readOnly: undefined, isolation: undefined }

/** Values of default_transaction_isolation and default_transaction_read_only. */
export interface BaseModes {
  readonly isolation: string
  readonly readOnly: boolean
}

export type TransactionState = 'none' | 'block' | 'implicit'

let begun = 0

export class Transaction {
  /** Grows with each transaction of this router: the youngest has the largest. */
  serial = 0
  /** Milliseconds since the epoch. */
  begunAt = 0
  private ownId: string | undefined
  private beganAt = 0
  /** The client has asked for the id. */
  isAsked = false
  /** Chosen to end a deadlock: what it is told is 40P01. */
  isVictim = false
  state: TransactionState = 'none'
  /** It begins and ends with a statement, which can be tried again as a whole. */
  isOfOneStatement = false
  failed = false
  /** What transactions are where the session has SET nothing: its role or database may say so. */
  readonly base: BaseModes
  private modeTexts: string[] = []
  readOnly = false
  isolation = 'read committed'
  /** Under REPEATABLE READ: every server's snapshot has begun. */
  snapshotsOpen = false
  /** Under SERIALIZABLE: the one shard. It is chosen before there is a connection to it, since shards may be asked for at once. */
  private serializableOn: number | undefined
  private journal: JournalEntry[] = []
  private settingsAtBegin: Settings = new Map()
  readonly participants = new Map<number, Participant>()
  /** The server whose now() is the transaction's time, once it has been used; see executor/transaction-time.ts. */
  clock: ServerAddress | undefined
  /** That time, once another server needed it. */
  time: string | undefined
  settings: Settings = new Map()
  /** As they are now, those that SET LOCAL gave among them. */
  timeouts: Timeouts = noTimeouts
  private timeoutsToKeep: Timeouts = noTimeouts
  private timeoutsAtBegin: Timeouts = noTimeouts
  /** The statement has been cancelled: what it would do next on any server fails with this. */
  cancelled: SqlError | undefined
  /** What to tell of it. */
  cancelReason: string | undefined
  /** Ends the session's waiting for connections. */
  readonly waits: Waits = new Set()
  /** Connections that run something for this session now. */
  readonly inUse = new Set<Connection>()
  /** Servers that this session has written on, in this transaction or an earlier one, until somebody notes how far their logs are. */
  readonly written = new Set<number>()
  /** What runs for this session on a connection that others use too. */
  sharedUse: SharedUse | undefined
  /** Hears what settings are again when a transaction that changed some has ended, or gone back. */
  onReported: (name: string, value: string) => void = () => undefined
  /** Connections on which something is asked beside the transaction, which waits for the answer. */
  readonly asks = new Set<Connection>()
  /** Connections on which a lock is waited for again and again, for a short time each (executor/schema/table-lock.ts). */
  readonly repeatedWaits = new Set<Connection>()
  /** A catalog connection that the session keeps: it holds its temporary tables, locks or LISTENs. */
  pinned: Connection | undefined
  private readonly pool: Pool
  readonly database: string
  private readonly user: string
  private readonly commitContext: CommitContext

  constructor(pool: Pool, database: string, user: string, commitContext: CommitContext, base: BaseModes) {
    this.base = base
    this.pool = pool
    this.database = database
    this.user = user
    this.commitContext = commitContext
  }

  get active(): boolean {
    return this.state !== 'none'
  }

  begin(state: 'block' | 'implicit', modes: TransactionModes = defaultModes): void {
    this.state = state
    this.serial = ++begun
    this.begunAt = this.commitContext.clock.now()
    this.ownId = undefined
    this.beganAt = this.commitContext.clock.now()
    this.isAsked = false
    this.isVictim = false
    this.failed = false
    this.clock = undefined
    this.time = undefined
    this.readOnly = this.readOnlyByDefault
    this.isolation = defaultIsolation(this.settings, this.base)
    this.snapshotsOpen = false
    this.isOfOneStatement = false
    this.serializableOn = undefined
    this.modeTexts = []
    this.journal = []
    this.settingsAtBegin = this.settings
    this.timeoutsAtBegin = this.timeouts
    this.addModes(modes)
  }

  /** Its name in the cluster; another in each transaction. */
  get id(): string {
    this.ownId ??= newTransactionId(this.commitContext.clock, this.beganAt)
    return this.ownId
  }

  /** What the session kept on the catalog is gone with the connection to it. */
  get hasLostPinned(): boolean {
    return this.pinned?.isLost === true
  }

  /** Whether a write would be refused now. */
  get readOnlyNow(): boolean {
    return this.active ? this.readOnly : this.readOnlyByDefault
  }

  private get readOnlyByDefault(): boolean {
    const set = this.settings.get('default_transaction_read_only')
    return set === undefined ? this.base.readOnly : /(=|\bto\b)\s*'?(on|true|yes|1)'?\s*$/i.test(set)
  }

  /** Modes that come after BEGIN (SET TRANSACTION), before any participant has begun. */
  addModes(modes: TransactionModes): void {
    if (modes.text !== '') this.modeTexts.push(modes.text)
    this.readOnly = modes.readOnly ?? this.readOnly
    this.isolation = modes.isolation ?? this.isolation
  }

  /** Of the transaction, or of the one that would begin now. */
  get isolationNow(): string {
    return this.active ? this.isolation : defaultIsolation(this.settings, this.base)
  }

  /** Its statements see rows as of its first: it must not learn of rows that have come to a server since by way of a move. */
  get keepsLayout(): boolean {
    return this.active && (this.isolation === 'repeatable read' || this.isolation === 'serializable')
  }

  get needsSnapshots(): boolean {
    return this.isolation === 'repeatable read' && this.active && !this.snapshotsOpen
  }

  /** All modes, for COMMIT AND CHAIN. */
  get modes(): TransactionModes {
    return { text: this.modeTexts.join(', '), readOnly: this.readOnly, isolation: this.isolation }
  }

  /** Outside a transaction: a pooled connection. Inside: the server's participant, which it becomes by this. */
  async lease(server: ServerAddress): Promise<Lease> {
    if (this.cancelled !== undefined) throw this.cancelled
    const known = this.participants.get(server.id)
    if (known !== undefined) {
      await known.connection.cancelling
      this.inUse.add(known.connection)
    }
    if (known !== undefined) return { connection: known.connection, prelude: this.untold(known), participant: known }
    const isSerializable = this.active && this.isolation === 'serializable' && server.id !== catalogId
    if (isSerializable) this.serializableOn ??= server.id
    if (isSerializable && this.serializableOn !== server.id) {
      throw new SqlError('0A000', 'a SERIALIZABLE transaction cannot span shards', { hint: 'Use REPEATABLE READ, or keep the transaction to one shard.' })
    }
    let connection = await this.connect(server)
    for (; connection.isLost; connection = await this.connect(server)) this.giveBack(connection)
    this.inUse.add(connection)
    const settings = this.active ? this.settingsAtBegin : this.settings
    if (connection.settings !== settings) await this.applySettings(connection, settings)
    if (!this.active) return { connection, prelude: [], participant: undefined }
    const participant: Participant = { server, connection, told: new Set(), portals: new Set(), wrote: false, cannotPrepare: false, fresh: true }
    this.participants.set(server.id, participant)
    // On the catalog a gather needs temporary tables, which READ ONLY forbids: there the router itself refuses writes.
    const texts = server.id === catalogId && this.readOnly ? [...this.modeTexts, 'READ WRITE'] : this.modeTexts
    const begin = `BEGIN ${texts.join(', ')}`
    return { connection, prelude: [begin, ...this.untold(participant)], participant }
  }

  /** The connection goes back to the pool unless a transaction, or the session, keeps it. */
  release(lease: Lease): void {
    this.inUse.delete(lease.connection)
    if (lease.participant === undefined) this.giveBack(lease.connection)
  }

  /** From now on the session uses this catalog connection for all that runs on the catalog. */
  pin(connection: Connection): void {
    this.pinned = connection
  }

  unpin(): void {
    const { pinned } = this
    this.pinned = undefined
    if (pinned !== undefined && !this.holds(pinned)) this.giveBack(pinned)
  }

  /** Adds to the journal what one participant, if given, has run already. */
  note(text: string, savepoint: string | undefined, ranOn?: Participant): void {
    const { settings, timeouts, timeoutsToKeep } = this
    const entry = { text, savepoint, settings, timeouts, timeoutsToKeep }
    this.journal.push(entry)
    ranOn?.told.add(entry)
  }

  get journalLength(): number {
    return this.journal.length
  }

  hasSavepoint(name: string): boolean {
    return this.journal.some((entry) => entry.savepoint === name)
  }

  /** Until `endStatement` or `undoStatement`: what a statement does can be undone by itself, since its tables may be on their way. */
  beginStatement(): void {
    this.note(statementSavepoint, statementSavepoint)
  }

  get canUndoStatement(): boolean {
    return this.hasSavepoint(statementSavepoint)
  }

  endStatement(): Promise<void> {
    return this.releaseSavepoint(statementSavepoint)
  }

  async undoStatement(): Promise<void> {
    await this.rollbackTo(statementSavepoint)
    await this.releaseSavepoint(statementSavepoint)
  }

  /** The statement has failed: the block goes back further than to its beginning. */
  forgetStatement(): void {
    this.journal = this.journal.filter(({ savepoint }) => savepoint !== statementSavepoint)
  }

  async rollbackTo(name: string): Promise<void> {
    const at = this.journal.findLastIndex((entry) => entry.savepoint === name)
    const savepoint = this.journal[at] as JournalEntry
    const text = `ROLLBACK TO ${savepoint.text}`
    await Promise.all(
      [...this.participants.values()].map(async (participant) => {
        if (participant.told.has(savepoint)) await query(participant.connection, text)
      }),
    )
    this.reportSettings()
    this.journal = this.journal.slice(0, at + 1)
    this.settings = savepoint.settings
    this.timeouts = savepoint.timeouts
    this.timeoutsToKeep = savepoint.timeoutsToKeep
    this.failed = false
  }

  /**
   * An error in a block: as in PostgreSQL, what was done since the last savepoint is undone at once, on all servers, and its
   * locks are free; the client has still to say how the block ends.
   */
  async fail(): Promise<void> {
    this.failed = true
    const savepoint = this.journal.findLast((entry) => entry.savepoint !== undefined)
    this.timeouts = savepoint?.timeouts ?? this.timeoutsAtBegin
    this.timeoutsToKeep = savepoint?.timeoutsToKeep ?? this.timeoutsAtBegin
    if (savepoint !== undefined) {
      const told = [...this.participants.values()].filter((participant) => participant.told.has(savepoint) && !participant.connection.isLost)
      await Promise.all(told.map(({ connection }) => query(connection, `ROLLBACK TO ${savepoint.text}`).catch(() => connection.close())))
      this.reportSettings()
      return
    }
    const touched = this.journal.some((entry) => entry.savepoint === undefined)
    await Promise.all([...this.participants.values()].map(({ connection }) => rollbackOne(connection)))
    this.letGo(touched)
  }

  async releaseSavepoint(name: string): Promise<void> {
    const at = this.journal.findLastIndex((entry) => entry.savepoint === name)
    const savepoint = this.journal[at] as JournalEntry
    await Promise.all(
      [...this.participants.values()].map(async (participant) => {
        if (participant.told.has(savepoint)) await query(participant.connection, `RELEASE ${savepoint.text}`)
      }),
    )
    this.journal = this.journal.filter((entry, i) => i < at || entry.savepoint === undefined)
  }

  /** Commits on all participants, atomically. On an error nothing is committed and the transaction is over. */
  async commit(): Promise<void> {
    for (const { server, wrote } of this.participants.values()) if (wrote) this.written.add(server.id)
    const branches = [...this.participants.values()].map((participant) => new ServerBranch(participant, this.inUse))
    try {
      await commitBranches(branches, this, this.commitContext)
      this.end(this.journal.some((entry) => entry.savepoint === undefined))
    } catch (error) {
      await this.rollback()
      throw error
    }
  }

  async rollback(): Promise<void> {
    const changed = this.journal.some((entry) => entry.savepoint === undefined)
    this.settings = this.settingsAtBegin
    this.timeoutsToKeep = this.timeoutsAtBegin
    await Promise.all([...this.participants.values()].map(({ connection }) => rollbackOne(connection)))
    this.end(changed)
  }

  /** Ends what runs now on any server: a deadlock needs an end. */
  cancelAsVictim(): void {
    this.isVictim = true
    const connections = new Set([...[...this.participants.values()].map(({ connection }) => connection), ...this.asks, ...this.inUse])
    for (const connection of connections) if (connection.pendingExchanges > 0) void connection.cancel()
  }

  /** SET, or SET LOCAL; undefined turns it off. */
  keepTimeout(name: TimeoutName, timeout: Timeout | undefined, isLocal: boolean): void {
    this.keepTimeouts(withTimeout(this.timeouts, name, timeout), isLocal ? this.timeoutsToKeep : withTimeout(this.timeoutsToKeep, name, timeout))
  }

  keepTimeouts(now: Timeouts, toKeep = now): void {
    this.timeouts = now
    this.timeoutsToKeep = toKeep
  }

  /** Cancels what runs now on any server, and what the statement would do next. `reason` is told. */
  cancel(reason: string): void {
    this.cancelReason = reason
    this.cancelled = new SqlError('57014', reason)
    for (const end of this.waits) end(this.cancelled)
    this.cancelRunning()
  }

  cancelRunning(): void {
    this.sharedUse?.cancel()
    for (const connection of [...this.inUse, ...this.asks]) if (connection.pendingExchanges > 0) void connection.cancel()
  }

  /** Breaks everything off at once: the client is gone. */
  async abandon(): Promise<void> {
    for (const { connection } of this.participants.values()) {
      if (connection.pendingExchanges > 0) connection.close()
    }
    if (this.active) await this.rollback()
    this.pinned?.close()
    this.pinned = undefined
  }

  /** A participant that has done nothing yet may leave, so that its first statement can be tried again. */
  async dropFresh(participant: Participant): Promise<void> {
    this.participants.delete(participant.server.id)
    if (this.serializableOn === participant.server.id) this.serializableOn = undefined
    if (this.clock?.id === participant.server.id) this.clock = undefined
    await rollbackOne(participant.connection)
    this.giveBack(participant.connection)
  }

  /** A request of its own: defaults of transactions count only for those that begin later. */
  private async applySettings(connection: Connection, settings: Settings): Promise<void> {
    const change = settingsChange(connection.settings, settings)
    connection.settings = undefined
    try {
      if (change.length > 0) await query(connection, change.join('; '))
      connection.settings = settings
    } catch (error) {
      this.inUse.delete(connection)
      this.giveBack(connection)
      throw error
    }
  }

  private untold(participant: Participant): string[] {
    const entries = this.journal.filter((entry) => !participant.told.has(entry))
    for (const entry of entries) participant.told.add(entry)
    return entries.map((entry) => (entry.savepoint === undefined ? entry.text : `SAVEPOINT ${entry.text}`))
  }

  /** The catalog judges all settings, so it is on it that they change back. */
  private reportSettings(): void {
    if (!this.journal.some((entry) => entry.savepoint === undefined)) return
    for (const [name, value] of this.participants.get(catalogId)?.connection.reported ?? []) this.onReported(name, value)
  }

  private letGo(settingsTouched: boolean): void {
    if (settingsTouched) this.reportSettings()
    for (const { connection } of this.participants.values()) {
      // SET inside a transaction stays, or not, by rules of its own: the next holder sets all anew.
      if (settingsTouched) connection.settings = undefined
      this.inUse.delete(connection)
      this.giveBack(connection)
    }
    this.participants.clear()
  }

  private end(settingsTouched: boolean): void {
    this.letGo(settingsTouched)
    this.journal = []
    this.state = 'none'
    this.timeouts = this.timeoutsToKeep
    this.cancelled = undefined
    this.failed = false
    this.readOnly = false
  }

  private async connect(server: ServerAddress): Promise<Connection> {
    if (server.id === catalogId && this.pinned !== undefined && !this.pinned.isLost) return this.pinned
    return this.pool.tryTake(server, this.database, this.user) ?? this.pool.take(server, this.database, this.user, this.waits)
  }

  private holds(connection: Connection): boolean {
    return [...this.participants.values()].some((participant) => participant.connection === connection)
  }

  private giveBack(connection: Connection): void {
    if (connection === this.pinned) return
    this.pool.release(connection)
  }
}

const statementSavepoint = 'pgherd_statement'

async function rollbackOne(connection: Connection): Promise<void> {
  if (connection.isLost || (connection.txStatus === txIdle && connection.pendingExchanges === 0)) return
  await query(connection, 'ROLLBACK').catch(() => connection.close())
}
