/**
 * The fences of locks, in the cluster's database: each taking of a lock increments its number there.
 *
 * Who acts under a lock says so to the catalog in the transaction that acts (`fenced`), or just before an act that no transaction
 * can hold (`checkFence`). A holder that was paused and has come back is refused.
 */
import type pg from 'pg'
import { limits } from '../base/limits.ts'
import type { Credentials, ServerAddress } from '../catalog/server-address.ts'
import { withAdmin } from './admin-client.ts'
import { clusterDatabase } from './catalog-store.ts'
import type { Lease } from './locks.ts'

/** A row of pgherd.locks. */
export type LockRow = Readonly<Record<'name' | 'holder' | 'since' | 'fence', string | undefined>>

export interface Fences {
  /** The number of a new lease. */
  advance(name: string, holder: string): Promise<number>
  /** Nobody holds it any more, unless somebody has taken it since. */
  clear(name: string, fence: number): Promise<void>
}

export class CatalogFences implements Fences {
  private readonly catalog: ServerAddress
  private readonly credentials: Credentials

  constructor(catalog: ServerAddress, credentials: Credentials) {
    this.catalog = catalog
    this.credentials = credentials
  }

  advance(name: string, holder: string): Promise<number> {
    return this.ask(async (client) => {
      await client.query(`SET lock_timeout = '${limits.leaseMs}ms'`)
      const { rows } = await client.query<{ fence: string }>('SELECT pgherd.take_lock($1, $2) AS fence', [name, holder])
      return Number(rows[0]?.fence)
    })
  }

  async clear(name: string, fence: number): Promise<void> {
    await this.ask((client) => client.query('UPDATE pgherd.lock SET holder = NULL, since = NULL WHERE name = $1 AND fence = $2', [name, fence]))
  }

  /** Throws `staleFence` when somebody has taken the lock since. */
  async check(lease: Lease): Promise<void> {
    await this.ask((client) => checkFence(client, lease))
  }

  async rows(): Promise<LockRow[]> {
    const { rows } = await this.ask((client) => client.query<Record<keyof LockRow, string | null>>('SELECT name, holder, since::text, fence::text FROM pgherd.lock'))
    return rows.map(({ name, holder, since, fence }) => ({ name: name ?? undefined, holder: holder ?? undefined, since: since ?? undefined, fence: fence ?? undefined }))
  }

  private ask<T>(work: (client: pg.Client) => Promise<T>): Promise<T> {
    return withAdmin(this.catalog, clusterDatabase, this.credentials, work, limits.serverAnswerMsMax)
  }
}

/** SQLSTATE of a fence that is not the newest any more. */
export const staleFence = 'PH001'

export const isStaleFence = (error: unknown) => (error as { code?: string }).code === staleFence

/**
 * Throws `staleFence` when the lock was taken by another since. The client is one of the cluster's database. What acts without a
 * lease has an advisory lock of the client's session: then it is enough that the session is still there.
 */
export async function checkFence(client: pg.Client, lease: Lease | undefined): Promise<void> {
  if (lease === undefined) await client.query('SELECT')
  else await client.query('SELECT pgherd.hold_fence($1, $2)', [lease.name, lease.fence])
}

/** A transaction that commits only when the lock was not taken by another before; until it ends, it cannot be. */
export async function fenced<T>(client: pg.Client, lease: Lease | undefined, work: () => Promise<T>): Promise<T> {
  if (lease === undefined) return work()
  await client.query('BEGIN')
  try {
    // A holder that is paused in here would keep the lock from everybody.
    await client.query(`SET LOCAL idle_in_transaction_session_timeout = '${limits.leaseMs}ms'`)
    await checkFence(client, lease)
    const result = await work()
    await client.query('COMMIT')
    return result
  } catch (error) {
    await client.query('ROLLBACK').catch(() => undefined) // the connection is gone, and the transaction with it
    throw error
  }
}
