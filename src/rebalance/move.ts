/** A bucket of a table group, or a single table, on its way to another shard: a row of pgherd.move in the database's shell. */

/**
 * waiting -> copying -> catching-up -> cutting-over -> cleaning -> done; until it is cut over also -> undoing -> undone.
 *
 * A stage is stored before it begins, and each may be begun again from its start, by any router.
 */
export type MoveStage = 'waiting' | 'copying' | 'catching-up' | 'cutting-over' | 'cleaning' | 'done' | 'undoing' | 'undone'

export interface MoveRequest {
  readonly group: number
  readonly bucket: number
  /** The shard that is to have the bucket. */
  readonly target: number
}

/** A single table, and with it those that have to be where it is (single-tables.ts). */
export interface TableMoveRequest {
  /** Its number in pgherd.placement. */
  readonly table: number
  readonly target: number
}

/** What an operator wants of a move. */
export type MoveWish = 'done' | 'paused' | 'undone'

export interface Move {
  readonly id: number
  /** Of a bucket: its table group and number. Of a single table both are undefined. */
  readonly group: number | undefined
  readonly bucket: number | undefined
  readonly table: number | undefined
  readonly target: number
  readonly source: number
  readonly stage: MoveStage
  readonly wanted: MoveWish
  /** A mover has been at work on it until just now. */
  readonly isWorkedOn: boolean
  /** Copied so far, and on the source in all, as far as that is known. */
  readonly bytes: number
  readonly bytesTotal: number
  /** What the target has still to apply. */
  readonly lagBytes: number | undefined
  /** The longest time for which it has held writes. */
  readonly heldMs: number | undefined
  /** Why it was last held up, or undone. */
  readonly error: string | undefined
}

export const isOver = ({ stage }: Pick<Move, 'stage'>): boolean => stage === 'done' || stage === 'undone'

export const whatMoves = ({ bucket, table }: Pick<Move, 'bucket' | 'table'>): string => (table === undefined ? `bucket ${bucket}` : `single table ${table}`)
