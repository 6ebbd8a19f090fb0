/** Everything that one run simulates. */
import { limits } from '../../src/base/limits.ts'
import type { Lease } from '../../src/coordination/locks.ts'
import { catalogId } from '../../src/catalog/server-address.ts'
import { seeded, type Random } from '../support/random.ts'
import { Router } from './router.ts'
import { Postgres } from './server/postgres.ts'
import { Truth } from './truth.ts'
import { Violation } from './violation.ts'
import { Network } from './world/network.ts'
import { Process } from './world/process.ts'
import { SimulatedRedis } from './world/redis.ts'
import { Scheduler } from './world/scheduler.ts'
import { Trace } from './world/trace.ts'

export class World {
  readonly scheduler = new Scheduler()
  readonly random: Random
  readonly trace: Trace
  readonly network: Network
  readonly servers: ReadonlyMap<number, Postgres>
  readonly catalog: Postgres
  readonly redis: SimulatedRedis
  readonly truth: Truth
  readonly routers: Router[] = []
  violation: Violation | undefined
  private started = 0

  constructor(seed: number, shards: number, isTraced: boolean) {
    this.random = seeded(seed)
    this.trace = new Trace(isTraced, this.scheduler)
    this.network = new Network(this.scheduler, this.random, this.trace)
    this.truth = new Truth(
      () => this.servers,
      (violation) => this.report(violation),
    )
    this.catalog = this.server(catalogId)
    this.servers = new Map([this.catalog, ...Array.from({ length: shards }, (_, i) => this.server(i + 1))].map((server) => [server.id, server]))
    this.redis = new SimulatedRedis(this.process('redis'))
  }

  get now(): number {
    return this.scheduler.now
  }

  startRouter(): Router {
    const router = new Router(this.process(`router ${++this.started}`), this)
    this.routers.push(router)
    return router
  }

  crashRouter(router: Router): void {
    router.process.isAlive = false
    this.network.breakAll(router.process)
  }

  crashServer(server: Postgres): void {
    server.crash()
    server.process.pausedUntil = 0
    this.network.breakAll(server.process)
  }

  report(violation: Violation): void {
    this.trace.add(() => `VIOLATION: ${violation.message}`)
    this.violation ??= violation
  }

  /** Recovery acts for a router that has a lock, or none to be had. */
  checkAct(process: Process, lease: Lease | undefined, checkedFence: number): void {
    if (lease === undefined) return
    if (checkedFence !== lease.fence) this.report(new Violation('a holder shows its fence', `${process.name} acts with fence ${lease.fence} and has not shown it`))
    if (lease.lost.aborted) this.report(new Violation('a holder that has lost its lock stops', `${process.name} acts with fence ${lease.fence}`))
  }

  /** One event, and what has to be so after it. False when nothing happens before that time. */
  async step(until: number): Promise<boolean> {
    const has = await this.scheduler.step(until)
    for (const router of this.routers) router.check()
    return has
  }

  private process(name: string): Process {
    return new Process(name, this.scheduler, this.random)
  }

  private server(id: number): Postgres {
    return new Postgres(id, this.process(id === catalogId ? 'catalog' : `shard ${id}`), this.random, this.observer, () => this.now)
  }

  private get observer(): Truth {
    return this.truth
  }
}

/** What has to be shorter here so that a run sees the end of it. The ratio to the other limits is what counts. */
export const simulatedLimits = { decisionKeepMs: 20_000, askedDecisionKeepMs: 30_000, forgetEveryMs: 2_000, finishMsMax: 5_000 }

Object.assign(limits, simulatedLimits)
