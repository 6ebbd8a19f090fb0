/**
 * A history of transactions over lists: each appends values that no other transaction appends, and reads whole lists. A list therefore tells
 * in which order its writers came, which is what makes histories of this kind good to check (Kingsbury and Alvaro, "Elle", VLDB 2020).
 */
export type Op = Append | Read

export interface Append {
  readonly kind: 'append'
  readonly key: number
  readonly value: number
}

export interface Read {
  readonly kind: 'read'
  readonly key: number
  readonly values: readonly number[]
}

/** unknown: its client does not know what became of it. */
export type Status = 'committed' | 'aborted' | 'unknown'

export interface Transaction {
  readonly id: number
  /** Which client: one has one transaction at a time. */
  readonly client: number
  readonly status: Status
  readonly ops: readonly Op[]
  /** Moments of one clock; only their order counts. */
  readonly began: number
  readonly ended: number
}

export type History = readonly Transaction[]
