/** One run: routers, servers, Redis, clients and faults, all drawn from a seed. */
import type { CommitContext } from '../../src/transaction/commit.ts'
import type { Duty } from '../../src/coordination/duty.ts'
import { Model } from './model.ts'
import { Network } from './network.ts'
import { SimProcess } from './node-process.ts'
import type { Place } from './ports.ts'
import { FenceTable, redisId, SimBranch, SimFences, SimGateServer, SimLeaseStore, SimRedis, SimTransactionServer } from './ports.ts'
import { SimPostgres } from './postgres.ts'
import type { Production } from './production.ts'
import { Scheduler } from './scheduler.ts'

export interface RunReport {
  readonly seed: number
  readonly violation: string | undefined
  readonly events: number
  readonly committed: number
  readonly transactions: number
  readonly trace: readonly string[]
}

/** How long after the faults nothing may be left: recovery takes over from a dead router within a lease. */
const settledMs = 8_000
const forgetEveryMs = 3_000
/** Transactions that had begun before may wait for each other for so long. */
const queueMsMax = 60_000

interface Router {
  readonly process: SimProcess
  readonly duty: Duty
  readonly place: Place
}

export async function simulate(seed: number, production: Production, isTraced = false): Promise<RunReport> {
  const world = new World(seed, production, isTraced)
  await world.run()
  const { scheduler, model } = world
  return { seed, violation: model.violation, events: scheduler.events, committed: model.committed, transactions: model.transactions.size, trace: model.trace }
}

class World {
  readonly scheduler: Scheduler
  readonly model: Model
  private readonly production: Production
  private readonly network: Network
  private readonly servers: readonly SimPostgres[]
  private readonly redis: SimRedis
  private readonly fences = new FenceTable()
  private readonly routers: Router[] = []
  private readonly accounts: number
  private readonly faultEveryMs: number
  /** Most runs are short; in a long one something may be away for longer than anybody waits. */
  private readonly faultsMs: number
  private readonly awayMsMax: number
  private readonly kinds: readonly string[]
  private numbers = 0
  private busyClients = 0
  private clocksJumpBack = false
  private isOver = false

  constructor(seed: number, production: Production, isTraced: boolean) {
    this.production = production
    this.scheduler = new Scheduler(seed)
    this.model = new Model(isTraced)
    const { random } = this.scheduler
    const isCalm = random.chance(10)
    this.network = new Network(this.scheduler, { delayMsMax: random.pick([0.5, 2, 20, 200]), cutBefore: isCalm ? 0 : random.pick([0, 0.2, 2, 5]), cutAfter: isCalm ? 0 : random.pick([0, 0.2, 2, 5]) })
    const disk = { flushMsMax: random.pick([0.2, 2, 30, 300]) }
    this.servers = Array.from({ length: 3 + random.below(3) }, (_, id) => new SimPostgres(id, this.scheduler, this.model, disk))
    this.redis = new SimRedis(this.scheduler)
    this.accounts = random.pick([1, 2, 5])
    const isLong = random.chance(10)
    this.faultsMs = isLong ? 30_000 : 6_000
    this.awayMsMax = isLong ? 25_000 : random.pick([2_000, 6_000])
    this.faultEveryMs = isCalm ? Infinity : random.pick([100, 400, 1500, 4000])
    // Each run has faults of some kinds only: what one kind hides another shows.
    this.kinds = random.some(['router dies', 'router sleeps', 'server crashes', 'parting', 'redis', 'clock'], 1, 6)
    this.scheduler.afterEvent = () => this.checkHolders()
    for (let i = 0; i < 1 + random.below(3); i++) this.startRouter()
  }

  async run(): Promise<void> {
    const { scheduler, model } = this
    this.planFault()
    await scheduler.runUntil(this.faultsMs)
    this.isOver = true
    this.network.heal()
    this.redis.isUp = true
    for (const server of this.servers) if (!server.isUp) server.restart()
    for (const { process } of this.routers) process.wake()
    if (!this.routers.some(({ process }) => process.isAlive)) this.startRouter()
    this.note('the faults are over')
    // Most are done long before the limit.
    for (let at = this.faultsMs + 500; at <= this.faultsMs + queueMsMax && !this.isQuiet; at += 500) {
      await scheduler.runUntil(at)
      for (const server of this.servers) {
        const stuck = at < this.faultsMs + settledMs ? undefined : server.preparedBefore(at - settledMs)
        if (stuck !== undefined) model.fail(`server ${server.id} still has prepared ${stuck}`)
      }
    }
    for (const { id, leftOver } of this.servers) if (leftOver.locked.length > 0) model.fail(`server ${id} still has rows locked: ${leftOver.locked.join(', ')}`)
    if (this.busyClients > 0) model.fail(`${this.busyClients} clients got no answer`)
    model.settled()
    // It takes as long as all before, and says little more: one run in five is enough.
    if (model.violation !== undefined || !scheduler.random.chance(20)) return
    await scheduler.runUntil(scheduler.now + this.production.limits.decisionKeepMs + 2 * forgetEveryMs)
    for (const { id, leftOver } of this.servers) if (leftOver.decisions.length > 0) model.fail(`server ${id} still has decisions that nobody can ask for: ${leftOver.decisions.join(', ')}`)
  }

  private get isQuiet(): boolean {
    return this.busyClients === 0 && this.servers.every(({ leftOver }) => leftOver.prepared.length + leftOver.locked.length === 0)
  }

  private note(line: string): void {
    this.model.note(this.scheduler.now, line)
  }

  private startRouter(): void {
    const { production, scheduler } = this
    const process = new SimProcess(`router ${this.routers.length + 1}`, scheduler)
    const place: Place = { process, network: this.network, scheduler }
    const { clock } = process
    const log = { info: (line: string) => this.note(`${process.name}: ${line}`), warn: (line: string) => this.note(`${process.name}: ${line}`), debug: (line: string) => this.note(`${process.name}: ${line}`) }
    const [catalog] = this.servers as [SimPostgres]
    const fences = new SimFences(place, catalog, this.fences)
    const servers = this.servers.map((server) => new SimTransactionServer(place, server, production.limits.recoveryLockMsMax))
    const context: CommitContext = { clusterId: 's', clock, log, inFlight: new Set(), servers }
    const locks = new production.LeasedLocks({ store: new SimLeaseStore(place, this.redis), fences, holder: process.name, leaseMs: production.limits.leaseMs, clock, log })
    const recovery = new production.Recovery(fences, context)
    const duty = new production.Duty('recovery of transactions', production.limits.recoveryEveryMs, locks, clock, log, (lease) => recovery.run(lease))
    clock.every(forgetEveryMs, () => void (duty.isHeld && production.forgetDecisions(context)))
    const gates = this.servers.map((server) => new SimGateServer(place, server, production.limits.gateLockMsMax, production.limits.gateHoldMsMax))
    const gate = new production.CommitGate(() => gates, clock)
    this.routers.push({ process, duty, place })
    this.note(`${process.name} starts`)
    for (let i = 0; i < 1 + scheduler.random.below(3); i++) void this.client(place, context)
    if (scheduler.random.chance(60)) void this.reader(place, gate)
  }

  /** A few transactions, one after the other. */
  private async client(place: Place, context: CommitContext): Promise<void> {
    const { random } = this.scheduler
    for (let left = 2 + random.below(5); left > 0; left--) {
      await place.process.clock.sleep(this.scheduler.between(0, this.faultsMs / 3))
      if (this.isOver) return
      await this.transaction(place, context)
    }
  }

  private async transaction(place: Place, context: CommitContext): Promise<void> {
    const { scheduler, model, production } = this
    const { random } = scheduler
    const name = `T${++this.numbers}`
    const chosen = random.some(this.servers, 1, 4)
    const readers = chosen.length > 1 && random.chance(25) ? 1 : 0
    const cannotPrepare = random.chance(15) ? random.pick(chosen) : undefined
    const branches = chosen.map((server, i) => new SimBranch(place, server, { wrote: i >= readers, cannotPrepare: server === cannotPrepare }))
    const writers = branches.filter(({ wrote }) => wrote)
    model.begin(name, writers.map(({ server }) => server.id))
    this.busyClients++
    place.process.whenEnded(() => this.busyClients--)
    const rollback = () => Promise.all(branches.map((branch) => branch.end()))
    const tell = (told: 'committed' | 'aborted' | 'unknown', why: string) => {
      if (!place.process.isAlive) return
      this.note(`${name}: the client is told: ${told} (${why})`)
      model.tell(name, told)
      this.busyClients--
      this.busyClients += 0
    }
    try {
      // In one order, as who waits for each other in a circle would wait for ever here.
      for (const branch of branches) await (branch.wrote ? branch.write(name, `account ${random.below(this.accounts)}`) : branch.read())
    } catch (error) {
      await rollback()
      return tell('aborted', (error as Error).message)
    }
    const transaction = { id: production.newTransactionId(place.process.clock), database: 'd', isAsked: random.chance(10) }
    this.note(`${name} commits on ${writers.map(({ server }) => server.id).join(', ')} as ${transaction.id}`)
    try {
      await production.commitBranches(branches, transaction, context)
      tell('committed', '')
    } catch (error) {
      await rollback()
      tell((error as { code?: string }).code === '08007' ? 'unknown' : 'aborted', (error as Error).message)
    }
  }

  /** Looks at all servers at one moment, again and again. */
  private async reader(place: Place, gate: InstanceType<Production['CommitGate']>): Promise<void> {
    for (;;) {
      await place.process.clock.sleep(this.scheduler.between(0, 4000))
      if (this.isOver) return
      const seen = new Map<number, (name: string) => boolean>()
      const open = async () => {
        await Promise.all(this.servers.map(async (server) => {
          const branch = new SimBranch(place, server, { wrote: false, cannotPrepare: false })
          await branch.read() // the connection, and what comes before the first statement
          await this.network.call(place.process, server.id, server, branch.connection, () => void seen.set(server.id, server.snapshot()))
          void branch.end()
        }))
      }
      const isValid = await gate.through('d', open).catch(() => false)
      if (isValid) this.model.looked((server, name) => seen.get(server)?.(name) === true)
    }
  }

  private planFault(): void {
    if (this.faultEveryMs === Infinity) return
    this.scheduler.after(this.scheduler.between(0, 2 * this.faultEveryMs), () => {
      if (this.isOver) return
      this.fault()
      this.planFault()
    })
  }

  private fault(): void {
    const { scheduler } = this
    const { random } = scheduler
    const alive = this.routers.filter(({ process }) => process.isAlive)
    const router = alive.length === 0 ? undefined : random.pick(alive)
    const server = random.pick(this.servers)
    const kind = random.pick(this.kinds)
    if (kind === 'router dies' && router !== undefined) {
      this.note(`${router.process.name} dies`)
      router.process.kill()
      if (this.routers.length < 6) scheduler.after(scheduler.between(0, 2000), () => this.startRouter())
    } else if (kind === 'router sleeps' && router !== undefined && !router.process.isAsleep) {
      this.note(`${router.process.name} sleeps`)
      router.process.sleep()
      scheduler.after(scheduler.between(1, this.awayMsMax), () => router.process.wake())
    } else if (kind === 'server crashes' && server.isUp) {
      this.note(`server ${server.id} crashes`)
      server.crash()
      this.network.serverDied(server)
      scheduler.after(scheduler.between(1, this.awayMsMax), () => server.isUp || server.restart())
    } else if (kind === 'parting' && router !== undefined) {
      const target = random.chance(20) ? redisId : server.id
      this.note(`${router.process.name} does not reach ${target === redisId ? 'Redis' : `server ${target}`}`)
      this.network.part(router.process, target, scheduler.between(1, this.awayMsMax))
    } else if (kind === 'redis') {
      this.note('Redis loses all it has')
      this.redis.forgetAll()
      if (random.chance(50)) {
        this.redis.isUp = false
        this.network.serverDied(this.redis)
        scheduler.after(scheduler.between(1, 3000), () => (this.redis.isUp = true))
      }
    } else if (kind === 'clock' && router !== undefined) {
      const jump = random.below(20_000) - 10_000
      this.note(`the clock of ${router.process.name} jumps by ${jump} ms`)
      if (jump < 0) this.clocksJumpBack = true
      router.process.clockOffsetMs += jump
    }
  }

  private twoHoldersSince: number | undefined

  /**
   * As long as Redis keeps what it has and clocks go on, two routers that are awake never both think that they have the lock. When it has
   * forgotten, the first learns it from its next renewal.
   */
  private checkHolders(): void {
    if (this.clocksJumpBack) return
    const { now } = this.scheduler
    const holders = this.routers.filter(({ process, duty }) => process.isAlive && !process.isAsleep && process.wokeAt !== now && duty.isHeld)
    if (holders.length < 2) {
      this.twoHoldersSince = undefined
      return
    }
    this.twoHoldersSince ??= now
    const isExcused = this.redis.hasForgotten && now - this.twoHoldersSince < this.production.limits.leaseMs + this.production.limits.redisAnswerMsMax
    if (!isExcused) this.model.fail(`${holders.map(({ process }) => process.name).join(' and ')} both hold the lock`)
  }
}
