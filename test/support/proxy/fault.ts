/** What a fault proxy is to do, at which message. */
import type { Message } from './read-message.ts'

export type When = 'before' | 'after'

/**
 * cut: both ends see the connection broken. hold: nothing goes on, in either direction, until it is released.
 * blackhole: what is sent from then on is lost, and neither end is told, until the connection is cut.
 */
export type Action = 'cut' | 'hold' | 'blackhole'

export interface FaultPlan {
  readonly matches: (message: Message) => boolean
  /** Which of the messages that match: 1 is the first. */
  readonly nth?: number
  /** Only on the connection on which this text has been sent to the server, and only what comes after it. */
  readonly marker?: string
  readonly when: When
  readonly action: Action
}

/** What a fault does with a connection. */
export interface Victim {
  release(): void
  cut(): void
}

export class ArmedFault {
  readonly plan: FaultPlan
  /** Resolves when the message has come, and the fault has happened. */
  readonly reached: Promise<void>
  private tellReached: () => void = () => undefined
  private victim: Victim | undefined
  private isOver = false
  /** The connection that the marker was seen on. */
  private marked: Victim | undefined
  private left: number

  constructor(plan: FaultPlan) {
    this.plan = plan
    this.left = plan.nth ?? 1
    this.reached = new Promise((resolve) => (this.tellReached = resolve))
  }

  get hasHappened(): boolean {
    return this.victim !== undefined
  }

  /** Whether it is this message of this connection. Counts those that match. */
  isAt(message: Message, connection: Victim): boolean {
    const { marker, matches } = this.plan
    if (marker !== undefined && this.marked !== connection) {
      if (message.direction === 'frontend' && message.text.includes(marker)) this.marked = connection
      return false
    }
    return !this.hasHappened && matches(message) && --this.left === 0
  }

  happen(connection: Victim): void {
    this.victim = connection
    this.tellReached()
  }

  /** Lets go on what was held: from then on the connection is left alone, since somebody else may use it. */
  release(): void {
    if (this.plan.action !== 'hold' || this.isOver) return
    this.isOver = this.hasHappened
    this.victim?.release()
  }

  cut(): void {
    if (!this.isOver) this.victim?.cut()
    this.isOver = this.hasHappened
  }
}
