/**
 * One run. It is the same each time for the same seed: faults and workload are drawn from it, and so is every delay.
 *
 * Clients run their transactions while the faults happen. Then the faults stop, and after a bounded time nothing may be left.
 */
import { seeded } from '../support/random.ts'
import { Client } from './clients.ts'
import { arrange, drawFaults, overAtMs, type Fault } from './faults.ts'
import { simulatedLimits, World } from './world.ts'
import { Violation } from './violation.ts'

export interface RunResult {
  readonly seed: number
  readonly violation: { readonly property: string; readonly message: string } | undefined
  readonly faults: readonly Fault[]
  readonly trace: readonly string[]
  readonly events: number
}

/** Nothing is left prepared or locked so long after the last fault and the last commit. */
const cleanMsMax = 5_000

/** A client that is not done by then never will be. */
const workMsMax = 60_000

export async function simulate(seed: number, isTraced: boolean, only?: readonly number[]): Promise<RunResult> {
  const plan = seeded(seed ^ 0x5eed)
  const shards = 1 + plan.below(3)
  const routers = 1 + plan.below(3)
  const drawn = drawFaults(plan)
  const faults = only === undefined ? drawn : drawn.filter((_, i) => only.includes(i))
  const world = new World(seed, shards, isTraced)
  const clients: Client[] = []
  const broken: Error[] = []
  const bring = (router: World['routers'][number], count: number) => {
    for (let i = 0; i < count; i++) {
      const client = new Client(world, router)
      clients.push(client)
      client.run(1 + plan.below(3)).catch((error: Error) => broken.push(error))
    }
  }
  for (let i = 0; i < routers; i++) world.startRouter()
  for (const router of world.routers) bring(router, 1 + plan.below(2))
  for (const router of world.routers) {
    if (!plan.chance(30)) continue
    const client = new Client(world, router)
    clients.push(client)
    client.readLate().catch((error: Error) => broken.push(error))
  }
  for (const fault of faults) arrange(fault, world, () => bring(world.startRouter(), 1))
  const isBad = () => world.violation !== undefined || broken.length > 0
  const runUntil = async (time: number, isEnough: () => boolean) => {
    while (!isBad() && !isEnough() && (await world.step(time)));
  }
  await runUntil(overAtMs(faults), () => false)
  world.network.setTrap(undefined)
  const awakeAtMs = Math.max(overAtMs(faults), ...world.routers.map(({ process }) => process.pausedUntil))
  await runUntil(awakeAtMs, () => false)
  world.scheduler.now = Math.max(world.now, awakeAtMs)
  world.network.heal()
  const healedAt = world.now
  await runUntil(healedAt + workMsMax, () => clients.every((client) => client.isOver))
  if (!isBad() && !clients.every((client) => client.isOver)) world.report(new Violation('everybody gets an answer', 'a client waits for ever'))
  // A message that is late is a fault until it has arrived.
  const lateMsMax = Math.max(0, ...faults.map((fault) => (fault.kind === 'late messages' ? fault.msMax : 0)))
  await runUntil(world.now + lateMsMax + cleanMsMax, () => false)
  if (!isBad()) checkClean(world)
  if (plan.chance(15)) {
    await runUntil(world.now + simulatedLimits.askedDecisionKeepMs + 3 * simulatedLimits.forgetEveryMs, () => false)
    if (!isBad()) checkForgotten(world)
  }
  if (!isBad()) world.truth.checkAll()
  const error = world.violation ?? broken[0]
  const violation = error && { property: error instanceof Violation ? error.property : 'no error of ours', message: error instanceof Violation ? error.message : (error.stack ?? error.message) }
  return { seed, violation, faults, trace: world.trace.lines, events: world.scheduler.ran }
}

function checkClean(world: World): void {
  for (const server of world.servers.values()) {
    const { name } = server.process
    const [left] = server.prepared.keys()
    if (left !== undefined) world.report(new Violation('no prepared transaction is left', `${left} on ${name}`))
    if (server.locked.length > 0) world.report(new Violation('no lock is left', `${server.locked.join()} on ${name}`))
  }
}

function checkForgotten(world: World): void {
  for (const server of world.servers.values()) {
    const [left] = server.decisions.keys()
    if (left !== undefined) world.report(new Violation('decisions are forgotten in the end', `${left} on ${server.process.name}`))
  }
}
