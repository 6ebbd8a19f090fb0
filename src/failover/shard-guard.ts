/** One shard as one router sees it, look after look; and what follows from it. */
import { limits } from '../base/limits.ts'
import type { ServerAddress } from '../catalog/server-address.ts'
import { KeptClient } from '../coordination/kept-client.ts'
import type { Lease } from '../coordination/locks.ts'
import { decideFailover } from './choose-primary.ts'
import { beginFailover, noteError, readShard } from './failover-record.ts'
import { Following } from './following.ts'
import type { GuardParts } from './guard.ts'
import type { GuardedShard, InSync } from './guarded-shard.ts'
import { serverKey } from './guarded-shard.ts'
import { applySynchronous } from './keep-synchronous.ts'
import { isStray, leadToPrimary } from './lead-to-primary.ts'
import { runFailover } from './run-failover.ts'
import type { PrimaryFacts, ReplicaFacts } from './server-facts.ts'
import { askPrimary, askReplica } from './server-facts.ts'
import { planSynchronous } from './synchronous.ts'

interface View {
  readonly shard: GuardedShard
  /** Undefined when it does not answer, or is none. */
  readonly primary: PrimaryFacts | undefined
  /** By key; not there: as above. */
  readonly replicas: ReadonlyMap<string, ReplicaFacts>
}

export class ShardGuard {
  private readonly parts: GuardParts
  private readonly clients = new Map<string, KeptClient>()
  /** By the primary's key and term, so that nothing is carried over to another. */
  private following: { readonly of: string; readonly followers: Following } | undefined
  private unreachable: { readonly of: string; readonly since: number } | undefined
  private looking: Promise<void> | undefined
  private lastSaid: string | undefined

  constructor(parts: GuardParts) {
    this.parts = parts
  }

  /** Does not fail. One look at a time. */
  look(shard: GuardedShard): Promise<void> {
    this.looking ??= this.act(shard)
      .catch((error: Error) => this.say(`${shard.name}: ${error.message}`))
      .finally(() => (this.looking = undefined))
    return this.looking
  }

  async stop(): Promise<void> {
    await this.looking
    for (const client of this.clients.values()) client.close()
  }

  private async act(shard: GuardedShard): Promise<void> {
    const { isOn } = this.parts.settings()
    if (shard.failover !== undefined) return this.underLock(shard, (lease) => this.goOn(shard, lease))
    if (!isOn && shard.inSync.length === 0) return
    const view = await this.see(shard)
    if (view.primary === undefined) return this.withoutPrimary(view)
    this.unreachable = undefined
    await this.keepSynchronous(shard, view.primary, view)
    if (!isOn) return
    for (const replica of shard.replicas) {
      const facts = view.replicas.get(serverKey(replica))
      if (facts !== undefined && isStray(facts, shard, view.replicas)) await this.underLock(shard, (lease) => leadToPrimary(replica, shard, lease, this.parts))
    }
  }

  private async see(shard: GuardedShard): Promise<View> {
    const [primary, ...replicas] = await Promise.all([
      this.client(shard.primary).ask(askPrimary).catch((error: Error) => this.silent(shard, error)),
      ...shard.replicas.map(async (replica) => [serverKey(replica), await this.client(replica).ask(askReplica).catch(() => undefined)] as const),
    ])
    return { shard, primary, replicas: new Map(replicas.flatMap(([key, facts]) => (facts === undefined ? [] : [[key, facts] as const]))) }
  }

  /** Throws where the server lives and has refused the question: that is no failover. */
  private silent(shard: GuardedShard, error: Error & { code?: string }): undefined {
    const isRefusal = /^[0-9A-Z]{5}$/.test(error.code ?? '') && !['57P01', '57P02', '57P03'].includes(error.code ?? '')
    if (isRefusal) throw error
    this.parts.log.debug(`${shard.name}: its primary does not answer: ${error.message}`)
    return undefined
  }

  private async withoutPrimary({ shard, replicas }: View): Promise<void> {
    const of = era(shard)
    const now = this.parts.clock.ticks()
    if (this.unreachable?.of !== of) this.unreachable = { of, since: now }
    const states = [...replicas].map(([key, { position, isReceiving }]) => ({ key, position, isReceiving }))
    const decision = decideFailover({ isWanted: this.parts.settings().isOn, unreachableMs: now - this.unreachable.since, unreachableMsMin: limits.primaryLostMsMin, inSync: shard.inSync.map(serverKey), replicas: states })
    if (decision.kind === 'wait') return this.say(`${shard.name} has no primary: ${decision.reason}`)
    await this.underLock(shard, async (lease) => {
      this.parts.log.warn(`${shard.name}: its primary ${serverKey(shard.primary)} is gone, another takes its place`)
      this.parts.onStep?.('begin', shard)
      await beginFailover(shard, lease, this.parts)
      await this.goOn(shard, lease)
    })
  }

  private async goOn(shard: GuardedShard, lease: Lease): Promise<void> {
    await runFailover(shard.id, lease, this.parts).catch(async (error: Error) => {
      if (shard.failover !== undefined) await noteError(shard.failover, error.message, this.parts).catch(() => undefined)
      throw error
    })
  }

  private async keepSynchronous(shard: GuardedShard, primary: PrimaryFacts, { replicas }: View): Promise<void> {
    const of = era(shard)
    if (this.following?.of !== of) this.following = { of, followers: new Following(this.parts.clock) }
    const known = new Map<string, InSync>(shard.inSync.map((one) => [one.name, one]))
    for (const { host, port } of shard.replicas) {
      const facts = replicas.get(serverKey({ host, port }))
      if (facts !== undefined) known.set(facts.name, { host, port, name: facts.name })
    }
    const following = this.following.followers.see(primary).filter((name) => known.has(name))
    const { isOn, mode } = this.parts.settings()
    const plan = (inSync: readonly InSync[]) => planSynchronous({ mode: isOn ? mode : 'off', waitedFor: primary.waitedFor, inSync: inSync.map(({ name }) => name), known: [...known.keys()], following })
    if (plan(shard.inSync).kind === 'nothing') return
    await this.underLock(shard, async (lease) => {
      // Another may have done it since.
      const newest = await readShard(shard.id, this.parts)
      if (newest === undefined || era(newest) !== of || newest.failover !== undefined) return
      const { waitedFor } = (await this.client(shard.primary).ask(askPrimary)) ?? {}
      if (String(waitedFor) !== String(primary.waitedFor)) return
      await applySynchronous(newest, plan(newest.inSync), waitedFor ?? [], known, lease, this.parts)
    })
  }

  private async underLock(shard: GuardedShard, work: (lease: Lease) => Promise<void>): Promise<void> {
    const lease = await this.parts.locks.acquire(`failover of ${shard.name}`)
    if (lease === undefined) return
    try {
      await work(lease)
      this.lastSaid = undefined
    } finally {
      await lease.release()
    }
  }

  private client(server: ServerAddress): KeptClient {
    const key = serverKey(server)
    const { credentials, clock } = this.parts
    const client = this.clients.get(key) ?? new KeptClient({ server, database: 'postgres', credentials, answerMsMax: limits.replicaAnswerMsMax, awayMs: 0, clock })
    this.clients.set(key, client)
    return client
  }

  /** What is wrong may be so for long, and is found again and again. */
  private say(message: string): void {
    if (message === this.lastSaid) this.parts.log.debug(message)
    else this.parts.log.warn(message)
    this.lastSaid = message
  }
}

const era = ({ term, primary }: GuardedShard) => `${term} ${serverKey(primary)}`
