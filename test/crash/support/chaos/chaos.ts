/** Faults at random, from a seed: one part of the cluster at a time, or two, is killed and started again, or stopped and let go on. */
import type { Random } from '../../../support/random.ts'
import { killAtOnce, send } from '../processes.ts'
import type { Part } from './chaos-cluster.ts'

export interface ChaosOptions {
  readonly parts: readonly Part[]
  readonly random: Random
  readonly log: (line: string) => void
}

const quietMsMin = 1_000
const quietMsMax = 4_000
const stoppedMsMax = 6_000

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

/** Resolves once the time is over and all parts run again. */
export async function runChaos(options: ChaosOptions, ms: number): Promise<number> {
  const { parts, random, log } = options
  const end = performance.now() + ms
  let faults = 0
  while (performance.now() < end) {
    await sleep(quietMsMin + random.below(quietMsMax - quietMsMin))
    const victims = random.some(parts, 1, random.chance(25) ? 2 : 1)
    log(victims.map(({ name }) => name).join(' and '))
    await Promise.all(victims.map((victim) => strike(victim, options)))
    faults += victims.length
  }
  return faults
}

async function strike(part: Part, { random, log }: ChaosOptions): Promise<void> {
  const pauseMs = random.below(stoppedMsMax)
  if (random.chance(60)) {
    log(`kill -9 ${part.name}, started again after ${pauseMs} ms`)
    killAtOnce(part.pids())
    await sleep(pauseMs)
    await part.startAgain()
    return
  }
  log(`SIGSTOP ${part.name} for ${pauseMs} ms`)
  const pids = part.pids()
  for (const pid of pids) send(pid, 'SIGSTOP')
  await sleep(pauseMs)
  for (const pid of pids) send(pid, 'SIGCONT')
}
