/** Where a PostgreSQL server of the cluster is. The catalog is server 0, shards count from 1. */
export interface ServerAddress {
  readonly id: number
  readonly name: string
  readonly host: string
  readonly port: number
  /** A replica of the shard whose id it has. */
  readonly isReplica?: true
  /** Of the catalog: other servers that may be its primary. */
  readonly others?: readonly { readonly host: string; readonly port: number }[]
}

export const catalogId = 0

/** How the router itself logs in to servers, and the password it has for that role, if any. */
export interface Credentials {
  readonly user: string
  readonly password?: string | undefined
  /** Who makes sure that a primary is one. Without, an address is taken at its word. */
  readonly primaries?: Primaries | undefined
}

/** What a server says of itself to who has just connected to it. */
export interface ServerIdentity {
  readonly isInRecovery: boolean
  /** 0 in recovery. */
  readonly timeline: number
  /** It was fenced off while it was on this timeline; 0 when it was not. */
  readonly fencedTimeline: number
  /** The latest that the catalog was seen on by who has written it down here; 0 when nobody has. */
  readonly catalogTimeline: number
  /** When its postmaster began. */
  readonly startedAt: string
}

/** Primaries change. Whatever connects to one asks here where it is, shows what has answered there, and hears when it is none any more. */
export interface Primaries {
  /** Where the primary is now that had this address, or another, before. */
  current(server: ServerAddress): ServerAddress
  /** Throws 08004 when what has answered at this address must not be taken for the primary. */
  admit(server: ServerAddress, identity: ServerIdentity): Promise<void>
  /** `close` is called when the server is the primary no more. Gives what ends that. */
  track(server: ServerAddress, close: () => void): () => void
  /** A server could not be entered: looks who is the primary now. False when there is no other server that could be. */
  seek(server: ServerAddress): boolean
}
