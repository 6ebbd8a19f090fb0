/**
 * The servers that may be the catalog's primary, as the router was told, and which of them is. That is found out by asking, as for a shard
 * (primary-watch.ts), but there is no place where it could be on record for all routers: each goes to the one on the latest timeline, and never back. The latest is written
 * down on the shards (note-catalog.ts), so that a router that hears only the old one learns that it is one.
 */
import type { ServerAddress } from '../catalog/server-address.ts'
import type { ShardServer } from '../catalog/snapshot.ts'
import type { ServerAnswer } from './choose-primary.ts'

export class CatalogServers {
  servers: readonly ShardServer[]
  primary: ServerAddress
  /** Called after a change, with who was the primary before. */
  onChange: (before: ServerAddress) => void = () => undefined

  constructor({ id, name, host, port, others = [] }: ServerAddress) {
    this.primary = { id, name, host, port }
    this.servers = [{ host, port }, ...others].map((place, i) => ({ shard: id, name, role: i === 0 ? 'primary' : 'replica', ...place, state: 'active', term: 0, timeline: 0, systemIdentifier: '' }))
  }

  /** 0 before the first has answered. */
  get timeline(): number {
    return this.servers[0]?.timeline ?? 0
  }

  adopt({ server: { host, port }, identity: { timeline }, systemIdentifier }: ServerAnswer): void {
    const before = this.primary
    this.servers = this.servers.map((server) => ({ ...server, role: server.host === host && server.port === port ? 'primary' : 'replica', term: server.term + 1, timeline, systemIdentifier }))
    this.primary = { id: before.id, name: before.name, host, port }
    if (host !== before.host || port !== before.port) this.onChange(before)
  }
}
