/** What goes wrong in a run: drawn before it, so that a run can be told with some of it left out. */
import type { Random } from '../support/random.ts'
import type { World } from './world.ts'

export type Fault =
  | { readonly kind: 'cuts'; readonly perMille: number }
  | { readonly kind: 'late messages'; readonly perMille: number; readonly msMax: number }
  | { readonly kind: 'router crash' | 'server crash' | 'redis restart'; readonly atMs: number; readonly which: number; readonly downMs: number }
  | { readonly kind: 'router pause' | 'server pause'; readonly atMs: number; readonly which: number; readonly ms: number }
  | { readonly kind: 'clock put back asleep'; readonly atMs: number; readonly which: number; readonly ms: number; readonly byMs: number }
  /** Until so long after the start, the first `nth` messages of the kind are let through. What is cut was delivered, and its reply is lost. */
  | { readonly kind: 'asleep at a message'; readonly atMs: 0; readonly which: number; readonly of: string; readonly nth: number; readonly isCut: boolean; readonly ms: number }
  | { readonly kind: 'unreachable'; readonly atMs: number; readonly which: number; readonly server: number; readonly ms: number }
  | { readonly kind: 'clock jump'; readonly atMs: number; readonly which: number; readonly byMs: number }
  | { readonly kind: 'redis failover'; readonly atMs: number; readonly lagMs: number }

/** What a router asks of servers and of Redis where it matters that it has slept, as it begins. */
const messages = ['COMMIT deciding', 'COMMIT through the gate', 'PREPARE', 'COMMIT PREPARED', 'settle', 'fence', 'extend', 'take recovery', 'let go of the gate', 'forget']

/** Which kinds there are, and how often, differs from run to run: some faults are found only where others are not. */
export function drawFaults(random: Random): Fault[] {
  if (random.chance(5)) return []
  const faults: Fault[] = []
  const some = (percent: number, most: number, make: () => Fault) => {
    if (!random.chance(percent)) return
    for (let left = 1 + random.below(most); left > 0; left--) faults.push(make())
  }
  // Most of a run happens in its first moments.
  const early = random.chance(70) ? 60 : 600
  const atMs = () => random.below(100 * early) / 100
  const time = () => random.pick([10, 100, 1_000, 4_000]) * (0.5 + random.below(100) / 100)
  // So long that decisions would be forgotten.
  const longTime = () => (random.chance(10) ? 20_000 + random.below(15_000) : time())
  const which = () => random.below(100)
  some(40, 1, () => ({ kind: 'cuts', perMille: 1 + random.below(random.pick([5, 50, 200])) }))
  some(25, 1, () => ({ kind: 'late messages', perMille: 1 + random.below(random.pick([10, 100])), msMax: random.pick([10, 100, 1_000, 4_000]) }))
  some(35, 2, () => ({ kind: 'router crash', atMs: atMs(), which: which(), downMs: time() }))
  some(30, 2, () => ({ kind: 'server crash', atMs: atMs(), which: which(), downMs: longTime() }))
  some(30, 2, () => ({ kind: 'router pause', atMs: atMs(), which: which(), ms: longTime() }))
  some(15, 2, () => ({ kind: 'server pause', atMs: atMs(), which: which(), ms: time() }))
  some(20, 2, () => ({ kind: 'unreachable', atMs: atMs(), which: which(), server: which(), ms: time() }))
  // All jumps together are less than half of the time for which asked decisions are kept.
  some(15, 2, () => ({ kind: 'clock jump', atMs: atMs() * random.pick([1, 20]), which: which(), byMs: random.pick([-1, 1]) * random.below(random.pick([1_000, 4_000])) }))
  some(20, 2, () => ({ kind: 'redis restart', atMs: atMs() * random.pick([1, 20]), which: which(), downMs: random.pick([0, 1_000, 5_000]) }))
  some(10, 2, () => ({ kind: 'redis failover', atMs: atMs() * random.pick([1, 20]), lagMs: random.below(4_000) }))
  some(3, 1, () => {
    const ms = time()
    return { kind: 'clock put back asleep', atMs: atMs(), which: which(), ms, byMs: Math.round(ms * (0.7 + random.below(40) / 100)) }
  })
  some(10, 1, () => {
    const of = random.chance(30) ? 'COMMIT deciding' : random.pick(messages)
    return { kind: 'asleep at a message', atMs: 0, which: which(), of, nth: random.below(3), isCut: random.chance(60), ms: random.chance(30) ? 25_000 + random.below(10_000) : time() }
  })
  return faults
}

/** Makes the fault happen in its time. `onRestart` gets a router that was started in place of one that crashed. */
export function arrange(fault: Fault, world: World, onRestart: () => void): void {
  const { network, scheduler, redis, routers, trace } = world
  const servers = [...world.servers.values()]
  const at = (ms: number, run: () => void) => scheduler.after(ms, run)
  const of = <T>(from: readonly T[], which: number) => from[which % from.length] as T
  const happens = () => trace.add(() => `FAULT ${JSON.stringify(fault)}`)
  switch (fault.kind) {
    case 'cuts':
      network.faults.cutPerMille = fault.perMille
      return
    case 'late messages':
      network.faults.latePerMille = fault.perMille
      network.faults.lateMsMax = fault.msMax
      return
    case 'router crash':
      at(fault.atMs, () => {
        happens()
        const router = of(routers, fault.which)
        if (!router.process.isAlive) return
        world.crashRouter(router)
        at(fault.downMs, onRestart)
      })
      return
    case 'server crash':
      at(fault.atMs, () => {
        happens()
        const server = of(servers, fault.which)
        if (!server.isUp) return
        world.crashServer(server)
        at(fault.downMs, () => server.start())
      })
      return
    case 'redis restart':
      at(fault.atMs, () => {
        happens()
        redis.isUp = false
        if (fault.which % 2 === 0) redis.wipe()
        at(fault.downMs, () => (redis.isUp = true))
      })
      return
    case 'redis failover':
      at(Math.max(0, fault.atMs - fault.lagMs), () => redis.copy())
      at(fault.atMs, () => {
        happens()
        redis.failOver()
      })
      return
    case 'router pause':
    case 'server pause':
      at(fault.atMs, () => {
        happens()
        of<{ process: World['redis']['process'] }>(fault.kind === 'router pause' ? routers : servers, fault.which).process.pause(fault.ms)
      })
      return
    case 'clock put back asleep':
      at(fault.atMs, () => {
        happens()
        const { process } = of(routers, fault.which)
        process.pause(fault.ms)
        process.clockAheadMs -= fault.byMs
      })
      return
    case 'asleep at a message': {
      const { process } = of(routers, fault.which)
      network.setTrap({ process, of: fault.of, left: fault.nth, isCut: fault.isCut, spring: () => (happens(), process.pause(fault.ms)) })
      return
    }
    case 'unreachable':
      at(fault.atMs, () => {
        happens()
        network.block(of(routers, fault.which).process, of(servers, fault.server).process, fault.ms)
      })
      return
    case 'clock jump':
      at(fault.atMs, () => {
        happens()
        of(routers, fault.which).process.clockAheadMs += fault.byMs
      })
  }
}

/** When the last of them is over. */
export function overAtMs(faults: readonly Fault[]): number {
  return Math.max(0, ...faults.map((fault) => ('atMs' in fault ? fault.atMs : 0) + ('downMs' in fault ? fault.downMs : 'ms' in fault ? fault.ms : 0)))
}
