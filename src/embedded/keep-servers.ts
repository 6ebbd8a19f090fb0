/**
 * Keeps the servers of the embedded cluster running: starts again what has died, and makes a replica of a primary that was replaced.
 *
 * A primary that has died is left dead for a while where a replica may take its place; a server that was replaced is ended for good, and its data is replaced by a
 * copy of the new primary's: it may hold commits that nobody was told of.
 */
import type pg from 'pg'
import type { Clock } from '../base/clock.ts'
import { limits } from '../base/limits.ts'
import { KeptClient } from '../coordination/kept-client.ts'
import { catalogAddress } from '../coordination/bootstrap.ts'
import { clusterDatabase } from '../coordination/catalog-store.ts'
import type { Logger } from '../observability/logger.ts'
import type { EmbeddedCluster } from './embedded-cluster.ts'
import type { EmbeddedShard } from './embedded-shard.ts'
import { keepAction } from './keep-action.ts'
import type { PostgresServer } from './postgres-server.ts'
import { replicaOf } from './replica-of.ts'

interface Recorded {
  readonly primaryPort: number
  readonly mayBeReplaced: boolean
  readonly inSync: readonly number[]
}

const recordQuery = `
  SELECT v.port AS "primaryPort",
         coalesce((SELECT value FROM pgherd.setting WHERE name = 'pgherd.failover'), 'auto') = 'auto'
         AND (EXISTS (SELECT FROM pgherd.in_sync i WHERE i.shard_id = s.id AND i.term = s.term) OR EXISTS (SELECT FROM pgherd.failover f WHERE f.shard_id = s.id AND f.step <> 'done')) AS "mayBeReplaced",
         ARRAY(SELECT i.port FROM pgherd.in_sync i WHERE i.shard_id = s.id AND i.term = s.term) AS "inSync"
  FROM pgherd.shard s JOIN pgherd.server v ON v.shard_id = s.id WHERE v.role = 'primary'`

export class KeepServers {
  private readonly cluster: EmbeddedCluster
  private readonly clock: Clock
  private readonly log: Logger
  private readonly catalog: KeptClient
  private readonly deadSince = new Map<PostgresServer, number>()
  private readonly straySince = new Map<PostgresServer, number>()
  private readonly busy = new Map<PostgresServer, Promise<void>>()
  private readonly stopTimer: () => void
  private turning: Promise<void> | undefined
  private hasStopped = false

  constructor(cluster: EmbeddedCluster, clock: Clock, log: Logger) {
    this.cluster = cluster
    this.clock = clock
    this.log = log
    this.catalog = new KeptClient({ server: catalogAddress('127.0.0.1', cluster.catalog.port), database: clusterDatabase, credentials: { user: 'postgres' }, answerMsMax: limits.serverAnswerMsMax, awayMs: 0, clock })
    this.stopTimer = clock.every(limits.keepEveryMs, () => void this.turn())
  }

  /** Waits for what is being done. */
  async stop(): Promise<void> {
    this.stopTimer()
    this.hasStopped = true
    await this.turning
    await Promise.all(this.busy.values())
    this.catalog.close()
  }

  private turn(): Promise<void> {
    this.turning ??= this.look()
      .catch((error: Error) => this.log.debug(`servers: ${error.message}`))
      .finally(() => (this.turning = undefined))
    return this.turning
  }

  private async look(): Promise<void> {
    const { catalog, shards } = this.cluster
    if (!catalog.isRunning) return this.begin(catalog, 'started again', () => catalog.start())
    if (this.busy.has(catalog)) return
    const records = (await this.catalog.ask((client) => client.query<Recorded>(recordQuery))).rows
    await Promise.all(shards.map((shard) => this.lookAt(shard, records)))
  }

  private async lookAt(shard: EmbeddedShard, records: readonly Recorded[]): Promise<void> {
    const record = records.find(({ primaryPort }) => shard.servers.some(({ port }) => port === primaryPort))
    if (record === undefined) return
    shard.primaryIsOn(record.primaryPort)
    const { primary } = shard
    const seen = shard.replicas.length > 0 && primary.isRunning ? await askPrimary(primary).catch(() => undefined) : undefined
    for (const server of shard.servers) {
      if (this.busy.has(server) || this.hasStopped) continue
      const { isRunning, exists, isStandby, timeline } = server
      const isStray = isRunning && isStandby && server !== primary && seen !== undefined && !seen.followers.includes(server.followedSlot)
      const action = keepAction({
        role: server === primary ? 'primary' : 'replica', isRunning, exists, isStandby, timeline, primaryTimeline: seen?.timeline,
        deadForMs: this.lastsMs(this.deadSince, server, !isRunning), mayBeReplaced: record.mayBeReplaced, replacedMsMax: limits.replacedMsMax,
        strayForMs: this.lastsMs(this.straySince, server, isStray), isInSync: record.inSync.includes(server.port), strayMsMax: limits.strayMsMax,
      })
      if (action === 'start') this.begin(server, 'started again', () => server.start())
      if (action === 'copy') this.begin(server, `a replica of the one on port ${primary.port}`, () => replicaOf(shard, server))
    }
  }

  /** How long it has been so, look after look. */
  private lastsMs(since: Map<PostgresServer, number>, server: PostgresServer, isSo: boolean): number {
    const now = this.clock.ticks()
    if (!isSo) since.delete(server)
    else if (!since.has(server)) since.set(server, now)
    return now - (since.get(server) ?? now)
  }

  /** What fails is tried again. */
  private begin(server: PostgresServer, what: string, work: () => Promise<void>): void {
    if (this.busy.has(server)) return
    const done = work()
      .then(
        () => this.log.info(`the server on port ${server.port} is ${what}`),
        (error: Error) => this.log.warn(`the server on port ${server.port}: ${error.message}`),
      )
      .finally(() => this.busy.delete(server))
    this.busy.set(server, done)
  }
}

/** The timeline of the log that it writes, and who is sent it. Throws when it is no primary. */
async function askPrimary(server: PostgresServer): Promise<{ readonly timeline: number; readonly followers: readonly string[] } | undefined> {
  return server.ask(async (client: pg.Client) => {
    const { rows } = await client.query<{ timeline: number; followers: string[] }>(`
      SELECT ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int8::float8 AS timeline, ARRAY(SELECT application_name FROM pg_stat_replication) AS followers`)
    return rows[0]
  })
}
