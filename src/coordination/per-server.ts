/** One object for each server of a list that changes: made when the server first comes, closed when it is gone. */
import type { ServerAddress } from '../catalog/server-address.ts'

export class PerServer<T> {
  private readonly make: (server: ServerAddress) => T
  private readonly close: (made: T) => void
  private made = new Map<string, T>()
  private last: { readonly servers: readonly ServerAddress[]; readonly made: T[] } = { servers: [], made: [] }

  constructor(make: (server: ServerAddress) => T, close: (made: T) => void) {
    this.make = make
    this.close = close
  }

  /** Those of `servers`, in their order. A server that has another address is another server. */
  of(servers: readonly ServerAddress[]): T[] {
    // Commits ask each time, and nearly always nothing has changed.
    if (servers.length === this.last.servers.length && servers.every((server, i) => server === this.last.servers[i])) return this.last.made
    const next = new Map(servers.map((server) => [JSON.stringify(server), this.made.get(JSON.stringify(server)) ?? this.make(server)]))
    for (const [key, old] of this.made) if (!next.has(key)) this.close(old)
    this.made = next
    this.last = { servers, made: [...next.values()] }
    return this.last.made
  }
}
