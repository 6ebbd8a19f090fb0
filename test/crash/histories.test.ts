/** Histories of lists while parts of the cluster are killed and stopped, and while connections are cut inside of commits: each level keeps its promise. */
import { expect, test } from 'vitest'
import type { AnomalyKind, Level } from '../support/histories/anomaly.ts'
import { forbiddenAt } from '../support/histories/anomaly.ts'
import { checkHistory } from '../support/histories/check-history.ts'
import type { ListOptions } from '../support/histories/list-clients.ts'
import { ListClients } from '../support/histories/list-clients.ts'
import { seeded } from '../support/random.ts'
import { ChaosCluster } from './support/chaos/chaos-cluster.ts'
import { runChaos } from './support/chaos/chaos.ts'
import { FaultCluster } from './support/faults/fault-cluster.ts'
import { preparedNames } from './support/servers.ts'
import { until } from './support/until.ts'

const faultMs = 12_000
const ordered: readonly AnomalyKind[] = ['G0-session', 'G0-realtime', 'G1c-session', 'G1c-realtime']

const levels = [
  ['shard', 'READ COMMITTED', 'read committed'],
  ['snapshot', 'REPEATABLE READ', 'repeatable read'],
] as const

const listsOn = (ports: readonly number[], isolation: ListOptions['isolation'], consistency: string) =>
  new ListClients({ ports, clients: 6, keys: 24, random: seeded(2), isolation, options: `-c pgherd.read_consistency=${consistency}` })

async function wrongIn(lists: ListClients, level: Level): Promise<string[]> {
  const anomalies = checkHistory(lists.history, { final: await lists.final(), orders: ['session', 'realtime'] })
  return [...forbiddenAt(level, anomalies), ...anomalies.filter(({ kind }) => ordered.includes(kind))].map(({ kind, text }) => `${kind} ${text}`)
}

test.each(levels)('killed and stopped processes, %s, %s', async (consistency, isolation, level) => {
  const cluster = await ChaosCluster.start(3, 2)
  const log: string[] = []
  try {
    const lists = listsOn(cluster.routerPorts, isolation, consistency)
    await lists.open()
    const running = lists.run()
    await until('transactions come to an end', () => lists.history.length > 50)
    await runChaos({ parts: cluster.parts, random: seeded(3), log: (line) => log.push(line) }, faultMs)
    lists.stop()
    await running
    await until('nothing is prepared', async () => (await preparedNames(cluster.servers)).length === 0)
    expect(lists.history.filter(({ status }) => status === 'committed').length).toBeGreaterThan(50)
    expect(await wrongIn(lists, level), log.join('\n')).toEqual([])
  } finally {
    await cluster.stop()
  }
})

test.each(levels)('connections that are cut inside of commits, %s, %s', async (consistency, isolation, level) => {
  const cluster = await FaultCluster.start(3)
  try {
    const ports = [await cluster.startRouter(), await cluster.startRouter()]
    const lists = listsOn(ports, isolation, consistency)
    await lists.open()
    const running = lists.run()
    const random = seeded(4)
    for (let faults = 0; faults < 40; faults++) {
      const proxy = random.pick(cluster.proxies.slice(1))
      const text = random.pick(['PREPARE TRANSACTION', 'pgherd.decide', 'COMMIT PREPARED'])
      const isReply = random.chance(50)
      const fault = proxy.arm({
        matches: (message) => (isReply ? message.type === 'C' && text.startsWith(message.text) : message.direction === 'frontend' && message.text.includes(text)),
        when: random.pick(['before', 'after']),
        action: 'cut',
      })
      await Promise.race([fault.reached, new Promise((resolve) => setTimeout(resolve, 1_000))]) // a reply to decide has another tag
      proxy.disarm(fault)
    }
    lists.stop()
    await running
    await until('nothing is prepared', async () => (await preparedNames(cluster.servers)).length === 0)
    expect(lists.history.filter(({ status }) => status === 'committed').length).toBeGreaterThan(50)
    expect(await wrongIn(lists, level)).toEqual([])
  } finally {
    await cluster.stop()
  }
})
