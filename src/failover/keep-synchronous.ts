/** Makes a primary wait for the replicas that it should wait for, step by step as synchronous.ts plans; and has the record tell the truth all the time. */
import type pg from 'pg'
import { limits } from '../base/limits.ts'
import type { Clock } from '../base/clock.ts'
import type { Lease } from '../coordination/locks.ts'
import type { Logger } from '../observability/logger.ts'
import type { LogPosition } from '../coordination/log-position.ts'
import { withAdmin } from '../coordination/admin-client.ts'
import type { ServerActs } from './act-on-server.ts'
import { actOnServer, setOnServer } from './act-on-server.ts'
import { writeInSync } from './failover-record.ts'
import type { GuardedShard, InSync } from './guarded-shard.ts'
import { askPrimary } from './server-facts.ts'
import type { SynchronousPlan } from './synchronous.ts'
import { standbyNames } from './synchronous.ts'

export interface KeepParts extends ServerActs {
  readonly clock: Clock
  readonly log: Logger
}

/** `replicas` are all whose names are known, by name. */
export async function applySynchronous(shard: GuardedShard, plan: SynchronousPlan, waitedFor: readonly string[], replicas: ReadonlyMap<string, InSync>, lease: Lease, parts: KeepParts): Promise<void> {
  const { log } = parts
  const record = (names: readonly string[]) => writeInSync(shard, names.flatMap((name) => replicas.get(name) ?? shard.inSync.find((one) => one.name === name) ?? []), lease, parts)
  if (plan.kind === 'nothing') return
  if (plan.kind === 'stop') {
    if (shard.inSync.length > 0) await record([])
    log.warn(`${shard.name}: commits wait for no replica`)
    if (waitedFor.length > 0) await actOnServer(shard.primary, lease, parts, (client) => setOnServer(client, shard.primary, 'synchronous_standby_names', '', parts))
    return
  }
  if (plan.record.length > 0) await record(plan.record)
  const gone = [...waitedFor, ...shard.inSync.map(({ name }) => name)].filter((name) => !plan.replicas.includes(name))
  const position = await actOnServer(shard.primary, lease, parts, async (client) => {
    await setOnServer(client, shard.primary, 'synchronous_standby_names', standbyNames(plan.replicas), parts)
    await endSenders(client, gone, lease, parts)
    // That commits have to wait at all is the checkpointer's to tell them. It reads settings before it begins a checkpoint.
    if (plan.isNew) await client.query('CHECKPOINT')
    return (await askPrimary(client))?.position
  })
  if (position === undefined || !(await haveAll(shard, plan.replicas, position, parts))) return
  await record(plan.replicas)
  log.info(`${shard.name}: commits wait for ${plan.replicas.join(' or ')}`)
}

/** The process that sends to a replica acknowledges by the setting as it last read it; the next one reads it anew. Returns once those that there were are gone. */
async function endSenders(client: pg.Client, names: readonly string[], lease: Lease, { clock }: KeepParts): Promise<void> {
  const { rows } = await client.query<{ pid: number }>('SELECT pid FROM pg_stat_replication WHERE application_name = ANY ($1)', [names])
  const pids = rows.map(({ pid }) => pid)
  while ((await client.query('SELECT pg_terminate_backend(pid) FROM pg_stat_replication WHERE pid = ANY ($1)', [pids])).rowCount !== 0) {
    lease.lost.throwIfAborted()
    await clock.sleep(limits.finishRetryMsMin)
  }
}

/** One of them has all that was written before they were waited for; of what is written since, one has what is acknowledged. */
async function haveAll(shard: GuardedShard, names: readonly string[], position: LogPosition, { credentials, clock }: KeepParts): Promise<boolean> {
  const until = clock.ticks() + limits.replicaLostMsMax
  return withAdmin(
    shard.primary,
    'postgres',
    credentials,
    async (client) => {
      for (;;) {
        const followers = (await askPrimary(client))?.followers ?? []
        if (followers.some(({ name, flushed }) => names.includes(name) && flushed !== undefined && flushed >= position)) return true
        if (clock.ticks() > until) return false
        await clock.sleep(limits.finishRetryMsMin)
      }
    },
    limits.serverAnswerMsMax,
  )
}
