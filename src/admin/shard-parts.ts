import type { Clock } from '../base/clock.ts'
import type { Credentials, ServerAddress } from '../catalog/server-address.ts'
import type { CatalogStore } from '../coordination/catalog-store.ts'
import type { Locks } from '../coordination/locks.ts'
import type { ServerList } from '../coordination/server-list.ts'
import type { SequenceValues } from '../executor/sequence-values.ts'
import type { ShellNames } from '../executor/shell-names.ts'
import type { Logger } from '../observability/logger.ts'
import type { Pool } from '../shard/pool.ts'
import type { CommitContext } from '../transaction/commit.ts'
import type { CommitGate } from '../transaction/commit-gate.ts'
import type { Lanes } from '../transaction/lanes.ts'
import type { Transaction } from '../transaction/transaction.ts'
import type { HostPort } from './shard-record.ts'

/** They run and are empty; the first is the primary. */
export interface NewServers {
  readonly servers: readonly [HostPort, ...HostPort[]]
  /** They did not become a shard. */
  discard(): Promise<void>
}

/** What changes of shards need of a router. */
export interface ShardParts {
  readonly catalog: ServerAddress
  readonly credentials: Credentials
  /** The same without a look at who is the primary: for servers of no shard. */
  readonly login: Credentials
  readonly store: CatalogStore
  readonly list: ServerList
  readonly locks: Locks
  readonly pool: Pool
  readonly lanes: Lanes
  readonly names: ShellNames
  readonly sequences: SequenceValues
  readonly gate: CommitGate
  readonly commit: CommitContext
  /** Those that are looked at for deadlocks. */
  readonly transactions: Set<Transaction>
  /** Where the router's own machine has the servers: starts those of one more shard. */
  readonly newServers?: (() => Promise<NewServers>) | undefined
  readonly clock: Clock
  readonly log: Logger
  /** Is told of each step before it is done; the work waits for it. */
  readonly onStep?: (step: string) => Promise<void> | void
}
