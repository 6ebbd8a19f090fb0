import type { Clock } from '../base/clock.ts'
import type { Credentials, ServerAddress } from '../catalog/server-address.ts'
import type { Logger } from '../observability/logger.ts'
import type { CommitContext } from '../transaction/commit.ts'
import type { MoveRecord } from './move-record.ts'
import type { MoveSessions } from './move-sessions.ts'
import type { SingleCopyStatements } from './single-tables.ts'

export interface BucketToMove {
  readonly kind: 'bucket'
  readonly group: number
  readonly bucket: number
}

export interface SinglesToMove {
  readonly kind: 'table'
  /** Its number in pgherd.placement. */
  readonly table: number
}

/** One move, as one mover works on it. */
export interface MoveJob {
  readonly id: number
  readonly moved: BucketToMove | SinglesToMove
  readonly database: string
  readonly catalog: ServerAddress
  readonly source: ServerAddress
  readonly target: ServerAddress
  /** Of its publication, slot and subscription. */
  readonly name: string
  readonly sessions: MoveSessions
  readonly record: MoveRecord
  readonly credentials: Credentials
  readonly commit: CommitContext
  readonly singleCopy: SingleCopyStatements
  readonly clock: Clock
  readonly log: Logger
  /** Aborted when the mover has lost its lock, or stops. */
  readonly signal: AbortSignal
  /** Is told of each step before it is done. */
  readonly onStep: (step: string) => void
}

/** It cannot be done at all, now or later: the move is undone. */
export class MoveImpossible extends Error {}
