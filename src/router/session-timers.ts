/**
 * A session's time limits, as one PostgreSQL keeps them, however many servers take part.
 *
 * statement_timeout runs from a statement's first message to its end; transaction_timeout from a transaction's begin to its end;
 * the other two from the answer to a client's message to its next. A session that has set none of them starts no timer.
 */
import type { Clock } from '../base/clock.ts'
import type { SqlErrorFields } from '../base/errors.ts'
import type { TimeoutName, Timeouts } from '../shard/timeouts.ts'

/** What a timer sees of its session, and does to it. */
export interface TimedSession {
  readonly timeouts: Timeouts
  cancel(reason: string): void
  terminate(fields: SqlErrorFields): void
}

type Stop = () => void

export class SessionTimers {
  private readonly session: TimedSession
  private readonly clock: Clock
  private statement: Stop | undefined
  private transaction: Stop | undefined
  private idle: Stop | undefined

  constructor(session: TimedSession, clock: Clock) {
    this.session = session
    this.clock = clock
  }

  /** A message has come, or the next statement of one begins. */
  begin(): void {
    this.idle?.()
    this.idle = undefined
    const ms = this.ms('statement_timeout')
    if (ms > 0) this.statement ??= this.clock.after(ms, () => this.session.cancel('canceling statement due to statement timeout'))
    this.beginTransaction()
  }

  statementEnds(): void {
    this.statement?.()
    this.statement = undefined
  }

  transactionEnds(): void {
    this.transaction?.()
    this.transaction = undefined
  }

  /** Its value has changed inside a transaction: as in PostgreSQL, one that is on already keeps its time. */
  changed(): void {
    if (this.ms('transaction_timeout') === 0) this.transactionEnds()
    else this.beginTransaction()
  }

  /** The session waits for its client. */
  ready(inBlock: boolean): void {
    this.statementEnds()
    if (!inBlock) this.transactionEnds()
    if (this.session.timeouts.size === 0) return
    if (inBlock) this.beginTransaction()
    const name = inBlock ? 'idle_in_transaction_session_timeout' : 'idle_session_timeout'
    const ms = this.ms(name)
    const ofTransaction = this.ms('transaction_timeout')
    // As in PostgreSQL: a transaction that ends no later needs no other timer.
    if (ms === 0 || (inBlock && ofTransaction > 0 && ofTransaction <= ms)) return
    this.idle = this.clock.after(ms, () => this.session.terminate(ends[name]))
  }

  close(): void {
    this.idle?.()
    this.statementEnds()
    this.transactionEnds()
  }

  private beginTransaction(): void {
    const ms = this.ms('transaction_timeout')
    if (ms > 0) this.transaction ??= this.clock.after(ms, () => this.session.terminate(ends.transaction_timeout))
  }

  private ms(name: TimeoutName): number {
    return Math.min(this.session.timeouts.get(name)?.ms ?? 0, timerMsMax)
  }
}

/** The longest that a timer of Node takes; it is PostgreSQL's longest, too. */
const timerMsMax = 2 ** 31 - 1

const fatal = (code: string, what: string): SqlErrorFields => ({ severity: 'FATAL', code, message: `terminating connection due to ${what}` })

const ends = {
  transaction_timeout: fatal('25P04', 'transaction timeout'),
  idle_in_transaction_session_timeout: fatal('25P03', 'idle-in-transaction timeout'),
  idle_session_timeout: fatal('57P05', 'idle-session timeout'),
}
