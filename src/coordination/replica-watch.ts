/**
 * Which replicas may be read from, and how far they must have replayed.
 *
 * Every half second, while somebody reads from replicas, each primary is asked where its log ends, and each replica how far it has
 * replayed. What a primary said T ms ago bounds how old a read may be: a replica that has replayed as far as that shows everything that was
 * committed T ms ago. Only this router's steady clock is used, and a replica that has stopped receiving is not taken for one that is up to date.
 *
 * A replica that does not answer, is behind, or is none any more, leaves the rotation until a later look finds it well.
 */
import type pg from 'pg'
import type { Clock } from '../base/clock.ts'
import { limits } from '../base/limits.ts'
import type { Credentials, ServerAddress } from '../catalog/server-address.ts'
import type { ShardServer } from '../catalog/snapshot.ts'
import type { Logger } from '../observability/logger.ts'
import { adminClient } from './admin-client.ts'
import type { LogPosition } from './log-position.ts'
import { logEnd, readPosition } from './log-position.ts'

interface Sample {
  readonly at: number
  readonly position: LogPosition
}

interface Replica {
  readonly address: ServerAddress
  isWell: boolean
  /** Undefined before its first answer. */
  replayed: LogPosition | undefined
  latencyMs: number
}

interface WatchedShard {
  readonly primary: ServerAddress
  readonly replicas: readonly Replica[]
  /** Oldest first. */
  samples: Sample[]
  looking: Promise<void> | undefined
}

export interface ReplicaChoice {
  readonly address: ServerAddress
  /** A replica that has replayed less is too old. */
  readonly position: LogPosition
}

export interface WatchOptions {
  readonly servers: () => readonly ShardServer[]
  readonly credentials: Credentials
  readonly clock: Clock
  readonly log: Logger
  /** A replica is gone: what is under way there should not wait for it. */
  readonly onGone: (replica: ServerAddress) => void
}

export class ReplicaWatch {
  private readonly options: WatchOptions
  private shards: WatchedShard[] = []
  private serversSeen: readonly ShardServer[] | undefined
  private readonly clients = new Map<string, Promise<pg.Client>>()
  private stopTimer: (() => void) | undefined
  private usedAt = 0

  constructor(options: WatchOptions) {
    this.options = options
  }

  /**
   * The replica of a shard to read from, with how far it must be so that the read is no staler than `ageMsMax` and not behind `seen`; undefined when
   * there is none, and then the primary has to do. Waits only for the first look.
   */
  async choose(shard: number, ageMsMax: number, seen: LogPosition): Promise<ReplicaChoice | undefined> {
    const { clock } = this.options
    const watched = await this.watch(shard)
    const wanted = this.wanted(watched, ageMsMax)
    if (watched === undefined || wanted === undefined) return undefined
    const position = wanted > seen ? wanted : seen
    const well = watched.replicas.filter((replica) => hasReplayed(replica, wanted))
    // Of two at random the quicker: the quickest of all would get all.
    const [one, other] = [well[clock.randomInt(Math.max(1, well.length))], well[clock.randomInt(Math.max(1, well.length))]]
    if (one === undefined || other === undefined) return undefined
    return { address: (one.latencyMs <= other.latencyMs ? one : other).address, position }
  }

  /** Whether a replica is known to be as far as `choose` would want it to be. */
  async isFresh({ id, host, port }: ServerAddress, ageMsMax: number, seen: LogPosition): Promise<boolean> {
    const watched = await this.watch(id)
    const wanted = this.wanted(watched, ageMsMax)
    const replica = watched?.replicas.find(({ address }) => address.host === host && address.port === port)
    return replica !== undefined && wanted !== undefined && hasReplayed(replica, wanted > seen ? wanted : seen)
  }

  close(): void {
    this.stopTimer?.()
    this.stopTimer = undefined
    for (const key of this.clients.keys()) this.drop(key)
  }

  /** Of a shard; undefined when there is none. */
  private async watch(shard: number): Promise<WatchedShard | undefined> {
    const { clock } = this.options
    this.usedAt = clock.ticks()
    if (this.stopTimer === undefined) {
      this.stopTimer = clock.every(limits.replicaLookEveryMs, () => this.look())
      this.look()
      // One that does not answer holds up nobody who reads from another.
      await this.shards.find(({ primary }) => primary.id === shard)?.looking
    }
    return this.shards.find(({ primary }) => primary.id === shard)
  }

  /** Where the primary's log ended a moment ago that is not too long ago. */
  private wanted(watched: WatchedShard | undefined, ageMsMax: number): LogPosition | undefined {
    return watched?.samples.find(({ at }) => at >= this.options.clock.ticks() - ageMsMax)?.position
  }

  private look(): void {
    if (this.options.clock.ticks() - this.usedAt > limits.replicaWatchIdleMs) return this.close()
    this.refreshServers()
    for (const shard of this.shards) shard.looking ??= this.lookAtShard(shard).finally(() => (shard.looking = undefined))
  }

  /** Does not fail. */
  private async lookAtShard(shard: WatchedShard): Promise<void> {
    const at = this.options.clock.ticks()
    const end = await this.ask(shard.primary, `SELECT ${logEnd} AS written`)
    const position = end === undefined ? undefined : readPosition(String(end.written))
    const isKept = (sample: Sample) => sample.at > at - limits.replicaSampleKeepMs
    if (position !== undefined) shard.samples = [...shard.samples.filter(isKept), { at, position }]
    await Promise.all(shard.replicas.map((replica) => this.lookAt(replica)))
  }

  private async lookAt(replica: Replica): Promise<void> {
    const { clock, log, onGone } = this.options
    const at = clock.ticks()
    const answer = await this.ask(replica.address, 'SELECT pg_last_wal_replay_lsn()::text AS replayed, pg_is_in_recovery() AS follows')
    const wasWell = replica.isWell
    replica.isWell = answer?.follows === true
    replica.replayed = answer === undefined ? undefined : readPosition(String(answer.replayed))
    replica.latencyMs = 0.8 * replica.latencyMs + 0.2 * (clock.ticks() - at)
    // Each time: somebody may have asked it at the very moment when it was found to be gone.
    if (!replica.isWell) onGone(replica.address)
    if (wasWell !== replica.isWell) log.info(`replica ${replica.address.name} is ${replica.isWell ? 'read from' : 'left alone'}`)
  }

  /** The row, or undefined when the server does not answer in time. */
  private async ask(address: ServerAddress, text: string): Promise<Record<string, unknown> | undefined> {
    const key = `${address.host}:${address.port}`
    const { credentials } = this.options
    const client = this.clients.get(key) ?? adminClient(address, 'postgres', credentials, limits.replicaAnswerMsMax)
    this.clients.set(key, client)
    try {
      return (await (await client).query<Record<string, unknown>>(text)).rows[0]
    } catch {
      this.drop(key)
      return undefined
    }
  }

  private drop(key: string): void {
    const client = this.clients.get(key)
    this.clients.delete(key)
    void client?.then((open) => open.end()).catch(() => undefined)
  }

  private refreshServers(): void {
    const servers = this.options.servers()
    if (servers === this.serversSeen) return
    this.serversSeen = servers
    const known = new Map(this.shards.flatMap((shard) => shard.replicas.map((replica) => [replica.address.name, replica] as const)))
    const primaries = servers.filter(({ role }) => role === 'primary')
    this.shards = primaries.map(({ shard, name, host, port }) => ({
      primary: { id: shard, name, host, port },
      replicas: servers
        .filter((server) => server.role === 'replica' && server.shard === shard)
        .map((server) => {
          const address = { id: shard, name: `${name} (replica on ${server.host}:${server.port})`, host: server.host, port: server.port, isReplica: true as const }
          return known.get(address.name) ?? { address, isWell: false, replayed: undefined, latencyMs: 0 }
        }),
      samples: this.shards.find(({ primary }) => primary.id === shard && primary.port === port && primary.host === host)?.samples ?? [],
      looking: undefined,
    }))
  }
}

const hasReplayed = ({ isWell, replayed }: Replica, wanted: LogPosition) => isWell && replayed !== undefined && replayed >= wanted
