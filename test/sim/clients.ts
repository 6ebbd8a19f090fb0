/** Clients of a router: transfers that keep the total, readers that want to see one moment, and who asks what became of a transaction. */
import type { SqlError } from '../../src/base/errors.ts'
import { limits } from '../../src/base/limits.ts'
import { catalogId } from '../../src/catalog/server-address.ts'
import { commitBranches, newTransactionId } from '../../src/transaction/commit.ts'
import { transactionStatus } from '../../src/transaction/transaction-status.ts'
import type { Router } from './router.ts'
import { SimulatedBranch } from './server/branch.ts'
import { Session } from './server/session.ts'
import type { Connection } from './world/network.ts'
import type { World } from './world.ts'

const database = 'app'
const accounts = 3

interface Plan {
  readonly writes: readonly number[]
  readonly reads: readonly number[]
  readonly cannotPrepare: number | undefined
  readonly isAsked: boolean
  readonly thinkMs: number
}

export class Client {
  isDone = false
  private readonly world: World
  private readonly router: Router

  constructor(world: World, router: Router) {
    this.world = world
    this.router = router
  }

  get isOver(): boolean {
    return this.isDone || !this.router.process.isAlive
  }

  async run(transactions: number): Promise<void> {
    const { random } = this.world
    for (let i = 0; i < transactions; i++) {
      if (random.chance(25)) await this.read()
      else await this.write(this.plan())
    }
    this.isDone = true
  }

  /** Comes while recovery may be at work. */
  async readLate(): Promise<void> {
    const { random } = this.world
    await this.router.process.clock.sleep(random.below(random.pick([1_000, 8_000])))
    for (let i = 0; i < 3; i++) await this.read()
    this.isDone = true
  }

  private plan(): Plan {
    const { random, servers } = this.world
    const all = [...servers.keys()]
    const writes = random.chance(25) ? [random.pick(all)] : random.some(all, 2, all.length)
    const others = all.filter((id) => !writes.includes(id))
    return {
      writes,
      reads: random.chance(writes.length === 1 ? 80 : 30) ? random.some(others, 0, others.length) : [],
      cannotPrepare: random.chance(15) ? random.pick(writes) : undefined,
      isAsked: random.chance(30),
      thinkMs: random.chance(70) ? 0 : random.below(random.chance(90) ? 20 : 3_000),
    }
  }

  private async write(plan: Plan): Promise<void> {
    const { router, world } = this
    const { clock } = router.process
    const id = newTransactionId(clock)
    const fate = world.truth.fate(id)
    const branches = new Map<number, SimulatedBranch>()
    const branch = (server: number) => {
      const known = branches.get(server) ?? new SimulatedBranch(server, this.connect(server), plan.cannotPrepare === server)
      branches.set(server, known)
      return known
    }
    try {
      // An id is asked for on the catalog, where the transaction shows that it is open.
      if (plan.isAsked) await branch(catalogId).connection.request(`open ${id.slice(-6)}`, (session) => session.read(id))
      for (const server of plan.reads) {
        const saw = await branch(server).connection.request('read', (session) => session.read(id))
        fate.sawOn.set(server, saw)
      }
      for (const { server, key, amount } of this.transfer(plan.writes)) {
        const one = branch(server)
        one.wrote = true
        await one.connection.request(`add ${amount} to ${key} in ${id.slice(-6)}`, (session) => session.add(id, key, amount))
      }
      if (plan.thinkMs > 0) await clock.sleep(plan.thinkMs)
      await commitBranches([...branches.values()], { id, database, isAsked: plan.isAsked }, router.commit)
      this.tell(id, 'committed')
    } catch (error) {
      await Promise.all([...branches.values()].map((one) => one.rollback()))
      const isUnknown = (error as SqlError).code === '08007'
      if (isUnknown && ![...branches.values()].some(({ connection }) => connection.isLost)) world.truth.violated('08007 only when nobody knows', fate, 'no connection was lost')
      if ((error as SqlError).code === undefined) throw error
      this.tell(id, isUnknown ? 'unknown' : 'aborted')
      if (isUnknown && plan.isAsked) await this.ask(id)
    }
  }

  /** Sums to nothing over all servers. Rows are locked in one order, so that nobody waits in a circle. */
  private transfer(on: readonly number[]): readonly { readonly server: number; readonly key: string; readonly amount: number }[] {
    const { random } = this.world
    const places = (on.length === 1 ? [on[0] as number, on[0] as number] : on).map((server, i) => ({ server, key: `account ${on.length === 1 ? i : random.below(accounts)}` }))
    const amounts = places.slice(1).map(() => 1 + random.below(9))
    const sum = amounts.reduce((a, b) => a + b, 0)
    return places.map((place, i) => ({ ...place, amount: i === 0 ? -sum : (amounts[i - 1] as number) }))
  }

  private async ask(id: string): Promise<void> {
    const { world, router } = this
    const { clock } = router.process
    for (let tried = 0; tried < 5; tried++) {
      if (tried > 0 || world.random.chance(50)) await clock.sleep(50 + world.random.below(500))
      const status = await transactionStatus(id, database, () => this.isOpen(id), router.commit).catch((error: SqlError) => {
        if (error.code === undefined) throw error
        return undefined
      })
      world.trace.add(() => `${router.process.name}: ${id.slice(-6)} is ${status ?? 'not known'}`)
      if (status === undefined || status === 'in progress') continue
      return this.tell(id, status)
    }
  }

  private async isOpen(id: string): Promise<boolean> {
    const connection = this.connect(catalogId)
    const isOpen = await connection.request(`is ${id.slice(-6)} open?`, (session) => Promise.resolve([...session.server.open].some((transaction) => transaction.id === id)))
    connection.leave()
    return isOpen
  }

  /** As executor/one-moment.ts does it: snapshots that are not of one moment are opened again. */
  private async read(): Promise<void> {
    const { world, router } = this
    const isSlow = world.random.chance(40)
    const servers = world.random.chance(70) ? [...world.servers.keys()] : world.random.some([...world.servers.keys()], 2, world.servers.size)
    try {
      for (let tried = 0; tried <= limits.gateRetriesMax; tried++) {
        const snapshots = new Map<number, number>()
        const isOneMoment = await router.gate.through(database, async () => {
          await Promise.all(
            servers.map(async (server) => {
              const connection = this.connect(server)
              if (isSlow) await router.process.clock.sleep(world.random.below(40))
              snapshots.set(server, await connection.request('open a snapshot', (session) => session.read(undefined)))
              connection.close()
            }),
          )
        })
        if (!isOneMoment) continue
        world.trace.add(() => `${router.process.name} reads ${[...snapshots].map(([server, at]) => `${server} at ${at}`).join(', ')}`)
        world.truth.checkSnapshots(snapshots, router.process.name)
        return
      }
    } catch (error) {
      if ((error as SqlError).code === undefined) throw error
    }
  }

  private tell(id: string, told: 'committed' | 'aborted' | 'unknown'): void {
    this.world.trace.add(() => `${this.router.process.name} tells the client of ${id.slice(-6)}: ${told}`)
    this.world.truth.tell(id, told)
  }

  private connect(server: number): Connection<Session> {
    const { world, router } = this
    const peer = world.servers.get(server) ?? world.catalog
    return world.network.connect(router.process, peer, () => new Session(peer))
  }
}
