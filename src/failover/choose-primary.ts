/** Whether a shard needs another primary, and which replica becomes it. Pure: who asks the servers is shard-facts.ts. */
import type { LogPosition } from '../coordination/log-position.ts'

export interface ReplicaState {
  /** host:port, as in the record of those in sync. */
  readonly key: string
  /** How much of the log it has: received or replayed. Undefined when it does not answer. */
  readonly position: LogPosition | undefined
  /** It hears from the primary. */
  readonly isReceiving: boolean
}

export interface LostPrimary {
  readonly isWanted: boolean
  readonly unreachableMs: number
  readonly unreachableMsMin: number
  /** Those that the record has as in sync. */
  readonly inSync: readonly string[]
  readonly replicas: readonly ReplicaState[]
}

export type FailoverDecision = { readonly kind: 'begin' } | { readonly kind: 'wait'; readonly reason: string }

/**
 * All that are in sync must answer: an acknowledged commit is on one of them, and nobody knows on which. And none may hear from the primary, or it is
 * only this router that does not.
 */
export function decideFailover({ isWanted, unreachableMs, unreachableMsMin, inSync, replicas }: LostPrimary): FailoverDecision {
  if (!isWanted) return wait('failover is off')
  if (unreachableMs < unreachableMsMin) return wait('it may come back')
  if (inSync.length === 0) return wait('no replica is known to have all that was committed')
  const states = inSync.map((key) => replicas.find((replica) => replica.key === key))
  const silent = inSync.filter((_, i) => states[i]?.position === undefined)
  if (silent.length > 0) return wait(`${silent.join(', ')} may have what was committed, and does not answer`)
  const receiving = states.find((state) => state?.isReceiving)
  if (receiving !== undefined) return wait(`${receiving.key} still hears from it`)
  return { kind: 'begin' }
}

const wait = (reason: string): FailoverDecision => ({ kind: 'wait', reason })

/** The one of `required` that has most of the log; undefined as long as one of them does not answer. They must be cut off from the old primary before. */
export function choosePrimary(required: readonly string[], replicas: readonly ReplicaState[]): ReplicaState | undefined {
  const states = required.map((key) => replicas.find((replica) => replica.key === key))
  let best: (ReplicaState & { readonly position: LogPosition }) | undefined
  for (const state of states) {
    if (state?.position === undefined) return undefined
    if (best === undefined || state.position > best.position) best = { ...state, position: state.position }
  }
  return best
}
