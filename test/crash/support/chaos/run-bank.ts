/**
 * The bank under chaos from its start to its last check.
 *
 * First Redis alone is away, if that is wanted; then everything is killed and stopped at random; then there are no faults and transfers go on;
 * last, a router is killed while its clients commit, and nobody comes again: nothing may be left prepared on any server.
 */
import { seeded } from '../../../support/random.ts'
import { until } from '../until.ts'
import { ChaosBank } from './chaos-bank.ts'
import { ChaosCluster, type Part } from './chaos-cluster.ts'
import { runChaos } from './chaos.ts'
import { finishedSince, killInCommit, noneOlder } from './prepared.ts'
import { withoutRedis } from './redis-outage.ts'

export interface BankRun {
  readonly ms: number
  readonly seed: number
  /** How long Redis is away while nothing else fails; 0 for not at all. */
  readonly redisAwayMs: number
  /** After the last fault nothing is prepared any more by then. */
  readonly preparedMsMax: number
  readonly log: (line: string) => void
}

export interface BankReport {
  readonly findings: readonly string[]
  readonly faults: number
  readonly acknowledged: number
  readonly refused: number
  readonly unknown: number
  readonly reads: number
  readonly failedReads: ReadonlyMap<string, number>
}

export async function runBank({ ms, seed, redisAwayMs, preparedMsMax, log }: BankRun): Promise<BankReport> {
  const cluster = await ChaosCluster.start(4, 2)
  const { servers } = cluster
  const random = seeded(seed)
  const bank = new ChaosBank(cluster.routerPorts)
  const goesOn = () => untilGoingOn(bank, cluster.routerPorts)
  const findings: string[] = []
  try {
    await bank.open()
    bank.start(4)
    await goesOn()
    if (redisAwayMs > 0) findings.push(...(await withoutRedis({ cluster, bank, awayMs: redisAwayMs, preparedMsMax, random, goesOn, log })))
    const faults = ms === 0 ? 0 : await runChaos({ parts: cluster.parts, random, log }, ms)
    const last = await finishedSince(servers, performance.now(), preparedMsMax, true)
    log(`the faults are over: what was prepared then was seen for ${Math.round(last.ms)} ms`)
    findings.push(...last.findings, ...(await noneOlder(servers, preparedMsMax, goesOn())))
    const router = cluster.routers[0] as Part
    await killInCommit(router, servers)
    const killedAt = performance.now()
    // Clients of the other router end what they had begun, which may wait for what the dead one has prepared.
    findings.push(...(await noneOlder(servers, preparedMsMax, bank.stop())))
    const left = await finishedSince(servers, killedAt, preparedMsMax, false)
    log(`a router was killed with something prepared, at the end of the load: ${left.findings.length === 0 ? 'nothing is left' : 'something is left'}`)
    await router.startAgain()
    findings.push(...left.findings, ...(await bank.findings(servers.slice(1).map(({ port }) => port))))
    if (findings.length > 0) log(`what the routers said:\n${cluster.routersSaid}`)
    const told = { acknowledged: bank.told('acknowledged'), refused: bank.told('refused'), unknown: bank.told('unknown') }
    return { findings, faults, ...told, reads: bank.reads, failedReads: bank.failedReads }
  } finally {
    await bank.stop()
    await cluster.stop()
  }
}

/** Transfers are acknowledged through each router. */
async function untilGoingOn(bank: ChaosBank, ports: readonly number[]): Promise<void> {
  const before = new Map(bank.acknowledged)
  await until('transfers go on through every router', () => ports.every((port) => (bank.acknowledged.get(port) ?? 0) > (before.get(port) ?? 0) + 20), 90_000)
}
