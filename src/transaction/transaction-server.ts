/**
 * What commit and recovery ask of a server beside any session: on connections of the control plane's own.
 *
 * Each call throws when the server does not answer. A stand-in for the simulation passes the same contract suite as the
 * one over SQL (sql-transaction-server.ts).
 */
import type { FinishVerb } from './branch.ts'

export interface PreparedTransaction {
  readonly name: string
  readonly database: string
}

export type Outcome = 'committed' | 'aborted'

/** A row of pgherd.decision on the server that decided. */
export interface DecisionRow {
  readonly id: string
  readonly outcome: Outcome
  /** Servers that had prepared; undefined where that is not known. */
  readonly others: readonly number[] | undefined
}

/** Decisions that were made so long ago; what is 'aborted', also before a moment by the server's clock. */
export interface OldDecisions {
  readonly ageMs: number
  /** Of those whose id a client knows. */
  readonly askedAgeMs: number
  readonly abortedBefore: number
}

export interface TransactionServer {
  readonly id: number
  readonly name: string
  /** Prepared transactions whose names start so, prepared at least so long ago. */
  prepared(prefix: string, ageMs: number): Promise<readonly PreparedTransaction[]>
  databases(): Promise<readonly string[]>
  /** What this server has decided; undefined when nothing yet. */
  decision(database: string, id: string): Promise<DecisionRow | undefined>
  /**
   * Decides on 'aborted' unless the transaction is decided already: the answer is true for ever. Waits for a decider that is
   * committing, and throws when it takes long.
   */
  settle(database: string, id: string): Promise<DecisionRow>
  /** COMMIT PREPARED or ROLLBACK PREPARED. Nothing happens when it is not there any more. */
  finish(database: string, name: string, verb: FinishVerb): Promise<void>
  /** Milliseconds, by the server's clock: what is open on it now began no earlier. */
  openSince(): Promise<number>
  oldDecisions(database: string, wanted: OldDecisions): Promise<readonly DecisionRow[]>
  forget(database: string, ids: readonly string[]): Promise<void>
}
