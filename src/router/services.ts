import type { AdminContext } from '../admin/admin-context.ts'
import type { Clock } from '../base/clock.ts'
import type { ShardParts } from '../admin/shard-parts.ts'
import type { Garbage } from '../base/garbage.ts'
import type { Credentials, ServerAddress } from '../catalog/server-address.ts'
import type { DatabaseServers } from '../coordination/database-changes.ts'
import type { CatalogFences } from '../coordination/fences.ts'
import type { ClusterSettings } from '../coordination/cluster-settings.ts'
import type { CommitGate } from '../transaction/commit-gate.ts'
import type { ReplicaWatch } from '../coordination/replica-watch.ts'
import type { CatalogStore } from '../coordination/catalog-store.ts'
import type { SequenceValues } from '../executor/sequence-values.ts'
import type { ShellNames } from '../executor/shell-names.ts'
import type { Logger } from '../observability/logger.ts'
import type { Pool } from '../shard/pool.ts'
import type { CommitContext } from '../transaction/commit.ts'
import type { Lanes } from '../transaction/lanes.ts'
import type { Transaction } from '../transaction/transaction.ts'
import type { ClientSession } from './activity.ts'
import type { KnownStatements } from './known-statements.ts'
import type { TemplateStore } from './templates.ts'
import type { ParseCache } from './parse-cache.ts'

/** What all sessions of a router share. */
export interface Services {
  readonly clock: Clock
  readonly log: Logger
  readonly garbage: Garbage
  readonly store: CatalogStore
  readonly pool: Pool
  readonly lanes: Lanes
  readonly names: ShellNames
  readonly sequences: SequenceValues
  readonly parsed: ParseCache
  readonly known: KnownStatements
  readonly templates: TemplateStore
  readonly commit: CommitContext
  /** Of all sessions, for those who look for deadlocks. */
  readonly transactions: Set<Transaction>
  /** Clients by their numbers. */
  readonly clients: Map<number, ClientSession>
  readonly credentials: Credentials
  readonly catalog: ServerAddress
  readonly databases: DatabaseServers
  readonly fences: CatalogFences
  readonly replicas: ReplicaWatch
  readonly gate: CommitGate
  readonly clusterSettings: ClusterSettings
  readonly admin: AdminContext
  readonly shards: ShardParts
}
