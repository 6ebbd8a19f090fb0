/** A router: the production code of commits, recovery and locks, in a process of the simulation. */
import { limits } from '../../src/base/limits.ts'
import { Duty } from '../../src/coordination/duty.ts'
import { isStaleFence } from '../../src/coordination/fences.ts'
import { LeasedLocks } from '../../src/coordination/leased-locks.ts'
import type { Lease } from '../../src/coordination/locks.ts'
import type { Logger } from '../../src/observability/logger.ts'
import { CommitGate } from '../../src/transaction/commit-gate.ts'
import type { CommitContext } from '../../src/transaction/commit.ts'
import { forgetDecisions } from '../../src/transaction/forget-decisions.ts'
import { Recovery } from '../../src/transaction/recovery.ts'
import type { DecisionRow } from '../../src/transaction/transaction-server.ts'
import { SimulatedGateServer } from './server/gate-server.ts'
import { SimulatedFences, SimulatedTransactionServer } from './server/transaction-server.ts'
import { Violation } from './violation.ts'
import type { Process } from './world/process.ts'
import { SimulatedLeaseStore } from './world/redis.ts'
import type { World } from './world.ts'

export const clusterId = 'sim'

export class Router {
  readonly process: Process
  readonly commit: CommitContext
  readonly gate: CommitGate
  private readonly world: World
  private readonly duty: Duty
  private lease: Lease | undefined
  /** When the store was asked the question that it has answered with yes last, for the token that holds. */
  private readonly extendedAt = new Map<string, number>()

  constructor(process: Process, world: World) {
    this.process = process
    this.world = world
    const { network, servers, catalog, redis, trace } = world
    const { clock } = process
    const log = traceLogger(process, world)
    const contextOf = (make: (id: number) => SimulatedTransactionServer): CommitContext => ({ clusterId, clock, log, inFlight, servers: [...servers.keys()].map(make) })
    const inFlight = new Set<string>()
    const byId = (id: number) => servers.get(id) ?? catalog
    this.commit = contextOf((id) => new SimulatedTransactionServer(network, process, byId(id)))
    const gates = [...servers.values()].map((server) => new SimulatedGateServer(network, process, server))
    this.gate = new CommitGate({ servers: () => gates, refresh: async () => undefined, clock })
    const fences = new SimulatedFences(network, process, catalog)
    const store = new SimulatedLeaseStore(network, process, redis)
    store.onExtended = (token, askedAt) => this.extendedAt.set(token, askedAt)
    const locks = new LeasedLocks({ store, fences, holder: process.name, leaseMs: limits.leaseMs, clock, log })
    const pass = { checked: 0, lease: undefined as Lease | undefined }
    const checked = {
      check: async (lease: Lease) => {
        await fences.check(lease).catch((error: unknown) => {
          if (!isStaleFence(error)) pass.checked = lease.fence // nobody can say: it may go on
          throw error
        })
        pass.checked = lease.fence
      },
    }
    const recovery = new Recovery(checked, contextOf((id) => new FencedServer(network, process, byId(id), () => world.checkAct(process, pass.lease, pass.checked))))
    this.duty = new Duty('recovery', limits.recoveryEveryMs, locks, clock, log, (lease) => {
      this.lease = lease
      pass.lease = lease
      pass.checked = 0
      return recovery.run(lease)
    })
    clock.every(limits.forgetEveryMs, () => void (this.duty.isHeld && forgetDecisions(this.commit)))
    trace.add(() => `${process.name} starts`)
    void this.duty.turn()
  }

  /** A holder knows within a lease that it is none any more. */
  check(): void {
    const { process, lease, world } = this
    if (!process.isAlive || lease === undefined || lease.lost.aborted) return
    // Who has been asleep may still be about to hear of it.
    if (world.now < process.pausedUntil + 1) return
    const since = world.now - (this.extendedAt.get(lease.token) ?? 0)
    if (since > limits.leaseMs + 5) world.report(new Violation('a lost lock is known within a lease', `${process.name} goes on ${Math.round(since)} ms after the store was asked`))
  }
}

/** Looks at what recovery does under its lock. */
class FencedServer extends SimulatedTransactionServer {
  private readonly check: () => void

  constructor(...[network, client, server, check]: [...ConstructorParameters<typeof SimulatedTransactionServer>, () => void]) {
    super(network, client, server)
    this.check = check
  }

  override settle(database: string, id: string): Promise<DecisionRow> {
    this.check()
    return super.settle(database, id)
  }
}

function traceLogger(process: Process, { trace }: World): Logger {
  const write = (message: string) => trace.add(() => `${process.name} says: ${message}`)
  return { info: write, warn: write, debug: write }
}
