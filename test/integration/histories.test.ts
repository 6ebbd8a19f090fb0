/**
 * Histories of lists from one PostgreSQL, and from a cluster of three shards through two routers: each level shows what it allows, and nothing else.
 *
 * With read_consistency 'shard' a commit over several servers can be seen by half, also by REPEATABLE READ. What that costs is exactly this:
 * REPEATABLE READ may show G-single and G-nonadjacent (seen: G-single), as READ COMMITTED may. Each list by itself is read as
 * REPEATABLE READ promises, and what READ COMMITTED forbids does not happen. With 'snapshot' REPEATABLE READ is one PostgreSQL's.
 */
import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import type { Router } from '../../src/router/router.ts'
import { startSecondRouter, startTestCluster } from '../support/cluster.ts'
import type { TestCluster } from '../support/cluster.ts'
import type { AnomalyKind, Level } from '../support/histories/anomaly.ts'
import { forbiddenAt } from '../support/histories/anomaly.ts'
import { checkHistory } from '../support/histories/check-history.ts'
import type { ListOptions } from '../support/histories/list-clients.ts'
import { ListClients } from '../support/histories/list-clients.ts'
import { seeded } from '../support/random.ts'

const transactions = 600
let cluster: TestCluster
let second: Router

beforeAll(async () => {
  cluster = await startTestCluster({ shards: 3, replicas: 0 })
  second = await startSecondRouter(cluster)
})
afterAll(async () => {
  await second.stop()
  await cluster.stop()
})

async function anomaliesOf(ports: readonly number[], isolation: ListOptions['isolation'], options = '') {
  const lists = new ListClients({ ports, clients: 8, keys: 12, random: seeded(1), isolation, options })
  await lists.open()
  await lists.run(transactions)
  const { history } = lists
  expect(history.filter(({ status }) => status === 'committed').length).toBeGreaterThan(transactions / 4)
  expect(history.filter(({ status }) => status === 'unknown')).toEqual([])
  return checkHistory(history, { final: await lists.final(), orders: ['session', 'realtime'] })
}

const texts = (level: Level, anomalies: Awaited<ReturnType<typeof anomaliesOf>>) => forbiddenAt(level, anomalies).map(({ kind, text }) => `${kind} ${text}`)

/** Beside the levels' own: orders of sessions and of the clock hold on one PostgreSQL, and on a cluster. */
const ordered: readonly AnomalyKind[] = ['G0-session', 'G0-realtime', 'G1c-session', 'G1c-realtime']

test.each([
  ['one PostgreSQL', 'READ COMMITTED', 'read committed'],
  ['one PostgreSQL', 'REPEATABLE READ', 'repeatable read'],
  ['one PostgreSQL', 'SERIALIZABLE', 'serializable'],
] as const)('%s, %s', async (_name, isolation, level) => {
  const anomalies = await anomaliesOf([inject('plainPort')], isolation)
  expect(texts(level, anomalies)).toEqual([])
  expect(anomalies.filter(({ kind }) => ordered.includes(kind))).toEqual([])
})

const levels = [
  ['shard', 'READ COMMITTED', 'read committed'],
  ['atomic', 'READ COMMITTED', 'read committed'],
  ['shard', 'REPEATABLE READ', 'repeatable read of each shard'],
  ['snapshot', 'REPEATABLE READ', 'repeatable read'],
] as const

test.each(levels)('a cluster, %s, %s', async (consistency, isolation, level) => {
  const anomalies = await anomaliesOf([cluster.port, second.port], isolation, `-c pgherd.read_consistency=${consistency}`)
  expect(texts(level, anomalies)).toEqual([])
  expect(anomalies.filter(({ kind }) => ordered.includes(kind))).toEqual([])
})
