/**
 * Fences a server off that was the primary of its shard and still takes itself for it.
 *
 * It gets a mark with the timeline that it is on, in a table that all its databases share, and then all its clients' connections are ended. Who connects
 * to a primary reads the mark after it has connected: either it finds the mark, or its connection was there to be ended. So no router goes on
 * with the server, however long it was asleep and whatever it knows. A mark counts for its timeline and those before: a server that has been promoted again is free
 * of it.
 */
import type pg from 'pg'
import { limits } from '../base/limits.ts'
import type { Credentials } from '../catalog/server-address.ts'
import type { ShardServer } from '../catalog/snapshot.ts'
import { fencedSetting } from '../shard/server-identity.ts'
import { withAdmin } from './admin-client.ts'

/** Throws when the server does not answer, or is in recovery by now. May be repeated. */
export async function fenceServer(server: ShardServer, timeline: number, credentials: Credentials): Promise<void> {
  const address = { id: server.shard, name: server.name, host: server.host, port: server.port }
  await withAdmin(address, 'postgres', credentials, (client) => fence(client, timeline), limits.primaryAnswerMsMax)
}

async function fence(client: pg.Client, timeline: number): Promise<void> {
  // A synchronous replica that has become the primary confirms nothing to this server any more.
  await client.query('SET synchronous_commit = local')
  // Routers that do this at once do it one after the other.
  await client.query(`SELECT pg_advisory_lock(hashtextextended('pgherd.fence', 0))`)
  await client.query(`ALTER ROLE ALL SET ${fencedSetting} = '${timeline}'`)
  await client.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()`)
}
