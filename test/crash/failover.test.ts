/** kill -9 of primaries under load of two routers: their replicas take over by themselves, nothing acknowledged is missing, and they come back as replicas. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { FailoverRounds } from './support/failover-rounds.ts'

const rounds = new FailoverRounds()

beforeAll(() => rounds.start())
afterAll(() => rounds.stop())

test.each([1, 2])('the primary of shard %i is killed', async (shard) => {
  const { findings } = await rounds.round(shard)
  expect(findings).toEqual([])
}, 400_000)
