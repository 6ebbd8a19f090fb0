/** Kinds of anomaly, and which of them an isolation level of PostgreSQL forbids. */
import type { Transaction } from './history.ts'

/**
 * Of one read: garbage (nobody appended it), duplicate (a value twice), incompatible order (two reads of which neither begins with the other),
 * G1a (of an aborted transaction), G1b (a list that ends inside another transaction), own append missing, unrepeatable (two reads of a transaction differ).
 * lost: acknowledged, and not in the last read of all.
 * Of cycles: G0 write-write only; G1c write-write and write-read; G-single with one read-write; G-nonadjacent with several, never two in a row;
 * G2-item any other with several. "-session" and "-realtime": the cycle needs the order of a client's own transactions, or of the clock.
 */
export type AnomalyKind = ReadAnomaly | CycleKind | `${CycleKind}-session` | `${CycleKind}-realtime`

export type ReadAnomaly = 'garbage' | 'duplicate' | 'incompatible-order' | 'G1a' | 'G1b' | 'own-append-missing' | 'unrepeatable' | 'lost'

export type CycleKind = 'G0' | 'G1c' | 'G-single' | 'G-nonadjacent' | 'G2-item'

export interface Anomaly {
  readonly kind: AnomalyKind
  /** What was seen, for people. */
  readonly text: string
  readonly transactions: readonly Transaction[]
}

const readCommitted: readonly AnomalyKind[] = ['garbage', 'duplicate', 'incompatible-order', 'G1a', 'G1b', 'own-append-missing', 'lost', 'G0', 'G1c']

/** REPEATABLE READ of PostgreSQL is snapshot isolation: of cycles only those with two read-write edges in a row are left. */
export const forbidden = {
  'read committed': readCommitted,
  /** REPEATABLE READ whose servers are each seen at a moment of their own. */
  'repeatable read of each shard': [...readCommitted, 'unrepeatable'],
  'repeatable read': [...readCommitted, 'unrepeatable', 'G-single', 'G-nonadjacent'],
  serializable: [...readCommitted, 'unrepeatable', 'G-single', 'G-nonadjacent', 'G2-item'],
} as const satisfies Record<string, readonly AnomalyKind[]>

export type Level = keyof typeof forbidden

export function forbiddenAt(level: Level, anomalies: readonly Anomaly[]): Anomaly[] {
  const kinds: readonly AnomalyKind[] = forbidden[level]
  return anomalies.filter(({ kind }) => kinds.includes(kind))
}
