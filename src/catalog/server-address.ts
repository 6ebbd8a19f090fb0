/** Where a PostgreSQL server of the cluster is. The catalog is server 0, shards count from 1. */
export interface ServerAddress {
  readonly id: number
  readonly name: string
  readonly host: string
  readonly port: number
  /** A replica of the shard whose id it has. */
  readonly isReplica?: true
}

export const catalogId = 0

/** How the router itself logs in to servers, and the password it has for that role, if any. */
export interface Credentials {
  readonly user: string
  readonly password?: string | undefined
}
