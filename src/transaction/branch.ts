/**
 * One server's part of a transaction, as the commit sees it. A *branch* is a participant that is about to end.
 *
 * Each step throws SqlError: with a code of class 08 when the connection broke, so that nobody knows whether the server has done
 * it, else what the server answered, and then it has not. A stand-in for the simulation passes the same contract suite.
 */
export interface Branch {
  readonly server: { readonly id: number; readonly name: string }
  readonly wrote: boolean
  /** Holds what PREPARE TRANSACTION refuses: temporary tables, NOTIFY. */
  readonly cannotPrepare: boolean
  /** COMMIT. With a decision: its row becomes visible with the rest. */
  commit(steps: CommitSteps): Promise<void>
  /** PREPARE TRANSACTION. With the gate: from here until the prepared transaction ends nobody takes a snapshot of several servers. */
  prepare(name: string, throughGate: boolean): Promise<void>
  /** COMMIT PREPARED or ROLLBACK PREPARED. Throws 42704 when it is not there (any more). */
  finish(name: string, verb: FinishVerb): Promise<void>
  /** COMMIT of what has only read; does not fail. */
  end(): Promise<void>
}

export type FinishVerb = 'COMMIT' | 'ROLLBACK'

export interface CommitSteps {
  /** The commit waits for those who take a snapshot of several servers just now, and they for it. */
  readonly throughGate: boolean
  readonly decision: Decision | undefined
}

/** What the decider's commit says. */
export interface Decision {
  readonly id: string
  /** The servers that have prepared. The first is finished last: it holds the gate. */
  readonly others: readonly number[]
  /** The client knows the id, and may ask for long what became of it. */
  readonly isAsked: boolean
}

/** The name of a prepared transaction says whose it is and who decides: pgherd:<cluster>:<transaction>:<decider's server> */
export function preparedName(clusterId: string, transaction: string, decider: number): string {
  return `${preparedPrefix(clusterId)}${transaction}:${decider}`
}

export function preparedPrefix(clusterId: string): string {
  return `pgherd:${clusterId}:`
}

/** Undefined for the name of somebody else's. */
export function readPreparedName(clusterId: string, name: string): { readonly id: string; readonly decider: number } | undefined {
  const prefix = preparedPrefix(clusterId)
  const [, id, decider] = (name.startsWith(prefix) && /^([0-9a-f]+):(\d+)$/.exec(name.slice(prefix.length))) || []
  return id === undefined ? undefined : { id, decider: Number(decider) }
}
