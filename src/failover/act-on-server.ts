/**
 * What changes a server under a shard's lock.
 *
 * A server knows no fences. So who acts has an advisory lock there, after ending whoever had it, and then shows the lock's fence to the catalog:
 * a router that was paused has lost its connection, and one that comes late is refused before it acts.
 */
import pg from 'pg'
import type { Clock } from '../base/clock.ts'
import { limits } from '../base/limits.ts'
import type { Credentials, ServerAddress } from '../catalog/server-address.ts'
import { withAdmin } from '../coordination/admin-client.ts'
import { clusterDatabase } from '../coordination/catalog-store.ts'
import { checkFence } from '../coordination/fences.ts'
import type { Lease } from '../coordination/locks.ts'

export interface ServerActs {
  readonly catalog: ServerAddress
  readonly credentials: Credentials
  readonly clock: Clock
}

/** Both numbers of the advisory lock, in database `postgres`. */
const lockKeys = '1885824114, 10'
const holders = `SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND (classid::int8, objid::int8) = (${lockKeys}) AND objsubid = 2 AND granted
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND pid <> pg_backend_pid()`

export async function actOnServer<T>(server: ServerAddress, lease: Lease, { catalog, credentials, clock }: ServerActs, work: (client: pg.Client) => Promise<T>): Promise<T> {
  return withAdmin(
    server,
    'postgres',
    credentials,
    async (client) => {
      const isHeld = async () => (await client.query<{ held: boolean }>(`SELECT pg_try_advisory_lock(${lockKeys}) AS held`)).rows[0]?.held === true
      while (!(await isHeld())) {
        lease.lost.throwIfAborted()
        await client.query(`SELECT pg_terminate_backend(pid) FROM (${holders}) AS h`)
        await clock.sleep(limits.finishRetryMsMin)
      }
      await withAdmin(catalog, clusterDatabase, credentials, (one) => checkFence(one, lease), limits.serverAnswerMsMax)
      return work(client)
    },
    limits.serverAnswerMsMax,
  )
}

/** Of a new session, so it is what every later session has; the processes that run already are told before the first of those begins. */
export async function settingInEffect(server: ServerAddress, name: string, { credentials }: ServerActs): Promise<string> {
  return withAdmin(server, 'postgres', credentials, async (client) => (await client.query<{ value: string }>('SELECT current_setting($1) AS value', [name])).rows[0]?.value ?? '', limits.serverAnswerMsMax)
}

/** Returns once sessions that begin have it. */
export async function setOnServer(client: pg.Client, server: ServerAddress, name: 'synchronous_standby_names' | 'primary_conninfo', value: string, acts: ServerActs): Promise<void> {
  await client.query(`ALTER SYSTEM SET ${name} = ${pg.escapeLiteral(value)}`)
  await client.query('SELECT pg_reload_conf()')
  for (let tries = 0; (await settingInEffect(server, name, acts)) !== value; tries++) {
    if (tries === limits.settingTriesMax) throw new Error(`${server.name} does not take on ${name}: it may be set in another way than by ALTER SYSTEM`)
    await acts.clock.sleep(limits.finishRetryMsMin)
  }
}
