/** Replicas whose primary is none any more are led to the one that there is. */
import type pg from 'pg'
import { limits } from '../base/limits.ts'
import type { ServerAddress } from '../catalog/server-address.ts'
import { withAdmin } from '../coordination/admin-client.ts'
import type { Lease } from '../coordination/locks.ts'
import type { ServerActs } from './act-on-server.ts'
import { actOnServer, setOnServer } from './act-on-server.ts'
import { leadTo, nowhere } from './conninfo.ts'
import type { GuardedShard } from './guarded-shard.ts'
import { serverKey } from './guarded-shard.ts'
import type { ReplicaFacts } from './server-facts.ts'
import { askReplica } from './server-facts.ts'

/**
 * It follows nobody, or a server of the shard that is neither the primary nor a replica that answers. One that follows another address may get to the
 * primary by another name.
 */
export function isStray({ conninfo, isReceiving }: ReplicaFacts, { primary, replicas: servers }: GuardedShard, replicas: ReadonlyMap<string, unknown>): boolean {
  if (conninfo === undefined || isReceiving) return false
  const followed = `${conninfo.get('host')}:${conninfo.get('port') ?? 5432}`
  if (followed === serverKey(nowhere)) return true
  return followed !== serverKey(primary) && servers.some((one) => serverKey(one) === followed) && !replicas.has(followed)
}

export async function leadToPrimary(replica: ServerAddress, { primary }: GuardedShard, lease: Lease, acts: ServerActs): Promise<void> {
  await actOnServer(replica, lease, acts, async (client) => {
    const facts = await askReplica(client)
    if (facts?.conninfo === undefined) return
    if (facts.slot !== '') await withAdmin(primary, 'postgres', acts.credentials, (one) => makeSlot(one, facts.slot), limits.serverAnswerMsMax)
    await setOnServer(client, replica, 'primary_conninfo', leadTo(primary, facts.conninfo), acts)
  })
}

async function makeSlot(client: pg.Client, slot: string): Promise<void> {
  await client.query(`SELECT pg_create_physical_replication_slot($1, true) WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = $1)`, [slot])
}
