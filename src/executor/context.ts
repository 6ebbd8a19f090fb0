import type { ServerAddress } from '../catalog/server-address.ts'
import { catalogId } from '../catalog/server-address.ts'
import type { Snapshot } from '../catalog/snapshot.ts'
import type { RouterFact } from '../planner/router-facts.ts'
import type { Clock } from '../base/clock.ts'
import type { FieldDescription } from '../protocol/row-description.ts'
import type { BindValues } from '../shard/requests.ts'
import type { Pool } from '../shard/pool.ts'
import type { LaneGroup } from '../transaction/lanes.ts'
import type { Transaction } from '../transaction/transaction.ts'
import type { CommitGate } from '../transaction/commit-gate.ts'
import type { ReadConsistency } from './one-moment.ts'
import type { ReplicaReads } from './read-replica.ts'
import type { SequenceValues } from './sequence-values.ts'
import type { ShellNames } from './shell-names.ts'

/** What the execution of one statement needs to know of its session. */
export interface ExecutionContext {
  readonly transaction: Transaction
  readonly snapshot: Snapshot
  readonly catalog: ServerAddress
  readonly pool: Pool
  readonly names: ShellNames
  readonly sequences: SequenceValues
  readonly clock: Clock
  readonly database: string
  readonly user: string
  /** The statement as the client sent it: positions in errors are positions in it. */
  readonly text: string
  /** The number of the session, as its client knows it. */
  readonly sessionPid: number
  /** What this router knows. */
  routerRows(fact: RouterFact): Promise<readonly RouterRow[]>
  /** Asks the catalog for the newest schema: a server has shown that this session's is old. */
  refreshSchema(): Promise<Snapshot>
  /** The connections that this session may share with others for point reads. */
  laneGroup(server: ServerAddress): LaneGroup
  /** What the session wants of reads of several servers. */
  readonly consistency: ReadConsistency
  readonly gate: CommitGate
  /** Where reads may go to replicas. */
  readonly replicas?: ReplicaReads | undefined
  /** EXPLAIN ANALYZE is told of each statement that has run on a server. */
  readonly onPart?: (part: PartReport) => void
  /** The session's last value of a sequence, for currval and lastval. */
  noteSequence(sequence: string, value: string): void
}

export interface PartReport {
  readonly server: string
  readonly text: string
  readonly rows: number
  readonly milliseconds: number
}

/** By the columns of the view of schema pgherd that has the fact's name. */
export type RouterRow = Readonly<Record<string, string | undefined>>

/** The values of a statement's parameters, as the client bound them. */
export interface Arguments {
  readonly types: readonly number[]
  readonly bind: BindValues
  /** The text may come again: keep it prepared on servers. */
  readonly keep: boolean
  /** The portal on the server, where the client fetches in parts; '' for all at once. */
  readonly portal: string
  readonly rowsMax: number
  /** Nobody needs to be told the columns. */
  readonly isDescribed?: boolean
  /** What the client has been told, or will be told, without asking the server: other columns must not follow. */
  readonly promised?: readonly FieldDescription[] | undefined
}

export const noArguments: Arguments = {
  types: [],
  bind: { parameterFormats: [], values: [], resultFormats: [] },
  keep: false,
  portal: '',
  rowsMax: 0,
  isDescribed: false,
}

export function serverById(context: ExecutionContext, id: number): ServerAddress {
  if (id === catalogId) return context.catalog
  const server = context.snapshot.shards.find((shard) => shard.id === id)
  if (server === undefined) throw new Error(`no shard ${id}`)
  return server
}
