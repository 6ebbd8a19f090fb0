/**
 * Looks after the shards that have replicas, as one of the routers that do: all look, and who finds something to do takes the shard's lock.
 *
 * While the primary answers, it is kept waiting for the replicas that follow it (keep-synchronous.ts), and replicas that follow nobody are led to it. When
 * it does not, and those in sync do not hear from it either, one of them becomes the primary (run-failover.ts).
 * Without the catalog or the lock nothing is done.
 */
import { limits } from '../base/limits.ts'
import type { GuardedShard } from './guarded-shard.ts'
import type { Locks } from '../coordination/locks.ts'
import { KeptClient } from '../coordination/kept-client.ts'
import { clusterDatabase } from '../coordination/catalog-store.ts'
import { readGuardedShards } from './guarded-shard.ts'
import type { FailoverParts } from './run-failover.ts'
import { ShardGuard } from './shard-guard.ts'
import type { SynchronousMode } from './synchronous.ts'

export interface GuardParts extends FailoverParts {
  readonly locks: Locks
  /** The cluster's settings of the moment. */
  readonly settings: () => { readonly isOn: boolean; readonly mode: SynchronousMode }
}

export class Guard {
  private readonly parts: GuardParts
  private readonly catalog: KeptClient
  private readonly shards = new Map<number, ShardGuard>()
  private readonly stopTimer: () => void
  private turning: Promise<void> | undefined
  private hasStopped = false

  constructor(parts: GuardParts) {
    this.parts = parts
    const { catalog, credentials, clock } = parts
    this.catalog = new KeptClient({ server: catalog, database: clusterDatabase, credentials, answerMsMax: limits.serverAnswerMsMax, awayMs: 0, clock })
    this.stopTimer = clock.every(limits.guardLookEveryMs, () => void this.turn())
  }

  /** Does not fail. */
  turn(): Promise<void> {
    this.turning ??= this.look()
      .catch((error: Error) => this.parts.log.debug(`failover: ${error.message}`))
      .finally(() => (this.turning = undefined))
    return this.turning
  }

  async stop(): Promise<void> {
    this.stopTimer()
    this.hasStopped = true
    await this.turning
    await Promise.all([...this.shards.values()].map((shard) => shard.stop()))
    this.catalog.close()
  }

  private async look(): Promise<void> {
    const rows = await this.catalog.ask(readGuardedShards)
    if (this.hasStopped) return
    for (const row of rows) {
      const guard = this.shards.get(row.id) ?? new ShardGuard(this.parts)
      this.shards.set(row.id, guard)
      void guard.look(row)
    }
    await this.forget(rows)
  }

  private async forget(rows: readonly GuardedShard[]): Promise<void> {
    for (const [id, guard] of this.shards) {
      if (rows.some((row) => row.id === id)) continue
      this.shards.delete(id)
      await guard.stop()
    }
  }
}
