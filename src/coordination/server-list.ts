/**
 * The shards and their servers, as the cluster's database names them. Everything in a router that goes through shards asks here each time,
 * so that they all see a change at once. It is read again every `limits.clusterSettingsEveryMs`, and when a snapshot names a shard
 * that is not here.
 */
import type { Clock } from '../base/clock.ts'
import { limits } from '../base/limits.ts'
import type { ServerAddress } from '../catalog/server-address.ts'
import type { ShardServer } from '../catalog/snapshot.ts'
import { primariesOf } from '../catalog/snapshot.ts'
import type { Logger } from '../observability/logger.ts'

export interface ServerListOptions {
  readonly servers: readonly ShardServer[]
  /** Reads the list from the cluster's database. */
  readonly read: () => Promise<readonly ShardServer[]>
  readonly clock: Clock
  readonly log: Logger
}

export class ServerList {
  servers: readonly ShardServer[] = []
  /** Their primaries, those of shards among them that join or leave just now. The same object as long as nothing has changed. */
  shards: readonly ServerAddress[] = []
  /** Called after a change, with the new list in place, and the primaries that there were. */
  onChange: (before: readonly ServerAddress[]) => void = () => undefined
  /** When it was last read, by the clock's ticks, as of the moment of asking. */
  readAt: number
  /** The catalog did not answer the last time. */
  isAway = false
  private readonly options: ServerListOptions
  private readonly stopTimer: () => void
  /** As it was read. */
  private recorded: readonly ShardServer[] = []
  private leftBehind: ReadonlySet<string> = new Set()
  private reading: Promise<void> | undefined

  constructor(options: ServerListOptions) {
    this.options = options
    this.readAt = options.clock.ticks()
    this.take(options.servers)
    this.stopTimer = options.clock.every(limits.clusterSettingsEveryMs, () => {
      // A catalog that does not answer is not asked once more for each turn.
      if (this.reading !== undefined) return
      this.refresh().catch((error: Error) => options.log.debug(`list of servers: ${error.message}`))
    })
  }

  /** Reads it anew, after this call. Throws when the catalog does not answer; then the list is as it was. */
  async refresh(): Promise<void> {
    const before = this.reading
    const reading = (before?.catch(() => undefined) ?? Promise.resolve()).then(() => this.readNow())
    this.reading = reading
    try {
      await reading
    } finally {
      if (this.reading === reading) this.reading = undefined
    }
  }

  get readAgoMs(): number {
    return this.options.clock.ticks() - this.readAt
  }

  has(shard: number): boolean {
    return this.shards.some(({ id }) => id === shard)
  }

  /** The primaries that have all databases. */
  get joined(): readonly ServerAddress[] {
    return this.shards.filter(({ id }) => this.servers.some(({ shard, state }) => shard === id && (state === 'active' || state === 'draining')))
  }

  /** Of these servers, some (`left`) run as the primary that they were before another was promoted. Others are as they were. */
  noteLeftBehind(asked: readonly ShardServer[], left: readonly ShardServer[]): void {
    const next = new Set([...[...this.leftBehind].filter((key) => !asked.some((server) => place(server) === key)), ...left.map(place)])
    if (next.size === this.leftBehind.size && [...next].every((key) => this.leftBehind.has(key))) return
    this.leftBehind = next
    this.changeTo(this.recorded)
  }

  close(): void {
    this.stopTimer()
  }

  private async readNow(): Promise<void> {
    const askedAt = this.options.clock.ticks()
    const servers = await this.options.read().catch((error: unknown) => {
      this.isAway = true
      throw error
    })
    this.isAway = false
    this.readAt = askedAt
    if (JSON.stringify(servers) !== JSON.stringify(this.recorded)) this.changeTo(servers)
  }

  private changeTo(recorded: readonly ShardServer[]): void {
    const before = this.shards
    this.take(recorded)
    this.onChange(before)
  }

  private take(recorded: readonly ShardServer[]): void {
    this.recorded = recorded
    this.servers = recorded.map((server) => (server.role === 'replica' && this.leftBehind.has(place(server)) ? { ...server, state: 'left behind' } : server))
    this.shards = primariesOf(recorded)
  }
}

const place = ({ host, port }: ShardServer) => `${host}:${port}`
