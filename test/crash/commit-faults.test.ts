/**
 * A commit over several servers that fails at each of its messages in turn, before the message and after it: the connection is cut, held, or swallows
 * what is sent; or the whole server is away. The messages are found by looking, so a commit that gets more of them is tested at more.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { CommitPoint } from './support/faults/commit-points.ts'
import { findCommitPoints } from './support/faults/commit-points.ts'
import { connect, FaultCluster } from './support/faults/fault-cluster.ts'
import type { FaultCase } from './support/faults/faulted-commit.ts'
import { faultedCommit } from './support/faults/faulted-commit.ts'
import type { Scenario, Transfer } from './support/faults/transfers.ts'
import { Rows, scenarios } from './support/faults/transfers.ts'

const whens = ['before', 'after'] as const
const actions = ['cut', 'hold', 'blackhole'] as const
/** Cases that run at the same time: each has rows and connections of its own. */
const atOnce = 12

let cluster: FaultCluster
let rows: Rows
let number = 0

const transferOf = (scenario: Scenario): Transfer => ({ marker: `mark-${++number}-`, scenario, ids: scenario.shards.map((shard) => rows.take(shard)) })

async function pointsOf(port: number, scenario: Scenario): Promise<CommitPoint[]> {
  const client = await connect(port)
  const points = await findCommitPoints(cluster, client, transferOf(scenario))
  await client.end()
  return points
}

/** Every one of them; gives what is wrong. */
async function runAll(scenario: Scenario, cases: readonly FaultCase[], together: number): Promise<string[]> {
  const left = [...cases]
  const wrong: string[] = []
  const work = async () => {
    for (let next = left.pop(); next !== undefined; next = left.pop()) wrong.push(...(await faultedCommit(cluster, transferOf(scenario), next)))
  }
  await Promise.all(Array.from({ length: together }, work))
  for (const one of wrong) process.stderr.write(`WRONG ${scenario.name}: ${one}\n`)
  return wrong
}

beforeAll(async () => {
  cluster = await FaultCluster.start(3)
  rows = new Rows(cluster)
  await rows.open(await cluster.startRouter(), connect)
  await cluster.stopRouters()
})
afterAll(() => cluster.stop())
afterEach(() => cluster.stopRouters())

test('the messages are those of a commit in two phases', async () => {
  const [two] = scenarios as [Scenario]
  const points = await pointsOf(await cluster.startRouter(), two)
  const texts = points.map(({ message }) => message.text)
  for (const step of ['PREPARE TRANSACTION', 'pgherd.decide', 'COMMIT PREPARED']) expect(texts.filter((text) => text.includes(step)), step).not.toEqual([])
  expect(points.length).toBeGreaterThanOrEqual(10)
})

describe.each([
  ['one router', false],
  ['two routers', true],
] as const)('%s', (_routers, hasSecond) => {
  describe.each(scenarios)('$name', (scenario) => {
    test.each(actions)('%s, at each message', async (action) => {
      const port = await cluster.startRouter()
      if (hasSecond) await cluster.startRouter()
      const points = await pointsOf(port, scenario)
      const cases = points.flatMap((point) => whens.map((when): FaultCase => ({ point, when, action, port, hasSecond })))
      expect(await runAll(scenario, cases, atOnce)).toEqual([])
    })
  })
})

test('a server that goes away at one of the requests, and comes back', async () => {
  const [two] = scenarios as [Scenario]
  const port = await cluster.startRouter()
  const points = (await pointsOf(port, two)).filter(({ message }) => message.direction === 'frontend')
  const cases = points.flatMap((point) => whens.map((when): FaultCase => ({ point, when, action: 'away', port, hasSecond: false })))
  expect(await runAll(two, cases, 1)).toEqual([])
})
