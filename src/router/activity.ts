/** A client's session as other sessions may see it, and reach it. */
import { catalogId } from '../catalog/server-address.ts'
import type { RouterRow } from '../executor/context.ts'
import type { Transaction } from '../transaction/transaction.ts'

export interface ClientSession {
  readonly user: string
  readonly database: string
  activity(): RouterRow
  cancel(): void
  /** Ends the session, as an administrator's command. */
  terminate(): void
}

const shownLengthMax = 1023

/** What a session does, and since when. */
export class Activity {
  private shownText = ''
  private readonly startedAt: number
  private workingSince: number
  private idleSince: number
  private transactionSince: number | undefined

  constructor(now: number) {
    this.startedAt = now
    this.workingSince = now
    this.idleSince = now
  }

  /** As PostgreSQL shows it by default: the first bytes (track_activity_query_size). A copy, since a part would keep the whole. */
  set text(text: string) {
    this.shownText = text.length <= shownLengthMax ? text : Buffer.from(text.slice(0, shownLengthMax)).toString()
  }

  begin(now: number): void {
    this.workingSince = now
    this.transactionSince ??= now
  }

  end(now: number, inTransaction: boolean): void {
    this.idleSince = now
    if (!inTransaction) this.transactionSince = undefined
  }

  /** The columns of pgherd.sessions that say what it does. */
  row(isWorking: boolean, transaction: Transaction): RouterRow {
    const idle = transaction.state !== 'block' ? 'idle' : transaction.failed ? 'idle in transaction (aborted)' : 'idle in transaction'
    const connection = transaction.pinned ?? transaction.participants.get(catalogId)?.connection
    return {
      backend_start: asTime(this.startedAt),
      xact_start: this.transactionSince === undefined ? undefined : asTime(this.transactionSince),
      query_start: asTime(this.workingSince),
      state_change: asTime(isWorking ? this.workingSince : this.idleSince),
      state: isWorking ? 'active' : idle,
      query: this.shownText,
      server_pid: connection === undefined ? undefined : String(connection.pid),
    }
  }
}

const asTime = (at: number) => new Date(at).toISOString()

/** The numbers of a router's clients: unlike those of processes on any server, and of another router's with high probability. */
export class SessionNumbers {
  private readonly base: number
  private last = 0

  constructor(randomInt: (below: number) => number) {
    this.base = (firstBlock + randomInt(blocks - firstBlock)) * blockSize
  }

  next(isTaken: (pid: number) => boolean): number {
    do this.last = (this.last + 1) % blockSize
    while (isTaken(this.base + this.last))
    return this.base + this.last
  }
}

/** A process has a number below 2^22, a session one below 2^31. */
const blockSize = 2 ** 20
const firstBlock = 4
const blocks = 2 ** 11
