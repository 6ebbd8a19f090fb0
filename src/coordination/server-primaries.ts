/**
 * Lets a router talk to those servers alone that are the primaries on record.
 *
 * Connections: each new one shows what answered (`admit`). A postmaster that was not seen before, or one that this router has long not heard of, is believed only when
 * the catalog, asked after the connection was made, has it on record and no other server of the shard is on a later timeline: so a primary
 * that comes back from the dead finds nobody. One that was believed before is still while the catalog is away. When the primary changes,
 * all connections to the old one are closed, whoever has them.
 */
import { SqlError } from '../base/errors.ts'
import type { Clock } from '../base/clock.ts'
import { limits } from '../base/limits.ts'
import type { Primaries, ServerAddress, ServerIdentity } from '../catalog/server-address.ts'
import type { ShardServer } from '../catalog/snapshot.ts'
import { catalogId } from '../catalog/server-address.ts'
import type { CatalogServers } from './catalog-servers.ts'
import type { PrimaryWatch } from './primary-watch.ts'
import type { ServerList } from './server-list.ts'

export class ServerPrimaries implements Primaries {
  private readonly list: ServerList
  private readonly catalog: CatalogServers
  private readonly clock: Clock
  /** Set by who builds both: each needs the other. */
  watch: PrimaryWatch | undefined
  /** By shard, the postmaster that was believed to be the primary's. */
  private readonly believed = new Map<number, string>()
  /** By shard, the latest timeline that somebody was seen on. */
  private readonly timelines = new Map<number, number>()
  private readonly tracked = new Map<string, Set<() => void>>()

  constructor(list: ServerList, catalog: CatalogServers, clock: Clock) {
    this.list = list
    this.catalog = catalog
    this.clock = clock
  }

  current(server: ServerAddress): ServerAddress {
    if (server.isReplica === true) return server
    if (server.id === catalogId) return this.catalog.primary
    return this.list.shards.find(({ id }) => id === server.id) ?? server
  }

  async admit(server: ServerAddress, identity: ServerIdentity): Promise<void> {
    if (server.isReplica === true) return
    if (identity.catalogTimeline > this.catalog.timeline) this.noteTimeline(catalogId, identity.catalogTimeline)
    this.check(server, identity)
    const postmaster = `${place(server)} ${identity.startedAt} ${identity.timeline}`
    const isKnown = this.believed.get(server.id) === postmaster
    if (isKnown && this.list.readAgoMs < limits.primaryTrustMsMax) return
    const ask = () => Promise.all([this.watch?.look(server.id), this.askCatalog(server, isKnown)])
    let [, isOnRecord] = await ask()
    // A look that was under way may be from before the server was the shard's.
    if (!isKnown && this.record(server)?.timeline !== identity.timeline) [, isOnRecord] = await ask()
    this.check(server, identity)
    if (!isOnRecord && !isKnown) throw notPrimary(server, 'the catalog cannot say whether it still is the primary')
    if (!isKnown && this.record(server)?.timeline !== identity.timeline) throw notPrimary(server, `it is on timeline ${identity.timeline}, which is not on record yet`)
    this.believed.set(server.id, postmaster)
  }

  track(server: ServerAddress, close: () => void): () => void {
    const key = place(server)
    const all = this.tracked.get(key) ?? new Set()
    this.tracked.set(key, all.add(close))
    return () => {
      all.delete(close)
      if (all.size === 0 && this.tracked.get(key) === all) this.tracked.delete(key)
    }
  }

  seek(server: ServerAddress): boolean {
    if (server.isReplica === true || this.serversOf(server.id).length < 2) return false
    void this.watch?.look(server.id)
    return true
  }

  /** Nothing of what asks here goes to a shard by its address of before: for what works on servers whatever they are. */
  get ofCatalog(): Primaries {
    const isCatalog = ({ id }: ServerAddress) => id === catalogId
    return {
      current: (server) => (isCatalog(server) ? this.current(server) : server),
      admit: async (server, identity) => {
        if (isCatalog(server)) await this.admit(server, identity)
      },
      track: (server, close) => (isCatalog(server) ? this.track(server, close) : () => undefined),
      seek: (server) => isCatalog(server) && this.seek(server),
    }
  }

  /** The list is another: who is no primary any more loses its connections. */
  listChanged(before: readonly ServerAddress[]): void {
    const now = new Set(this.list.shards.map(place))
    // Who still uses a shard that has left the cluster is refused by its members, and finds out so.
    for (const server of before) if (!now.has(place(server)) && this.list.has(server.id)) this.closeAll(server)
  }

  /** Somebody of the shard is on this timeline: the primary on record, if it is on an earlier one, is none any more. */
  noteTimeline(shard: number, timeline: number): void {
    const record = this.serversOf(shard).find(({ role }) => role === 'primary')
    this.timelines.set(shard, Math.max(timeline, this.timelines.get(shard) ?? 0))
    if (record === undefined || record.timeline === 0 || record.timeline >= timeline) return
    this.believed.delete(shard)
    this.closeAll({ id: shard, name: record.name, host: record.host, port: record.port })
  }

  private check(server: ServerAddress, { isInRecovery, timeline, fencedTimeline }: ServerIdentity): void {
    if (isInRecovery) throw notPrimary(server, 'it is a replica')
    if (fencedTimeline >= timeline) throw notPrimary(server, 'it was fenced off')
    const record = this.record(server)
    if (record === undefined && (server.id === catalogId || this.list.has(server.id))) throw notPrimary(server, 'another server is')
    if (timeline < Math.max(record?.timeline ?? 0, this.timelines.get(server.id) ?? 0)) throw notPrimary(server, `it has stayed on timeline ${timeline}`)
  }

  /** False when the catalog does not answer. */
  private async askCatalog(server: ServerAddress, isKnown: boolean): Promise<boolean> {
    if (server.id === catalogId) return true
    // Who is believed already need not wait for a catalog that has just been found away.
    if (isKnown && this.list.isAway) return false
    const asked = this.clock.ticks()
    try {
      await this.list.refresh()
      return this.list.has(server.id)
    } catch {
      return this.list.readAt > asked
    }
  }

  private record(server: ServerAddress): ShardServer | undefined {
    return this.serversOf(server.id).find((one) => one.role === 'primary' && one.host === server.host && one.port === server.port)
  }

  private serversOf(id: number): readonly ShardServer[] {
    return id === catalogId ? this.catalog.servers : this.list.servers.filter(({ shard }) => shard === id)
  }

  closeAll(server: ServerAddress): void {
    for (const close of this.tracked.get(place(server)) ?? []) close()
  }
}

const place = ({ host, port }: ServerAddress) => `${host}:${port}`

function notPrimary(server: ServerAddress, reason: string): SqlError {
  return new SqlError('08004', `${place(server)} is not the primary of ${server.name}: ${reason}`)
}
