/** The bank under chaos from its start to its last check. */
import { Redis } from 'ioredis'
import { seeded } from '../../../support/random.ts'
import { killAtOnce } from '../processes.ts'
import { preparedNames } from '../servers.ts'
import { until } from '../until.ts'
import { ChaosBank } from './chaos-bank.ts'
import { ChaosCluster } from './chaos-cluster.ts'
import { runChaos } from './chaos.ts'

export interface BankRun {
  readonly ms: number
  readonly seed: number
  /** How long Redis is away while nothing else fails; it comes back with nothing in it. */
  readonly redisAwayMs: number
  /** After the last fault nothing is prepared any more by then. */
  readonly preparedMsMax: number
  readonly log: (line: string) => void
}

export interface BankReport {
  readonly findings: readonly string[]
  readonly faults: number
  readonly acknowledged: number
  readonly unknown: number
  readonly reads: number
}

export async function runBank({ ms, seed, redisAwayMs, preparedMsMax, log }: BankRun): Promise<BankReport> {
  const cluster = await ChaosCluster.start(4, 2)
  const bank = new ChaosBank(cluster.routerPorts)
  try {
    await bank.open()
    bank.start(4)
    await goesOn(bank, cluster)
    if (cluster.redis !== undefined) await withoutRedis(cluster, bank, redisAwayMs, log)
    const faults = await runChaos({ cluster, random: seeded(seed), log }, ms)
    // With transfers still going on there is always something prepared: none of the old ones may be.
    const old = await preparedNames(cluster.servers)
    await until(
      'what was prepared at the last fault is finished',
      async () => {
        const now = await preparedNames(cluster.servers)
        return !old.some((name) => now.includes(name))
      },
      preparedMsMax,
    )
    await goesOn(bank, cluster)
    await bank.stop()
    await until('nothing is prepared', async () => (await preparedNames(cluster.servers)).length === 0, preparedMsMax)
    return { findings: await bank.findings(), faults, acknowledged: bank.told('acknowledged'), unknown: bank.told('unknown'), reads: bank.reads }
  } finally {
    await bank.stop()
    await cluster.stop()
  }
}

/** Transfers are acknowledged through each router. */
async function goesOn(bank: ChaosBank, { routerPorts }: ChaosCluster): Promise<void> {
  const before = new Map(bank.acknowledged)
  await until('transfers go on through every router', () => routerPorts.every((port) => (bank.acknowledged.get(port) ?? 0) > (before.get(port) ?? 0) + 20), 90_000)
}

async function withoutRedis(cluster: ChaosCluster, bank: ChaosBank, awayMs: number, log: (line: string) => void): Promise<void> {
  const { redis, redisUrl = '' } = cluster
  log(`Redis is away for ${awayMs} ms`)
  killAtOnce(redis?.pids() ?? [])
  const end = performance.now() + awayMs
  do await goesOn(bank, cluster)
  while (performance.now() < end)
  await redis?.startAgain()
  await goesOn(bank, cluster)
  const client = new Redis(redisUrl)
  await client.flushall()
  client.disconnect()
  await goesOn(bank, cluster)
}
