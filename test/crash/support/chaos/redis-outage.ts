/**
 * Redis is away for a while, comes back with nothing in it, and loses all once more while it runs. Transfers go on in every second of it. While it is
 * away a router is killed, too: what that has prepared is finished by the others, which have no lock for it. Then, for as long again, everything else is
 * killed and stopped at random with Redis still away.
 */
import { Redis } from 'ioredis'
import type { Random } from '../../../support/random.ts'
import { killAtOnce } from '../processes.ts'
import type { ChaosBank } from './chaos-bank.ts'
import { runChaos } from './chaos.ts'
import type { ChaosCluster, Part } from './chaos-cluster.ts'
import { describePace, pace, standstills } from './pace.ts'
import { finishedSince, killInCommit } from './prepared.ts'

export interface Outage {
  readonly cluster: ChaosCluster
  readonly bank: ChaosBank
  readonly awayMs: number
  readonly preparedMsMax: number
  readonly random: Random
  readonly goesOn: () => Promise<void>
  readonly log: (line: string) => void
}

export async function withoutRedis({ cluster, bank, awayMs, preparedMsMax, random, goesOn, log }: Outage): Promise<string[]> {
  const { redis, redisUrl, routerPorts, servers } = cluster
  if (redis === undefined || redisUrl === undefined) return ['no Redis was found to take away']
  const findings: string[] = []
  const measure = async (when: string, ms: number) => {
    const measured = await pace(bank, routerPorts, ms)
    log(`${when}: ${describePace(measured)}`)
    findings.push(...standstills(measured, when))
  }
  await measure('with Redis', Math.min(awayMs, 10_000))
  killAtOnce(redis.pids())
  await measure('without Redis', awayMs)
  const victim = cluster.routers[1] as Part
  await killInCommit(victim, servers)
  const { ms, findings: late } = await finishedSince(servers, performance.now(), preparedMsMax, true)
  log(`without Redis, a router killed: what it had prepared was seen for ${Math.round(ms)} ms`)
  findings.push(...late)
  await victim.startAgain()
  await goesOn()
  await runChaos({ parts: cluster.parts.filter((part) => part !== redis), random, log }, awayMs)
  const last = await finishedSince(servers, performance.now(), preparedMsMax, true)
  log(`without Redis, after faults of everything else: what was prepared then was seen for ${Math.round(last.ms)} ms`)
  findings.push(...last.findings)
  await goesOn()
  await redis.startAgain()
  await measure('Redis is back, and empty', Math.min(awayMs, 10_000))
  const client = new Redis(redisUrl)
  await client.flushall()
  client.disconnect()
  await measure('Redis has lost all', Math.min(awayMs, 10_000))
  return findings
}
