/**
 * Makes a replica the primary of a shard whose primary is gone. The steps, each stored before it begins, so that any router goes on from it:
 *
 *   cutting off   the shard's term has been raised. Replicas that were in sync stop following the old primary, which can acknowledge nothing
 *                 from then on: it waits for one of them. Then none of them gets any further, and the most advanced is chosen.
 *   promoting     it is promoted, and recorded as the primary.
 *   done          the other replicas are led to it by whoever looks after the shard (guard.ts).
 *
 * There is no way back: once they are cut off, one of them becomes the primary, whether or not the old one comes back meanwhile.
 */
import type pg from 'pg'
import { limits } from '../base/limits.ts'
import { settleAll } from '../base/settle-all.ts'
import type { ServerAddress } from '../catalog/server-address.ts'
import { withAdmin } from '../coordination/admin-client.ts'
import type { Lease } from '../coordination/locks.ts'
import { actOnServer, setOnServer } from './act-on-server.ts'
import type { ReplicaState } from './choose-primary.ts'
import { choosePrimary } from './choose-primary.ts'
import { leadTo, nowhere } from './conninfo.ts'
import type { Promoted } from './failover-record.ts'
import { endFailover, endOvertaken, readShard, storeChoice } from './failover-record.ts'
import type { GuardedShard, OpenFailover } from './guarded-shard.ts'
import { serverKey } from './guarded-shard.ts'
import type { KeepParts } from './keep-synchronous.ts'
import { askReplica } from './server-facts.ts'

export interface FailoverParts extends KeepParts {
  /** Is told of each step before it is done. */
  readonly onStep?: ((step: string, shard: GuardedShard) => void) | undefined
}

/** Returns once there is a new primary. Throws when it cannot go on now. */
export async function runFailover(shardId: number, lease: Lease, parts: FailoverParts): Promise<void> {
  for (;;) {
    lease.lost.throwIfAborted()
    const shard = await readShard(shardId, parts)
    if (shard?.failover === undefined) return
    const { failover } = shard
    // Somebody else was quicker, and has promoted one of them.
    if (serverKey(shard.primary) !== failover.oldPrimary) return endOvertaken(shard, failover, lease, parts)
    parts.onStep?.(failover.step, shard)
    if (failover.step === 'cutting off') await cutOff(shard, failover, lease, parts)
    else await promote(shard, failover, lease, parts)
  }
}

async function cutOff(shard: GuardedShard, failover: OpenFailover, lease: Lease, parts: FailoverParts): Promise<void> {
  const replicas = failover.inSync.map((key) => serverOf(shard, key))
  await settleAll(replicas.map((replica) => actOnServer(replica, lease, parts, (client) => followNobody(client, replica, parts))))
  const states = await settleAll(replicas.map((replica) => replicaState(replica, parts)))
  const chosen = choosePrimary(failover.inSync, states)
  if (chosen === undefined) throw new Error('not all of the replicas that were in sync answer')
  parts.onStep?.('chosen', shard)
  await storeChoice(shard, failover, chosen.key, lease, parts)
}

/** Returns once it hears from nobody. */
async function followNobody(client: pg.Client, replica: ServerAddress, parts: FailoverParts): Promise<void> {
  const facts = await askReplica(client)
  if (facts === undefined) return // somebody has promoted it
  await setOnServer(client, replica, 'primary_conninfo', facts.conninfo === undefined ? '' : leadTo(nowhere, facts.conninfo), parts)
  // Whoever ends the receiver and starts it anew may do so once more as it was told before, so two looks.
  for (let silent = 0; silent < 2; ) {
    await parts.clock.sleep(limits.cutOffLookMs)
    silent = (await askReplica(client))?.isReceiving === true ? 0 : silent + 1
  }
}

async function promote(shard: GuardedShard, failover: OpenFailover, lease: Lease, parts: FailoverParts): Promise<void> {
  const server = serverOf(shard, failover.newPrimary ?? '')
  const promoted = await actOnServer(server, lease, parts, async (client) => {
    const isReplica = async () => (await client.query<{ follows: boolean }>('SELECT pg_is_in_recovery() AS follows')).rows[0]?.follows === true
    if (await isReplica()) {
      // What it has from the old primary may be the names of replicas that are not its own.
      await setOnServer(client, server, 'synchronous_standby_names', '', parts)
      parts.onStep?.('promote', shard)
      await client.query('SELECT pg_promote(false)')
    }
    while (await isReplica()) {
      lease.lost.throwIfAborted()
      await parts.clock.sleep(limits.finishRetryMsMin)
    }
    return identityOf(client, server)
  })
  parts.onStep?.('promoted', shard)
  await endFailover(shard, failover, promoted, lease, parts)
  parts.log.warn(`${shard.name}: ${failover.newPrimary} is the primary, in the place of ${failover.oldPrimary}`)
}

/** The timeline is that of the log which is being written: that of the last checkpoint is behind. */
async function identityOf(client: pg.Client, { host, port }: ServerAddress): Promise<Promoted> {
  const { rows } = await client.query<{ timeline: number; system: string }>(`
    SELECT ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int8::float8 AS timeline, (SELECT system_identifier::text FROM pg_control_system()) AS system`)
  return { host, port, timeline: rows[0]?.timeline ?? 0, system: rows[0]?.system ?? '' }
}

async function replicaState(replica: ServerAddress, { credentials }: FailoverParts): Promise<ReplicaState> {
  const facts = await withAdmin(replica, 'postgres', credentials, askReplica, limits.serverAnswerMsMax).catch(() => undefined)
  return { key: serverKey(replica), position: facts?.position, isReceiving: facts?.isReceiving === true }
}

function serverOf({ name, primary, replicas }: GuardedShard, key: string): ServerAddress {
  const server = [...replicas, primary].find((one) => serverKey(one) === key)
  if (server === undefined) throw new Error(`${key} is no server of ${name} any more`)
  return server
}
